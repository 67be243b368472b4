"""Queries written by a seq2seq or causal model through transformers.

Sources: Bonifacio et al., "InPars: Data Augmentation for Information Retrieval using Large Language Models", SIGIR
2022; Nogueira and Lin, "From doc2query to docTTTTTquery", 2019.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.generated import BLOCK, Cache, GeneratedQueries, Keep
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.documents import DocumentsSource, GeneratorConfig
from crossforge_train.models.language_model import LanguageModel, language_model_hash


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> ModelQueries:
    """See `MakerFactory`."""
    if source.generator is None:
        raise InputError("collection.documents: quotas.generator needs the section generator")
    return ModelQueries(source.generator, source.seed)


class ModelQueries(GeneratedQueries):
    """A maker whose model is loaded when it is first asked something that the cache does not know.

    Args:
        config: the section `generator`.
        seed: of what is drawn.
    """

    def __init__(self, config: GeneratorConfig, seed: int) -> None:
        settings = {
            **config.model_dump(mode="json", exclude={"cache", "batch"}),
            "model": generator_hash(config),
            "seed": seed,
        }
        self._write = _WriteQueries(LanguageModel(config.model, "documents.generator"), config, seed)
        super().__init__("generator", _Asking(self._write, LocalEngine()), Cache(config.cache, settings))

    def with_engine(self, engine: Engine) -> ModelQueries:
        """The same maker, whose model works on an engine."""
        found = copy.copy(self)
        found._ask = _Asking(self._write, engine)
        found.ahead = max(1, ceil(engine.workers * self._write.config.batch / BLOCK))
        return found


def generator_hash(config: GeneratorConfig) -> dict[str, str] | str:
    """What tells the model from others: its files in a folder, since it may be trained further there; or its hub id."""
    folder = Path(config.model)
    return language_model_hash(folder) if folder.is_dir() else config.model


class _Asking:
    def __init__(self, write: _WriteQueries, engine: Engine) -> None:
        self._write = write
        self._engine = engine

    def __call__(self, asked: Sequence[Sequence[str]], keep: Keep) -> None:
        """See `Ask`: for each text the configured number of answers."""
        batches = [list(_batches(texts, self._write.config.batch)) for texts in asked]
        found = self._engine.map(
            self._write,
            ([texts[place] for place in places] for texts, cut in zip(asked, batches, strict=True) for places in cut),
        )
        for texts, cut in zip(asked, batches, strict=True):
            for places in cut:
                keep(dict(zip((texts[place] for place in places), next(found), strict=True)))


def _batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Places of texts, the longest first: little is padded, and what is too much for the memory shows at once."""
    return blocks(sorted(range(len(texts)), key=lambda place: -len(texts[place])), size)


@dataclass(frozen=True)
class _WriteQueries:
    """Makes a worker that answers a batch of texts."""

    model: LanguageModel
    config: GeneratorConfig
    seed: int

    def __call__(self) -> Callable[[Sequence[str]], list[list[str]]]:
        """The worker."""
        return partial(self._answers, *self.model.loaded())

    def _answers(self, model: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[str]]:
        import torch
        from transformers import set_seed

        config = self.config
        prompts = [config.prompt.replace("{text}", self._cut(text, tokenizer)) for text in texts]
        if tokenizer.chat_template:
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
                )
                for prompt in prompts
            ]
        batch = tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=not tokenizer.chat_template
        ).to(model.device)
        # By the texts, so that a run that goes on after a kill draws what it would have drawn.
        set_seed(int(hashlib.sha256(f"{self.seed}:{texts}".encode("utf-8", "replace")).hexdigest()[:8], 16))
        sampling = (
            {"do_sample": True, "temperature": config.temperature} if config.temperature else {"do_sample": False}
        )
        with torch.inference_mode():
            output = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=config.max_new_tokens,
                num_return_sequences=config.queries,
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            )
        if not model.config.is_encoder_decoder:
            output = output[:, batch["input_ids"].shape[1] :]
        decoded = tokenizer.batch_decode(output, skip_special_tokens=True)
        return list(blocks(decoded, config.queries))

    def _cut(self, text: str, tokenizer: Any) -> str:
        """The beginning of a text, in tokens of the model."""
        ids = tokenizer(text, add_special_tokens=False, truncation=True, max_length=self.config.max_document_tokens)
        return str(tokenizer.decode(ids["input_ids"], skip_special_tokens=True))
