"""Titles and headings as queries for what stands below them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.pseudo_queries import PseudoQuery, Span, of_text, seeded
from crossforge_train.adaptation.texts import headings, size
from crossforge_train.collections.collection import TITLE
from crossforge_train.collections.splits import fingerprint, normalized
from crossforge_train.config.documents import DocumentsSource

_SHORTEST, _LONGEST = 8, 250  # bytes
# A title of more documents than these ("Introduction") is none: it asks for none of them, nor holds them together.
_MOST_DOCUMENTS = 20


class TitleMaker:
    """The title of a document; documents with one title are all relevant to it. Then the Markdown headings of its text.

    Args:
        documents: the whole corpus, read once for titles that stand over several.
        seed: of the order of headings.
    """

    kind = TITLE

    def __init__(self, documents: Iterable[Document], seed: int) -> None:
        self._sharing = _by_title(documents)
        self._seed = seed

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        return (self._of(document) for document in documents)

    def _of(self, document: Document) -> list[PseudoQuery]:
        below = list(headings(document.text))
        seeded(self._seed, self.kind, document).shuffle(below)
        found = [
            of_text(self.kind, document.text[start:end], document, start, end)
            for start, end in below
            if _SHORTEST <= size(document.text[start:end]) <= _LONGEST
        ]
        title = document.title.strip()
        sharing = self._sharing.get(title_key(document), {document.doc_id: len(document.title)})
        if document.text and _SHORTEST <= size(title) <= _LONGEST and len(sharing) <= _MOST_DOCUMENTS:
            lifted = [Span(doc_id, True, 0, end) for doc_id, end in sharing.items()]
            found.insert(0, PseudoQuery(self.kind, title, list(sharing), lifted))
        return found


def by_title(documents: Iterable[Document]) -> dict[str, str]:
    """Document id -> a key that those share that must stand in one split: those with one title, if it is one."""
    keys = {document.doc_id: title_key(document) for document in documents}
    sharing = Counter(keys.values())
    return {doc_id: key if sharing[key] <= _MOST_DOCUMENTS else doc_id for doc_id, key in keys.items()}


def title_key(document: Document) -> str:
    """The same for documents with one title."""
    title = normalized(document.title)
    return fingerprint(title) if title else document.doc_id


def _by_title(documents: Iterable[Document]) -> Mapping[str, dict[str, int]]:
    """For each title that several documents have, their ids and the length of the title as it stands there."""
    first: dict[str, tuple[str, int]] = {}
    sharing: dict[str, dict[str, int]] = {}
    for document in documents:
        if not document.title.strip() or not document.text.strip():
            continue
        key, here = title_key(document), (document.doc_id, len(document.title))
        if first.setdefault(key, here) != here:
            sharing.setdefault(key, dict([first[key]]))[here[0]] = here[1]
    return sharing


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> TitleMaker:
    """See `MakerFactory`."""
    return TitleMaker(corpus.values(), source.seed)
