"""Shared parts of the query makers that use language models: clean-up of the answers, and a cache on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge_train.adaptation.pseudo_queries import PseudoQuery
from crossforge_train.asking.answers import AnswerFile, digest, file_for

# Takes the texts of documents and returns the answers for each.
Ask = Callable[[Sequence[str]], Sequence[Sequence[str]]]

_LONGEST = 300  # characters of a query
_LEADING = re.compile(r"^\s*(?:(?:\d+[.)]|[-*•])\s+)?(?:(?:(?:search\s+)?query|question)\s*\d*\s*:)?\s*[\"“']*", re.I)


class Cache:
    """Caches answers by the hash of their document.

    Args:
        folder: folder with one file per combination of settings.
        settings: everything besides the document that determines an answer.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._answers = AnswerFile(file_for(folder, settings))

    def __contains__(self, text: str) -> bool:
        return digest(text) in self._answers

    def __getitem__(self, text: str) -> Sequence[str]:
        found: Sequence[str] = self._answers[digest(text)]
        return found

    def add(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> None:
        """Store the answers for each text."""
        self._answers.add({digest(text): list(found) for text, found in zip(texts, answers, strict=True)})


class GeneratedQueries:
    """A `QueryMaker` around any generator of queries; each document is sent to it only once, even across runs.

    Args:
        kind: name in reports and quotas.
        ask: generates queries for texts.
        cache: cache for the answers.
    """

    def __init__(self, kind: str, ask: Ask, cache: Cache) -> None:
        self._kind = kind
        self._ask = ask
        self._cache = cache

    @property
    def kind(self) -> str:
        """See `QueryMaker`."""
        return self._kind

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        texts = [document.full_text for document in documents]
        new = [text for text in dict.fromkeys(texts) if text.strip() and text not in self._cache]
        if new:
            self._cache.add(new, self._ask(new))
        for document, text in zip(documents, texts, strict=True):
            answers = self._cache[text] if text.strip() else ()
            queries = filter(None, dict.fromkeys(map(as_query, answers)))
            yield [PseudoQuery(self.kind, query, [document.doc_id]) for query in queries]


def as_query(answer: str) -> str:
    """The first non-empty line of an answer, without the numbering, labels and quotes that models like to add.

    Empty if there is no such line, or if it is longer than 300 characters.
    """
    lines = (" ".join(_LEADING.sub("", line).split()).rstrip("\"”'") for line in answer.splitlines())
    found = next(filter(None, lines), "")
    return found if len(found) <= _LONGEST else ""
