"""The base model of a run as a bi-encoder, with the prompts that its config names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crossforge.prompts import Prompts
from crossforge_train.compute.base import Engine
from crossforge_train.config.run import Config
from crossforge_train.encoders.embeddings import Embeddings, open_embeddings
from crossforge_train.models.base_model import find_base_model, is_bi_encoder
from crossforge_train.models.base_texts import own_prompts
from crossforge_train.reporting import Reporter


def base_prompts(config: Config) -> Prompts | None:
    """`training.prompts`, if the base model is a bi-encoder with other ones; None: it embeds with its own."""
    return other_prompts(config.base_model, config.training.prompts.texts)


def other_prompts(base_model: str, prompts: Prompts) -> Prompts | None:
    """Prompts, if there are any and the base model is a bi-encoder with other ones."""
    model = find_base_model(base_model)
    return prompts if prompts and is_bi_encoder(model) and prompts != own_prompts(model) else None


def prompts_depend_on(config: Config) -> Mapping[str, Any]:
    """For fingerprints of what the base model embeds in; earlier versions embedded with its own prompts alone."""
    prompts = base_prompts(config)
    return {"prompts": asdict(prompts)} if prompts else {}


def base_embeddings(config: Config, reporter: Reporter, engine: Engine | None = None) -> Embeddings | None:
    """Embeddings of the base model; None if it is no bi-encoder. Arguments as for `open_embeddings`."""
    length, prompts = config.first_stage.encoder_tokens, base_prompts(config)
    return open_embeddings(config.base_model, length, config.runs, reporter, engine=engine, prompts=prompts)
