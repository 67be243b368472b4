"""Length-sorted batches under a token budget, shared by scoring and training, and fixed-size blocks of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")

# On CPUs, throughput (pairs per second) peaks between 512 and 1024 padded tokens per batch.
CPU_TOKEN_BUDGET = 1024
# A GPU is idle for most of a batch that small. Training has micro-batches of this size there, with all activations.
GPU_TOKEN_BUDGET = 32768
# Fixed overhead of a batch, in tokens: between 20 and 110, estimated from timings of 40- and 130-token batches.
_BATCH_COST = 64


def token_budget_batches(lengths: Sequence[int], budget: int = CPU_TOKEN_BUDGET) -> list[list[int]]:
    """Split positions 0 … len(lengths)-1 into batches at minimum cost, longest items first.

    The cost of a split is its padded tokens (batch size × longest length, summed) plus `_BATCH_COST` per batch. Dynamic
    programming finds the optimal way to cut the sorted lengths.

    Args:
        lengths: token count of each item.
        budget: maximum padded tokens per batch; a longer item gets a batch of its own.

    Returns:
        Lists of positions. Every position is in exactly one list; ties keep their input order.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    costs, starts = [0], [0]  # per prefix of the sorted items: its minimum cost, and the start of its last batch
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
    """Share of padding among the token positions that the batches compute, from 0 to 1."""
    computed = sum(len(batch) * max(lengths[position] for position in batch) for batch in batches)
    return 1 - sum(lengths) / computed if computed else 0.0


def blocks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size` (the last may be shorter), holding one list in memory at a time."""
    remaining = iter(items)
    while block := list(islice(remaining, size)):
        yield block
