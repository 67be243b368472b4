"""What grading will cost at most, said before anything is paid for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from crossforge_train.asking.allowance import CHARACTERS_OF_A_TOKEN, Allowance
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import Pair, prompt


class Estimate(NamedTuple):
    """What is graded, as far as the budget goes.

    Attributes:
        pairs: how many, which is also how many requests unless some fail.
        read: tokens of the requests, roughly.
        written: tokens of the answers, at most.
        price: of both, at most; None if it is not known.
    """

    pairs: int
    read: int
    written: int
    price: float | None


def estimate(config: JudgeConfig, new: Iterable[Pair], allowance: Allowance) -> Estimate:
    """What grading pairs takes of what is left of the budget.

    Args:
        config: the judge, with its prices.
        new: pairs that are not graded yet, the first ones first.
        allowance: knows what was spent before.
    """
    pairs, read, most = 0, 0, allowance.tokens_left
    for pair in islice(new, allowance.calls_left):
        if most is not None and read >= most:
            break
        pairs += 1
        read += len(prompt(config, pair)) // CHARACTERS_OF_A_TOKEN
    written = pairs * config.max_new_tokens
    if most is not None:
        read, written = min(read, most), min(written, max(0, most - read))
    return Estimate(pairs, read, written, _price(config, read, written))


def in_words(config: JudgeConfig, found: Estimate, new: int, known: int) -> str:
    """The estimate in one line.

    Args:
        config: the judge.
        found: the estimate.
        new: pairs that are not graded yet.
        known: pairs that are.
    """
    pairs = f"{found.pairs:,}" if found.pairs == new else f"{found.pairs:,} of {new:,}"
    limit = "" if config.max_tokens is None else f" or {config.max_tokens:,} tokens (max_tokens)"
    if config.local:
        return (
            f"{config.model} grades {pairs} pairs here, {known:,} more are known: about {found.read:,} tokens; it "
            f"stops at {config.max_calls:,} pairs (max_calls){limit}"
        )
    price = "" if found.price is None else f" (at most {_hundredths(found.price):,.2f} at {_prices(config)} a million)"
    return (
        f"{config.model} grades {pairs} pairs, {known:,} more are known: {found.pairs:,} requests, about "
        f"{found.read:,} tokens, and up to {found.written:,} in the answers{price}; it stops at "
        f"{config.max_calls:,} requests (max_calls){limit}"
    )


def _price(config: JudgeConfig, read: int, written: int) -> float | None:
    if config.price is None:
        return None
    of_answers = config.price if config.answer_price is None else config.answer_price
    return (read * config.price + written * of_answers) / 1e6


def _hundredths(price: float) -> float:
    """Rounded up: what is said to be the most must not be less."""
    return math.ceil(price * 100) / 100


def _prices(config: JudgeConfig) -> str:
    return f"{config.price:g}" + ("" if config.answer_price is None else f" and {config.answer_price:g}")
