"""`Allowance`: the most that may be asked, in requests and tokens."""

from __future__ import annotations

import threading
from typing import Final

CHARACTERS_OF_A_TOKEN: Final = 4  # roughly, for estimates, and where nobody says how many tokens it were


class AllowanceSpentError(Exception):
    """No more may be asked."""


class Allowance:
    """Counts requests and tokens, and refuses to go beyond; may be used from several threads.

    Args:
        most_calls: requests in all.
        most_tokens: tokens in all; None for no limit.
    """

    def __init__(self, most_calls: int, most_tokens: int | None = None) -> None:
        self._most_calls = most_calls
        self._most_tokens = most_tokens
        self._lock = threading.Lock()
        self.calls = 0
        self._tokens = 0

    @property
    def calls_left(self) -> int:
        """Requests that may still be made."""
        return max(0, self._most_calls - self.calls)

    @property
    def tokens_left(self) -> int | None:
        """Tokens that may still be used; None for no limit."""
        return None if self._most_tokens is None else max(0, self._most_tokens - self._tokens)

    def start_with(self, calls: int, tokens: int = 0) -> None:
        """Count what was spent before."""
        with self._lock:
            self.calls += calls
            self._tokens += tokens

    def take(self) -> None:
        """Count one more request.

        Raises:
            AllowanceSpentError: there is none left.
        """
        with self._lock:
            if self.calls >= self._most_calls:
                raise AllowanceSpentError
            if self._most_tokens is not None and self._tokens >= self._most_tokens:
                raise AllowanceSpentError
            self.calls += 1

    def add_tokens(self, tokens: int) -> None:
        """Count tokens."""
        with self._lock:
            self._tokens += tokens
