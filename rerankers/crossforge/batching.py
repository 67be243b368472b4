"""Length-sorted batches under a token budget, the same for scoring and training; blocks of what is read as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

# On CPUs, pairs per second peak between 512 and 1024 padded tokens a batch and fall on both sides.
CPU_TOKEN_BUDGET = 1024
# What a batch costs by itself, in tokens: between 20 and 110 by the times of batches of 40 and of 130 tokens.
_BATCH_COST = 64


def token_budget_batches(lengths: Sequence[int], budget: int = CPU_TOKEN_BUDGET) -> list[list[int]]:
    """Split positions 0 … len(lengths)-1 into batches, longest first, at the least cost.

    Of all ways to cut the sorted lengths into batches the one with the fewest padded tokens (batch size × longest
    length), where a batch more counts as much as `_BATCH_COST` of them; found by dynamic programming.

    Args:
        lengths: tokens of each item.
        budget: the most padded tokens of one batch; an item longer than that gets a batch of its own.

    Returns:
        Lists of positions. Every position stands in exactly one of them; ties keep their input order.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    costs, starts = [0], [0]  # of the first items up to each place, and where their last batch starts
    for end in range(1, len(order) + 1):
        best, best_start = costs[end - 1] + lengths[order[end - 1]], end - 1
        for start in range(end - 2, -1, -1):
            tokens = (end - start) * lengths[order[start]]
            if tokens > budget:
                break
            if costs[start] + tokens < best:
                best, best_start = costs[start] + tokens, start
        costs.append(best + _BATCH_COST)
        starts.append(best_start)
    batches: list[list[int]] = []
    end = len(order)
    while end:
        batches.append(order[starts[end] : end])
        end = starts[end]
    return batches[::-1]


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """The share of padded positions in all that the batches compute, from 0 to 1."""
    computed = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    return 1 - sum(lengths) / computed if computed else 0.0


def blocks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one maybe shorter; no more than one list is held."""
    remaining = iter(items)
    while block := list(islice(remaining, size)):
        yield block
