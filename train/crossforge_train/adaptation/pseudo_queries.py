"""`PseudoQuery`, the protocol of what makes them, and lifting them out of their documents."""

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
    """A piece of a document: characters `start` to `end` of its title or its text."""

    doc_id: str
    in_title: bool
    start: int
    end: int


class PseudoQuery(NamedTuple):
    """A query that was made from documents.

    Attributes:
        kind: what made it.
        text: the query.
        doc_ids: the documents that are relevant to it.
        words: where its own words stand in them: what is lifted out, so that no system finds them by copying.
    """

    kind: str
    text: str
    doc_ids: Sequence[str]
    words: Sequence[Span] = ()

    @property
    def query_id(self) -> str:
        """An id that follows from the text: two queries that say the same have the same."""
        return f"{self.kind}-{fingerprint(normalized(self.text))[:16]}"


class QueryMaker(Protocol):
    """Makes one kind of pseudo-query."""

    @property
    def kind(self) -> str:
        """Its name in reports and quotas."""

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """For each document its pseudo-queries in the order in which they are taken; the same on every call."""


# (corpus, how its texts become terms, the source's settings) -> what makes one kind; its `kind` is its registered name.
MakerFactory = Callable[[Mapping[str, Document], Analyzer, DocumentsSource], QueryMaker]


def seeded(seed: int, kind: str, document: Document) -> random.Random:
    """The draws of one maker for one document, which depend on nothing else."""
    return random.Random(f"{seed}:{kind}:{document.doc_id}")  # noqa: S311 - a seeded draw, not a secret


def of_text(kind: str, query: str, document: Document, start: int, end: int) -> PseudoQuery:
    """A query of one document, whose words stand in one place of its text."""
    return PseudoQuery(kind, query, [document.doc_id], [Span(document.doc_id, False, start, end)])


def without(document: Document, spans: Iterable[Span]) -> Document:
    """The document without the spans that stand in it."""
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
