"""Finds the sentences and headings of a text, by position."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A full stop followed by white space ends a sentence, but not after an initial or a common abbreviation.
_END = re.compile(
    r"(?<!\b[A-Za-z])(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bfig)(?<!\bFig)(?<!\bDr)(?<!\bMr)(?<!\bapprox)"
    r"[.!?…]+[\"')\]]*(?=\s)|[。！？]+|\n\s*\n|\n(?=\s*[#*-])|\s-\s(?=[A-Z])"
)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence, without surrounding white space."""
    place = 0
    for found in (*_END.finditer(text), None):
        end = found.end() if found else len(text)
        piece = text[place:end]
        if piece.strip():
            start = place + len(piece) - len(piece.lstrip())
            yield start, start + len(piece.strip())
        place = end


def headings(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the text of each Markdown heading."""
    return (found.span(1) for found in _HEADING.finditer(text))


def size(text: str) -> int:
    """Length in UTF-8 bytes, which is fair to scripts that write a word with one character."""
    return len(text.encode("utf-8", "replace"))
