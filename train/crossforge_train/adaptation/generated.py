"""Shared parts of the query makers that use language models: clean-up of the answers, and a cache on disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge_train.adaptation.pseudo_queries import PseudoQuery

# Takes the texts of documents and returns the answers for each.
Ask = Callable[[Sequence[str]], Sequence[Sequence[str]]]

_LONGEST = 300  # characters of a query
_LEADING = re.compile(r"^\s*(?:(?:\d+[.)]|[-*•])\s+)?(?:(?:(?:search\s+)?query|question)\s*\d*\s*:)?\s*[\"“']*", re.I)


class Cache:
    """Caches answers by the hash of their document, in a file to which whole lines are appended.

    Args:
        folder: folder with one file per combination of settings.
        settings: everything besides the document that determines an answer.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._path = folder / f"{_hash(json.dumps(settings, sort_keys=True))}.jsonl"
        self._answers = dict(self._read())

    def __contains__(self, text: str) -> bool:
        return _hash(text) in self._answers

    def __getitem__(self, text: str) -> Sequence[str]:
        return self._answers[_hash(text)]

    def add(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> None:
        """Store the answers for each text."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = {_hash(text): list(found) for text, found in zip(texts, answers, strict=True)}
        with self._path.open("a", encoding="utf-8", errors="replace") as lines:
            # Start with a newline: a kill may have truncated the previous line.
            lines.writelines(f"\n{json.dumps([key, found], ensure_ascii=False)}" for key, found in new.items())
        self._answers.update(new)

    def _read(self) -> Iterator[tuple[str, list[str]]]:
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                key, found = json.loads(line)
            except ValueError:  # empty or truncated
                continue
            yield key, found


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


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
