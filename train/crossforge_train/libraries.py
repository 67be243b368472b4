"""Silences the underlying libraries, so that they do not clutter a run's progress output."""

from __future__ import annotations

import logging
import warnings


def quieten() -> None:
    """Turn off the progress bars and advice of transformers, sentence-transformers and datasets for this process."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)  # transformers' own use
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)


def quieten_downloads() -> None:
    """Leave out the lines that libraries log about each attempt of a download; their progress bars stay."""
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()
    logging.getLogger("ir_datasets").disabled = True  # it sets its level itself, when it is first used
