"""The embeddings of a run: those of the encoder that its first stage and its proof read the corpus with."""

from __future__ import annotations

from crossforge_train.compute.base import Engine
from crossforge_train.config.run import Config
from crossforge_train.encoders.embeddings import Embeddings, open_embeddings
from crossforge_train.reporting import Reporter


def run_embeddings(config: Config, reporter: Reporter, engine: Engine | None = None) -> Embeddings | None:
    """Embeddings of `first_stage.encoder`, or of the base model; None if that is no bi-encoder."""
    settings = config.first_stage
    model, length = settings.encoder or config.base_model, settings.encoder_max_length
    return open_embeddings(model, length, config.runs, reporter, engine=sharing(config, engine))


def sharing(config: Config, engine: Engine | None) -> Engine | None:
    """The engine, if it embeds faster than this process does; by itself, that shows its progress more finely."""
    import torch

    if engine is None or config.compute.engine == "local" or (torch.cuda.is_available() and not engine.gpus):
        return None
    return engine


def base_embeddings(config: Config, reporter: Reporter) -> Embeddings | None:
    """Embeddings of the base model, which the proof sets beside what ships; None if it is no bi-encoder."""
    return open_embeddings(config.base_model, config.first_stage.encoder_max_length, config.runs, reporter)
