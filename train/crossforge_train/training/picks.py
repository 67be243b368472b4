"""Picks values for keys that the config sets to `auto`; a value, once picked, is fixed for the run.

Each rule returns a value and the reason for it, which is shown to the user.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from crossforge.files import read_json, write_json
from crossforge.loading import pair_tokenizer
from crossforge.long_documents import LongDocuments
from crossforge_train import processes
from crossforge_train.collections.collection import Collection
from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.training import AUTO, AUTO_MAX_LENGTH, PickedTraining, TrainingConfig
from crossforge_train.mining.groups import Group
from crossforge_train.reporting import Reporter

Value = TypeVar("Value", int, float, LongDocuments, str, float | list[float], dict[str, Any] | None)
# The model's head before training: random, built to reproduce a bi-encoder's cosines, or already trained.
Head = Literal["fresh", "grafted", "trained"]
# A value and the reason for it.
Pick = tuple[float, str]

_SMALL, _RATE_OF_SMALL = 20e6, 2e-4  # parameters, learning rate
_LARGE, _RATE_OF_LARGE = 150e6, 1e-5
_ADAPTER_FACTOR = 10
ADAPTED_FROM = 300_000_000  # parameters; up to there, all of them are trained
_MOST_OF_GRAFT = 5e-5
_HEAD_FACTOR, _MOST_OF_HEAD = 10, 2e-3
_WORTH_BF16 = 1.1
_MISTAKEN = 0.1  # share of groups from which on the base model's mistakes are not taught
_SHARES, _HALF = [0.5, 1.0], 0.5
# What stood in the place of `auto` before these keys had it.
FORMERLY: dict[str, Any] = {"lora": None, "evaluations": 4, "dev_queries": 100}
_GROUPS_SEEN, _MOST_EPOCHS = 3000, 4
_MEASURED_GROUPS = 500
_STEP_OF_LENGTH, _SHARE_THAT_FITS = 16, 0.95


class Picker:
    """Resolves each `auto` and saves the value, so that a resumed run uses the same one.

    Args:
        path: file for the picked values.
        training: the config section.
        reporter: shows the picked values.
        begun: whether a checkpoint is there, so that all values were picked before.
    """

    def __init__(self, path: Path, training: TrainingConfig, reporter: Reporter, *, begun: bool = False) -> None:
        self._path = path
        self._training = training
        self._reporter = reporter
        self._picked: dict[str, Any] = processes.from_main(lambda: read_json(path) if path.is_file() else {})
        # Earlier versions did not pick these: a training that they began goes on as it was. `lora` is the first pick.
        if begun or (self._picked and training.lora == AUTO and "lora" not in self._picked):
            for key, value in FORMERLY.items():
                if getattr(training, key) == AUTO:
                    self._picked.setdefault(key, value)

    def pick(self, key: str, rule: Callable[[], tuple[Value, str]]) -> Value:
        """The value of a key: from the config, else as picked before, else by the rule."""
        value: Value = getattr(self._training, key)
        if value != AUTO:
            return value
        if key not in self._picked:
            self._picked[key], why = processes.from_main(rule)
            if processes.is_main():
                write_json(self._path, self._picked)
            self._reporter.note(f"training.{key}: {_shown(self._picked[key])}, picked {why}")
        found: Value = self._picked[key]
        return found

    def training(self) -> PickedTraining:
        """The config section with the picked values; every `auto` must be resolved by now."""
        return PickedTraining(**{**self._training.model_dump(), **self._picked})


def pick_lora(parameters: int) -> tuple[dict[str, Any] | None, str]:
    """Low-rank adapters for a model of more than 300M parameters.

    Such a model's gradients and optimizer state fill a GPU, and adapters learn as much from sets as small as those of
    fine-tuning (Schulman et al., "LoRA without regret", 2025).
    """
    millions = parameters / 1e6
    size = f"{millions:,.0f} million parameters" if millions >= 10 else f"{millions:.2g} million parameters"
    if parameters <= ADAPTED_FROM:
        return None, f"because a model of {size} is small enough to train in full"
    return LoraConfig().model_dump(), f"because {size} are many for training all of them; null does"


def learning_rate_by_size(parameters: int, *, head: Head, adapters: bool = False) -> float:
    """2e-4 up to 20M parameters, 1e-5 from 150M, and log-log linear in between.

    Adapters train at ten times that rate (Schulman et al., "LoRA without regret", 2025). A model that starts from its
    bi-encoder's cosines gets at most 5e-5, since it has something to lose (docs/results.md, "The start").
    """
    sizes, rates = np.log([_SMALL, _LARGE]), np.log([_RATE_OF_SMALL, _RATE_OF_LARGE])
    rate = float(np.exp(np.interp(math.log(parameters), sizes, rates)))
    if head == "grafted":
        rate = min(rate, _MOST_OF_GRAFT)
    return two_digits(rate * (_ADAPTER_FACTOR if adapters else 1))


def pick_learning_rate(by_size: float, multiple: float) -> Pick:
    """The rate for the model's size, times the multiple that a range test found safe (1: the full rate)."""
    if multiple == 1:
        return by_size, "by model size; a range test on training rows stayed stable"
    return two_digits(by_size * multiple), f"as {multiple:g} times the rate for the model size: a range test diverged"


def pick_head_learning_rate(body: float, head: Head) -> Pick:
    """Ten times the body's rate for a fresh head, at most 2e-3; the body's rate for any other head."""
    if head != "fresh":
        return body, f"to match the body's rate, because the head is {head}"
    return min(_MOST_OF_HEAD, two_digits(_HEAD_FACTOR * body)), f"as {_HEAD_FACTOR} times the body's, for a fresh head"


def pick_precision(times_as_fast: float) -> tuple[str, str]:
    """bf16 if it made a training step clearly faster; the margin keeps noise from flipping the pick."""
    took = f"because a step in bf16 was {times_as_fast:.2f} times as fast as in fp32"
    return ("bf16" if times_as_fast > _WORTH_BF16 else "fp32"), took


def pick_distillation_weight(*, has_teacher: bool, mistaken: float, start_teaches: bool) -> Pick:
    """1, the same weight as the labels, with a teacher; 0 without, or if it holds the model to its starting mistakes.

    Args:
        has_teacher: whether there are teacher scores.
        mistaken: share of the groups in which the teacher ranks another document above a relevant one.
        start_teaches: whether the teacher is what training starts from, and people judged the groups.
    """
    if not has_teacher:
        return 0.0, "because there is no teacher"
    if start_teaches and mistaken >= _MISTAKEN:
        return 0.0, f"because the base model, as the teacher, is mistaken in {mistaken:.0%} of the groups"
    return 1.0, "because there are teacher scores"


def pick_epochs(groups: int, in_time: float) -> Pick:
    """Enough whole epochs to see about 3,000 groups: at most four, and one above 2,000 groups; less if time is short.

    Args:
        groups: number of training groups.
        in_time: number of groups for which `training.minutes` are enough.
    """
    wanted = float(min(_MOST_EPOCHS, max(1, round(_GROUPS_SEEN / groups))))
    if in_time >= wanted * groups:
        return wanted, f"for {groups:,} groups"
    why = f"instead of {wanted:g}: training.minutes are enough for {in_time:,.0f} groups, and there are {groups:,}"
    return two_digits(in_time / groups), why


def pick_merge(head: Head, *, asked_by_people: bool) -> tuple[float | list[float], str]:
    """Shares of the starting weights to try, if the starting model could already rank; half if dev cannot choose.

    Pseudo-queries on dev resemble those of training, so what hurts people's queries can still improve dev
    (docs/results.md, "Adaptation without labels").
    """
    if head == "fresh":
        return [], "because the head is fresh"
    if not asked_by_people:
        return _HALF, f"because the head is {head} and pseudo-queries cannot show what was forgotten"
    return _SHARES, f"because the head is {head}"


def pick_max_length(pair_lengths: Sequence[int], limit: int) -> Pick:
    """The smallest multiple of 16 that fits 95% of the pairs, at most 256 and at most the model's limit.

    Args:
        pair_lengths: tokens of each query–document pair, special tokens included; shape (pairs,).
        limit: maximum tokens that the model can read.
    """
    fits = float(np.quantile(pair_lengths, _SHARE_THAT_FITS))
    wanted = _STEP_OF_LENGTH * math.ceil(fits / _STEP_OF_LENGTH)
    most = min(limit, AUTO_MAX_LENGTH)
    length = min(wanted, most - most % _STEP_OF_LENGTH)
    longer = float(np.mean(np.asarray(pair_lengths) > length))
    return length, f"by training pair lengths; {longer:.0%} of the documents are longer and are read in windows"


def pair_lengths(groups: Iterable[Group], collection: Collection, base_model: Path, limit: int) -> list[int]:
    """Tokens of each query–document pair in up to 500 groups, by a seeded draw, special tokens included."""
    tokenizer = pair_tokenizer(base_model, limit)
    lengths: list[int] = []
    for group in _drawn(groups):
        taken = limit - tokenizer.document_room(collection.queries[group.query_id])
        texts = (collection.corpus[doc_id].full_text for doc_id in group.doc_ids)
        lengths += [taken + len(tokenizer.spans(text)) for text in texts]
    return lengths


def _drawn(groups: Iterable[Group]) -> list[Group]:
    """Draw groups uniformly from a stream of unknown length (reservoir sampling)."""
    draw = random.Random(0)  # noqa: S311 - a seeded draw, not a secret
    drawn: list[Group] = []
    for number, group in enumerate(groups):
        if number < _MEASURED_GROUPS:
            drawn.append(group)
        elif (place := draw.randrange(number + 1)) < _MEASURED_GROUPS:
            drawn[place] = group
    return drawn


def _shown(value: float | str | list[float] | dict[str, Any] | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {found:g}" for key, found in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float | int) else str(value)


def two_digits(value: float) -> float:
    """Rounded to two significant digits, as picked values are."""
    return float(f"{value:.1e}")
