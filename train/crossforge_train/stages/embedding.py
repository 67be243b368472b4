"""The embeddings of a run: those of the encoder that its first stage reads the corpus with."""

from __future__ import annotations

from crossforge_train.compute.base import Engine
from crossforge_train.config.first_stage import AUTO
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.embeddings import Embeddings, embeddings_if_exported, open_embeddings
from crossforge_train.reporting import Reporter


def run_embeddings(config: Config, reporter: Reporter, engine: Engine | None = None) -> Embeddings | None:
    """Embeddings of `first_stage.encoder`, or of the base model; None if that is no bi-encoder.

    With `kind: auto`, also if it is one that cannot be exported.

    Raises:
        NoExportError: it cannot be exported, and the config names a kind that needs it.
    """
    shared, other = sharing(config, engine), config.other_encoder

    def opened() -> Embeddings | None:
        if other is None:
            return base_embeddings(config, reporter, shared)
        return open_embeddings(other, config.first_stage.encoder_tokens, config.runs, reporter, engine=shared)

    return embeddings_if_exported(opened, reporter) if config.first_stage.kind == AUTO else opened()


def sharing(config: Config, engine: Engine | None) -> Engine | None:
    """The engine, if models work faster there; by itself, this process shows its progress more finely.

    Workers without a GPU do not take the place of one that this process has.
    """
    if engine is None or config.compute.engine == "local":
        return None
    import torch

    return None if torch.cuda.is_available() and not engine.gpus else engine
