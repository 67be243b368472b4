"""Queries written by a seq2seq or causal model through transformers.

Sources: Bonifacio et al., "InPars: Data Augmentation for Information Retrieval using Large Language Models", SIGIR
2022; Nogueira and Lin, "From doc2query to docTTTTTquery", 2019.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.generated import Cache, GeneratedQueries
from crossforge_train.config.documents import DocumentsSource, GeneratorConfig
from crossforge_train.models.language_model import load_language_model


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> GeneratedQueries:
    """See `MakerFactory`."""
    if source.generator is None:
        raise InputError("collection.documents: quotas.generator needs the section generator")
    return generator_maker(source.generator, source.seed)


def generator_maker(config: GeneratorConfig, seed: int) -> GeneratedQueries:
    """A maker that loads the model when it is first asked something that the cache does not know."""
    settings = {**config.model_dump(mode="json", exclude={"cache", "batch"}), "seed": seed}
    return GeneratedQueries("generator", _Generator(config, seed), Cache(config.cache, settings))


class _Generator:
    def __init__(self, config: GeneratorConfig, seed: int) -> None:
        self._config = config
        self._seed = seed
        self._loaded: tuple[Any, Any] | None = None

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text the configured number of answers."""
        self._loaded = self._loaded or load_language_model(self._config.model, "documents.generator")
        # The longest first: little is padded, and what is too much for the memory shows at once.
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        found: dict[int, list[str]] = {}
        for block in blocks(order, self._config.batch):
            answers = self._answers([texts[place] for place in block])
            found.update(zip(block, answers, strict=True))
        return [found[place] for place in range(len(texts))]

    def _answers(self, texts: Sequence[str]) -> Iterator[list[str]]:
        import torch
        from transformers import set_seed

        assert self._loaded is not None  # noqa: S101 - for the type checker
        model, tokenizer = self._loaded
        config = self._config
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
        set_seed(int(hashlib.sha256(f"{self._seed}:{texts}".encode("utf-8", "replace")).hexdigest()[:8], 16))
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
        return (list(block) for block in blocks(decoded, config.queries))

    def _cut(self, text: str, tokenizer: Any) -> str:
        """The beginning of a text, in tokens of the model."""
        ids = tokenizer(text, add_special_tokens=False, truncation=True, max_length=self._config.max_document_tokens)
        return str(tokenizer.decode(ids["input_ids"], skip_special_tokens=True))
