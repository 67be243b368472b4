"""`SharedReranker` computes simultaneous requests together."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.reranker import Reranker
from crossforge.tokenization import EncodedPair

_logger = logging.getLogger(__name__)
# A round of this many pairs admits no more callers, so that its first ones do not wait too long.
_ROUND = 2048

Logits = NDArray[np.float32]
Waiting = tuple[Sequence[EncodedPair], "Future[Logits]"]
# Called after each round with its numbers of callers and pairs.
Observer = Callable[[int, int], None]


class SharedBatches:
    """One thread that computes for all callers, each round for all who are waiting.

    No caller waits for others to come: while one round is computed, the next one gathers.

    Args:
        compute: encoded pairs to logits, in order.
    """

    def __init__(self, compute: Callable[[Sequence[EncodedPair]], Logits]) -> None:
        self._compute = compute
        self._waiting: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.observer: Observer = lambda callers, pairs: None

    def __call__(self, encoded: Sequence[EncodedPair]) -> Logits:
        """The logits of these pairs; blocks until their round is done."""
        answer: Future[Logits] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="crossforge-batches", daemon=True)
                self._thread.start()
            self._waiting.put((encoded, answer))
        return answer.result()

    def close(self) -> None:
        """Finish waiting calls and end the thread; a later call starts another."""
        with self._lock:
            if self._thread is not None:
                self._waiting.put(None)
                self._thread.join()
                self._thread = None

    def _work(self) -> None:
        open_for_more = True
        while open_for_more:
            callers, open_for_more = self._gather()
            if callers:
                self._answer(callers)

    def _gather(self) -> tuple[list[Waiting], bool]:
        """All waiting callers, at least one; and whether more may come."""
        callers: list[Waiting] = []
        pairs = 0
        while pairs < _ROUND:
            try:
                found = self._waiting.get(block=not callers)
            except queue.Empty:
                break
            if found is None:
                return callers, False
            callers.append(found)
            pairs += len(found[0])
        return callers, True

    def _answer(self, callers: Sequence[Waiting]) -> None:
        together = [pair for encoded, _ in callers for pair in encoded]
        try:
            logits = self._compute(together)
        except Exception as error:
            for _, answer in callers:
                answer.set_exception(error)
            return
        self._observe(len(callers), len(together))
        start = 0
        for encoded, answer in callers:
            answer.set_result(logits[start : start + len(encoded)])
            start += len(encoded)

    def _observe(self, callers: int, pairs: int) -> None:
        try:
            self.observer(callers, pairs)
        except Exception:  # of whoever counts; the callers have to get their logits, and the next ones a thread
            _logger.exception("a round of %d callers could not be counted", callers)


class SharedReranker(Reranker):
    """A reranker whose callers, each in its own thread, share batches. Close it after use."""

    def _assemble(self, *arguments: Any) -> None:
        super()._assemble(*arguments)
        self.batches = SharedBatches(super().logits_of)

    def logits_of(self, encoded: Sequence[EncodedPair]) -> Logits:
        """See `Reranker.logits_of`."""
        return self.batches(encoded) if encoded else super().logits_of(encoded)

    def close(self) -> None:
        """Finish waiting calls and end the computing thread."""
        self.batches.close()
