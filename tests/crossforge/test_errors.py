"""What is quoted of a library's error is one line, and never none."""

from __future__ import annotations

import pytest

from crossforge.errors import first_line, last_line


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("The worker died.", "The worker died", "The worker died"),
        ("\n  no weights here. \nTraceback:\n  KeyError: 'x'\n\n", "no weights here", "KeyError: 'x'"),
        ("", "ValueError", "ValueError"),
        (" \n.\n", "ValueError", "ValueError"),
    ],
)
def test_one_line_is_quoted_without_its_full_stop(said: str, first: str, last: str) -> None:
    assert (first_line(ValueError(said)), last_line(ValueError(said))) == (first, last)
