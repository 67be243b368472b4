"""A causal language model on this machine that grades pairs, without a network.

It writes nothing: the grade is the likeliest of the digits 0 to 3 after the opening of the JSON that the prompt asks
for. So each pair takes one pass through the model, every pair gets a grade, whatever a small model would have written
in its place, and nothing is left to chance. A model that is to think first has no room for it here.

Source of reading the likelihoods of grades in place of an answer: Zhuang et al., "Beyond Yes and No: Improving
Zero-Shot LLM Rankers via Scoring Fine-Grained Relevance Labels", NAACL 2024. They score by them; the grade is theirs
of the highest likelihood.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.batching import blocks
from crossforge.errors import InputError, PackageError
from crossforge.loading import find_folder
from crossforge_train.asking.allowance import Allowance, AllowanceSpentError
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import GRADES, KEY, NOT_ASKED, Answer, Answers, Keep, Pair, prompt
from crossforge_train.models.language_model import LanguageModel, language_model_hash, load_tokenizer

_OPENING = '{"grade":'  # no space behind it: with one, a digit is a part of another token in some vocabularies
_BATCH = 8
_SORTED = 16  # batches whose pairs are sorted by length together, so that little is padded


class LocalGrader:
    """A `Grader` that runs a model of `transformers`, which is loaded when it is first asked.

    Args:
        config: names the model.
        allowance: counts pairs and tokens.
        engine: where the model works; None is this process.

    Raises:
        InputError: there is no such model.
    """

    def __init__(self, config: JudgeConfig, allowance: Allowance, engine: Engine | None = None) -> None:
        self._config = config
        self._allowance = allowance
        self._engine = engine or LocalEngine()
        self._folder = _folder(config).absolute()

    @cached_property
    def decided_by(self) -> Mapping[str, Any]:
        """See `Grader`."""
        keys = {"prompt", "max_document_characters"}
        return {"local": local_model_hash(self._config), **self._config.model_dump(mode="json", include=keys)}

    def answers(self, pairs: Mapping[str, Pair], keep: Keep) -> Answers:
        """See `Grader`."""
        sent: deque[_Sent] = deque()
        for grades in self._engine.map(self._grade_prompts, self._batches(pairs, sent)):
            batch = sent.popleft()
            for (key, ids), grade in zip(batch.prompts.items(), grades, strict=True):
                answer = Answer(grade, tokens=_tokens(ids))
                keep(key, answer)
                yield key, answer
            yield from batch.others.items()

    def _batches(self, pairs: Mapping[str, Pair], sent: deque[_Sent]) -> Iterator[list[list[int]]]:
        """Prompts as token ids, in batches; `sent` is told whose they are, and which pairs are not asked about."""
        size, spent = self._config.batch or _BATCH, False
        blocks_left = blocks(pairs, size * _SORTED)
        for several in blocks_left:
            read = {key: self._reader.read(self._config, pairs[key]) for key in several}
            refused = Answer(None, 0, refusal=f"{KEY}: {self._reader.too_long}")
            others = {key: refused for key in several if not read[key]}
            by_length = sorted((key for key in several if read[key]), key=lambda key: -len(read[key]))
            for keys in blocks(by_length, size):
                allowed = {key: read[key] for key in keys if self._may_grade(read[key])}
                others |= {key: NOT_ASKED for key in keys if key not in allowed}
                spent = len(allowed) < len(keys)
                yield from _batch(_Sent(allowed, others), sent)
                others = {}
            yield from _batch(_Sent({}, others), sent)
            if spent:
                rest = {key: NOT_ASKED for left in blocks_left for key in left}
                yield from _batch(_Sent({}, rest), sent)

    def _may_grade(self, ids: Sequence[int]) -> bool:
        try:
            self._allowance.take()
        except AllowanceSpentError:
            return False
        self._allowance.add_tokens(_tokens(ids))
        return True

    @cached_property
    def _reader(self) -> _Reader:
        return _Reader(str(self._folder))

    @cached_property
    def _grade_prompts(self) -> _GradePrompts:
        return _GradePrompts(LanguageModel(str(self._folder), KEY), self._reader.digits)


class _Sent(NamedTuple):
    """A batch: the prompts of the pairs that are asked about, and what becomes of others that were looked at."""

    prompts: Mapping[str, list[int]]
    others: Mapping[str, Answer]


def _batch(batch: _Sent, sent: deque[_Sent]) -> Iterator[list[list[int]]]:
    """The prompts to send, if anything is to be told; there may be none of them."""
    if batch.prompts or batch.others:
        sent.append(batch)
        yield [*batch.prompts.values()]


def _tokens(ids: Sequence[int]) -> int:
    return len(ids) + 1  # one is written


class _Reader:
    """Makes prompts of pairs, as the token ids that a causal model reads.

    Attributes:
        digits: the token of each grade.

    Raises:
        InputError: the model cannot be loaded, is not causal, or its vocabulary has no digits.
    """

    def __init__(self, folder: str) -> None:
        config, self._tokenizer = load_tokenizer(folder, KEY)
        if config.is_encoder_decoder:
            raise InputError(f"{KEY}: {folder} is not a causal model, which a judge on this machine has to be")
        self._folder = folder
        self.digits = self._digit_ids()
        longest = getattr(config.get_text_config(), "max_position_embeddings", None)
        written = self._tokenizer.model_max_length  # very large where nobody has said it
        self._room = min(longest or written, written) - 1  # one token is written

    @property
    def too_long(self) -> str:
        """What is wrong with a pair that `read` gives nothing for."""
        return f"prompt and query alone are longer than the {self._room:,} tokens that {self._folder} reads"

    def read(self, config: JudgeConfig, pair: Pair) -> list[int]:
        """The token ids of a prompt and the answer's opening, with as much of the document as fits.

        Empty if the rest alone is too long.
        """
        pair = pair._replace(text=pair.text[: config.max_document_characters])
        ids = self._ids(prompt(config, pair))
        while len(ids) > self._room and pair.text:
            tokens = max(1, len(self._tokenizer(pair.text, add_special_tokens=False)["input_ids"]))
            kept = max(0, tokens - (len(ids) - self._room))
            pair = pair._replace(text=pair.text[: len(pair.text) * kept // tokens])
            ids = self._ids(prompt(config, pair))
        return ids if len(ids) <= self._room else []

    def _ids(self, text: str) -> list[int]:
        tokenizer = self._tokenizer
        if not tokenizer.chat_template:
            ids: list[int] = tokenizer(f"{text}\n{_OPENING}")["input_ids"]
            return ids
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        ids = tokenizer(asked + _OPENING, add_special_tokens=False)["input_ids"]
        return ids

    def _digit_ids(self) -> list[int]:
        """The token of each grade after the opening."""
        opened, *written = (
            self._tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (_OPENING, *(f"{_OPENING}{grade}" for grade in GRADES))
        )
        digits = [ids[-1] for ids in written]
        unknown = self._tokenizer.unk_token_id in digits or len(set(digits)) < len(GRADES)
        if unknown or any(ids[:-1] != opened for ids in written):
            raise InputError(f"{KEY}: {self._folder}: its vocabulary has no token for each of the digits 0 to 3")
        return digits


@dataclass(frozen=True)
class _GradePrompts:
    """Makes a worker that grades a batch of prompts.

    Attributes:
        model: a causal one.
        digits: the token of each grade.
    """

    model: LanguageModel
    digits: Sequence[int]

    def __call__(self) -> Callable[[Sequence[list[int]]], list[int]]:
        """The worker."""
        return partial(self.grades, *self.model.loaded())

    def grades(self, model: Any, tokenizer: Any, prompts: Sequence[list[int]]) -> list[int]:
        """The likeliest grade of each; of several as likely, the lowest.

        Raises:
            InputError: the model gives numbers that are not finite.
        """
        if not prompts:
            return []
        import torch

        batch = tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            output = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=1,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                pad_token_id=tokenizer.pad_token_id,
            )
        logits = output.logits[0][:, list(self.digits)].float()
        if not bool(logits.isfinite().all()):
            raise InputError(f"{KEY}: {self.model.name} gives logits that are not finite; its weights are damaged")
        return [GRADES[place] for place in logits.argmax(dim=1).tolist()]


def local_model_hash(config: JudgeConfig) -> dict[str, str]:
    """The sha256 of each file that decides what the model says, for fingerprints.

    Raises:
        InputError: there is no such model.
    """
    return language_model_hash(_folder(config))


def _folder(config: JudgeConfig) -> Path:
    try:
        return find_folder(config.model)
    except PackageError:
        raise InputError(
            f"{KEY}: {config.model}: no such folder, and no model of that name in the hub cache; if an endpoint serves "
            "it, name that in judge.url"
        ) from None
