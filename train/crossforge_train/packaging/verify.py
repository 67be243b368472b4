"""Loads a finished package as its users will, and compares logits between backends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

import numpy as np

from crossforge.backends.choice import EXACT
from crossforge.errors import PackageError
from crossforge.reranker import Reranker
from crossforge_train.libraries import quieten

_PAIRS = (
    ("short", "A short document."),
    ("how long may a document be", "words " * 400),
    ("Ünïcode, 漢字 and emoji 🙂", "Ünïcode, 漢字 and emoji 🙂 stand in this document."),
    ("q", ""),
)
_SAMPLE = 16


def measure_agreement(folder: Path, pairs: Iterable[tuple[str, str]] = ()) -> dict[str, float]:
    """Largest absolute difference of each backend's logits from fp32 torch; unavailable backends are left out.

    Args:
        folder: a package or checkpoint folder with an ONNX model.
        pairs: (query, document) pairs to compare on, in addition to a few built-in ones; the first 16 that the model
            can read.

    Raises:
        PackageError: ONNX differs by more than rounding error.
    """
    quieten()
    torch = Reranker(folder, backend="torch", verify="off")
    readable = (pair for pair in chain(_PAIRS, pairs) if torch.tokenizer.fits(pair[0]))
    compared = list(islice(readable, len(_PAIRS) + _SAMPLE))

    def difference(backend: str) -> float:
        return float(np.abs(exact - Reranker(folder, backend=backend, verify="off").score_pairs(compared).logits).max())

    exact = torch.score_pairs(compared).logits
    found = {"torch": 0.0, "onnx": difference("onnx")}
    most = EXACT * max(1.0, float(np.abs(exact).max()))  # rounding error grows with the logits
    if not found["onnx"] < most:
        raise PackageError(
            f"{folder}: ONNX logits differ from torch by {found['onnx']:.2g} (at most {most:.1g}); not packaged"
        )
    others: tuple[str, ...] = ("onnx-int8", "openvino", "openvino-bf16")
    for backend in others:
        with suppress(PackageError):
            found[backend] = difference(backend)
    return found
