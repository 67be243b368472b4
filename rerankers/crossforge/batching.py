"""Length-sorted batches under a token budget, the same for scoring and training; blocks of what is read as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

# On CPUs, pairs per second peak between 512 and 1024 padded tokens a batch and fall on both sides.
CPU_TOKEN_BUDGET = 1024


def token_budget_batches(lengths: Sequence[int], budget: int = CPU_TOKEN_BUDGET) -> list[list[int]]:
    """Split positions 0 … len(lengths)-1 into batches, longest first.

    Args:
        lengths: tokens of each item.
        budget: the most padded tokens (batch size × longest length) of one batch; an item longer than that
            gets a batch of its own.

    Returns:
        Lists of positions. Every position stands in exactly one of them; ties keep their input order.
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The share of padded positions in all that the batches compute, from 0 to 1."""
    computed = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    return 1 - sum(lengths) / computed if computed else 0.0


def blocks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one maybe shorter; no more than one list is held."""
    remaining = iter(items)
    while block := list(islice(remaining, size)):
        yield block
