"""Splits a docstring into its summary (a query) and the rest (the document), with markup reduced to plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIGNATURE = re.compile(r"^[\w.]+\s*\((?:[^()]|\([^()]*\))*\)\s*(?:->.*)?$", re.DOTALL)
_ROLE = re.compile(r":[a-zA-Z:]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`")
_DIRECTIVE = re.compile(
    r"^\s*\.\. (?:math|note|warning|seealso|versionadded|versionchanged|deprecated|plot|code-block|_)[^\n]*$",
    re.MULTILINE,
)
_UNDERLINE = re.compile(r"^\s*[-=~^]{3,}\s*$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_SPACE = re.compile(r"\s+")
_VARYING = re.compile(r"^.*# may vary\s*$", re.MULTILINE)  # numpy's mark of an output that is not always the same
_SET = re.compile(r"\{('\w+'(?:, '\w+')+)\}")


@dataclass(frozen=True)
class SplitDocstring:
    """The first sentence of a docstring and everything after it, both plain text; either may be empty."""

    summary: str
    body: str


def split_docstring(docstring: str) -> SplitDocstring:
    """Split at the end of the first sentence; call signatures above it belong to neither half."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", repeatable(docstring)) if part.strip()]
    while paragraphs and _is_signature(paragraphs[0]):
        paragraphs = paragraphs[1:]
    if not paragraphs:
        return SplitDocstring("", "")
    first = _drop_leading_signature(paragraphs[0])
    sentences = _SENTENCE_END.split(first, maxsplit=1)
    rest = [*sentences[1:], *paragraphs[1:]]
    return SplitDocstring(plain_text(sentences[0]), plain_text("\n\n".join(rest)))


def repeatable(docstring: str) -> str:
    """The docstring without what differs from one process to the next, where a library makes it at import.

    That is random output, which is left out, and printed sets, which are sorted.
    """
    return _SET.sub(lambda found: f"{{{', '.join(sorted(found[1].split(', ')))}}}", _VARYING.sub("", docstring))


def plain_text(markup: str) -> str:
    """ReStructuredText with roles, directives, underlines and literal marks taken out, on one line."""
    text = _ROLE.sub(r"\1", markup)
    text = _DIRECTIVE.sub(" ", text)
    text = _UNDERLINE.sub(" ", text)
    return _SPACE.sub(" ", text.replace("``", "").replace("`", "")).strip()


def remove_name(summary: str, qualified_name: str) -> str:
    """The summary without the object's own name ("polyfit: Least squares fit." -> "Least squares fit.")."""
    name = re.escape(qualified_name.rsplit(".", 1)[-1])
    text = re.sub(rf"(?<![\w.])(?:[\w.]+\.)?{name}(?:\(\))?(?!\w)", " ", summary)
    return _SPACE.sub(" ", text).strip(" :-–—,")


def _is_signature(paragraph: str) -> bool:
    return all(_SIGNATURE.match(line.strip()) for line in paragraph.splitlines()) or bool(_SIGNATURE.match(paragraph))


def _drop_leading_signature(paragraph: str) -> str:
    lines = paragraph.splitlines()
    while len(lines) > 1 and _SIGNATURE.match(lines[0].strip()):
        lines = lines[1:]
    return "\n".join(lines)
