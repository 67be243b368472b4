"""Sentences as queries for the documents that they were lifted out of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.pseudo_queries import PseudoQuery, of_text, seeded
from crossforge_train.adaptation.texts import sentences, size
from crossforge_train.config.documents import DocumentsSource

_SHORTEST, _LONGEST = 30, 220  # bytes


class SentenceMaker:
    """The inverse cloze task: given a sentence, find where it stood.

    Source: Lee, Chang and Toutanova, "Latent Retrieval for Weakly Supervised Open Domain Question Answering", ACL 2019.
    """

    kind = "sentence"

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        return (self._of(document) for document in documents)

    def _of(self, document: Document) -> list[PseudoQuery]:
        places = list(sentences(document.text))
        if len(places) < 2:
            return []
        fitting = [(start, end) for start, end in places if _SHORTEST <= size(document.text[start:end]) <= _LONGEST]
        seeded(self._seed, self.kind, document).shuffle(fitting)
        return [
            of_text(self.kind, " ".join(document.text[start:end].split()), document, start, end)
            for start, end in fitting
        ]


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> SentenceMaker:
    """See `MakerFactory`."""
    return SentenceMaker(source.seed)
