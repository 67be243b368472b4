"""Shared parts of the query makers that use language models: clean-up of the answers, and a cache on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge_train.adaptation.pseudo_queries import PseudoQuery
from crossforge_train.asking.answers import AnswerFile, digest, file_for

# Is told the answers for some texts, as soon as they are there; may be called from several threads.
Keep = Callable[[Mapping[str, Sequence[str]]], None]
# Takes the texts of documents, in blocks, and whom to tell their answers; a text that is refused has none. Blocks are
# asked about by themselves, so that a text's answers do not depend on how many are asked about at once.
Ask = Callable[[Sequence[Sequence[str]], Keep], None]

BLOCK = 64  # documents that a maker is given at a time
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

    def get(self, text: str) -> Sequence[str]:
        """The answers for a text; none if it was never answered."""
        found: Sequence[str] = self._answers[digest(text)] if text in self else ()
        return found

    def __bool__(self) -> bool:
        """Whether anything was ever answered with these settings."""
        return bool(self._answers)

    def add(self, answers: Mapping[str, Sequence[str]]) -> None:
        """Store the answers for each text; may be called from several threads."""
        self._answers.add({digest(text): list(found) for text, found in answers.items()})


class GeneratedQueries:
    """A `QueryMaker` around any generator of queries; each document is sent to it only once, even across runs.

    Args:
        kind: name in reports and quotas.
        ask: generates queries for texts.
        cache: cache for the answers.
        ahead: how many blocks of documents are best asked about at once; see `prepare`.
    """

    def __init__(self, kind: str, ask: Ask, cache: Cache, ahead: int = 1) -> None:
        self._kind = kind
        self._ask = ask
        self._cache = cache
        self._refused: set[str] = set()
        self.ahead = ahead

    @property
    def kind(self) -> str:
        """See `QueryMaker`."""
        return self._kind

    @property
    def refused(self) -> int:
        """How many texts were refused so far; none of them is asked about again before the next run."""
        return len(self._refused)

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        self.prepare([documents])
        for document in documents:
            text = document.full_text
            answers = self._cache.get(text)
            if text.strip() and not answers:
                self._refused.add(text)
            queries = filter(None, dict.fromkeys(map(as_query, answers)))
            yield [PseudoQuery(self.kind, query, [document.doc_id]) for query in queries]

    def prepare(self, blocks: Sequence[Sequence[Document]]) -> None:
        """Ask about several blocks, each of which `make` will be given; their answers are kept as they come."""
        new, told = list[list[str]](), set(self._refused)
        for documents in blocks:
            texts = dict.fromkeys(document.full_text for document in documents if document.full_text.strip())
            unknown = [text for text in texts if text not in self._cache and text not in told]
            told.update(unknown)
            if unknown:
                new.append(unknown)
        if new:
            self._ask(new, self._cache.add)
            self._refused.update(text for texts in new for text in texts if not self._cache.get(text))


def as_query(answer: str) -> str:
    """The first non-empty line of an answer, without the numbering, labels and quotes that models like to add.

    Empty if there is no such line, or if it is longer than 300 characters.
    """
    lines = (" ".join(_LEADING.sub("", line).split()).rstrip("\"”'") for line in answer.splitlines())
    found = next(filter(None, lines), "")
    return found if len(found) <= _LONGEST else ""
