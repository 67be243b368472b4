"""Asks about many things at a time, and no further once something fails or nothing is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from crossforge.errors import InputError
from crossforge_train.asking.endpoint import RefusedError

PATIENCE = 20  # refusals without a single answer, after which no more is asked

Item = TypeVar("Item")


def ask_each(
    items: Sequence[Item],
    ask: Callable[[Item], object],
    concurrency: int,
    *,
    patience: int = PATIENCE,
    answered: bool = False,
) -> Iterator[tuple[Item, str]]:
    """Ask about each item, and give each with why it was refused, in order; empty if it was answered.

    After a failure nothing more is begun, and so paid for: what comes later in the queue is never looked at.

    Args:
        items: what is asked about.
        ask: asks about one item, and keeps the answer; is called from several threads.
        concurrency: how many are asked about at a time.
        patience: refusals without a single answer that end it.
        answered: whether there has been an answer before, so that refusals say nothing of the endpoint.

    Raises:
        InputError: `ask` failed, or nothing but refusals came.
    """
    failed, refused = Event(), 0

    def problem_of(item: Item) -> str:
        if failed.is_set():
            return ""
        try:
            ask(item)
        except RefusedError as error:
            return str(error)
        except InputError:
            failed.set()
            raise
        return ""

    with ThreadPoolExecutor(concurrency) as pool:
        for item, problem in zip(items, pool.map(problem_of, items), strict=True):
            answered, refused = answered or not problem, refused + bool(problem)
            if not answered and refused >= patience:
                failed.set()
                raise InputError(problem)
            yield item, problem
