"""`PseudoQuery`, the protocol for makers of pseudo-queries, and cutting them out of their documents."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.collections.splits import fingerprint, normalized
from crossforge_train.config.documents import DocumentsSource


class Span(NamedTuple):
    """A piece of a document: characters `start` to `end` (exclusive) of its title or text."""

    doc_id: str
    in_title: bool
    start: int
    end: int


class PseudoQuery(NamedTuple):
    """A query made from documents.

    Attributes:
        kind: kind of its maker.
        text: text of the query.
        doc_ids: ids of the relevant documents.
        words: spans of its own words in them; these are cut out, so that no system can match them verbatim.
    """

    kind: str
    text: str
    doc_ids: Sequence[str]
    words: Sequence[Span] = ()

    @property
    def query_id(self) -> str:
        """An id derived from kind and normalized text; queries that agree in both share it."""
        return f"{self.kind}-{fingerprint(normalized(self.text))[:16]}"


class QueryMaker(Protocol):
    """Makes one kind of pseudo-query."""

    @property
    def kind(self) -> str:
        """Name in reports and quotas."""

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """Yield each document's pseudo-queries, in order of preference; the same on every call."""


# (corpus, how its texts become terms, the source's settings) -> what makes one kind; its `kind` is its registered name.
MakerFactory = Callable[[Mapping[str, Document], Analyzer, DocumentsSource], QueryMaker]


def seeded(seed: int, kind: str, document: Document) -> random.Random:
    """A random generator for one maker and one document, independent of all others."""
    return random.Random(f"{seed}:{kind}:{document.doc_id}")  # noqa: S311 - a seeded draw, not a secret


def of_text(kind: str, query: str, document: Document, start: int, end: int) -> PseudoQuery:
    """A query of one document whose words are one span of its text."""
    return PseudoQuery(kind, query, [document.doc_id], [Span(document.doc_id, False, start, end)])


def without(document: Document, spans: Iterable[Span]) -> Document:
    """The document without those of the spans that belong to it."""
    own = [span for span in spans if span.doc_id == document.doc_id]
    title = _cut(document.title, [(span.start, span.end) for span in own if span.in_title])
    text = _cut(document.text, [(span.start, span.end) for span in own if not span.in_title])
    return replace(document, title=title, text=text)


def _cut(text: str, bounds: Sequence[tuple[int, int]]) -> str:
    if not bounds:
        return text
    pieces, place = [], 0
    for start, end in sorted(bounds):
        pieces.append(text[place : max(place, start)].strip())
        place = max(place, end)
    return " ".join(filter(None, [*pieces, text[place:].strip()]))
