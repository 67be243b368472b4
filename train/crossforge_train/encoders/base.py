"""The base model of a run as a bi-encoder, with the prompts that its config names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from crossforge_train.compute.base import Engine
from crossforge_train.config.run import Config
from crossforge_train.encoders.embeddings import SHARED_FOLDER, Embeddings, open_embeddings
from crossforge_train.models.base_model import find_base_model, is_bi_encoder, model_hash
from crossforge_train.models.base_texts import bi_encoder_with
from crossforge_train.reporting import Reporter


def base_bi_encoder(config: Config) -> str:
    """The base model, or a folder beside what it embeds that is the base model with `training.prompts`.

    What is no bi-encoder stays as it is.
    """
    model, prompts = find_base_model(config.base_model), config.training.prompts.texts
    if not prompts or not is_bi_encoder(model):
        return config.base_model
    identity = json.dumps([model_hash(model), asdict(prompts)], sort_keys=True)
    name = f"prompted-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    return str(bi_encoder_with(model, config.runs / SHARED_FOLDER / name, prompts))


def base_embeddings(config: Config, reporter: Reporter, engine: Engine | None = None) -> Embeddings | None:
    """Embeddings of the base model; None if it is no bi-encoder. Arguments as for `open_embeddings`."""
    model, length = base_bi_encoder(config), config.first_stage.encoder_max_length
    return open_embeddings(model, length, config.runs, reporter, config.base_model, engine)
