"""What language models share as makers of queries: the prompt, the answers' clean-up, and the cache on disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge_train.adaptation.pseudo_queries import PseudoQuery

# Takes the texts of documents, gives for each its answers.
Ask = Callable[[Sequence[str]], Sequence[Sequence[str]]]

_LONGEST = 300  # characters of a query
_LEADING = re.compile(r"^\s*(?:(?:\d+[.)]|[-*•])\s+)?(?:(?:(?:search\s+)?query|question)\s*\d*\s*:)?\s*[\"“']*", re.I)


class Cache:
    """Answers by the hash of the document they are about, in a file that grows by whole lines.

    Args:
        folder: holds one file for each way of asking.
        settings: everything that decides an answer besides the document.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._path = folder / f"{_hash(json.dumps(settings, sort_keys=True))}.jsonl"
        self._answers = dict(self._read())

    def __contains__(self, text: str) -> bool:
        return _hash(text) in self._answers

    def __getitem__(self, text: str) -> Sequence[str]:
        return self._answers[_hash(text)]

    def add(self, texts: Sequence[str], answers: Sequence[Sequence[str]]) -> None:
        """Keep the answers about each text."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = {_hash(text): list(found) for text, found in zip(texts, answers, strict=True)}
        with self._path.open("a", encoding="utf-8", errors="replace") as lines:
            # A newline first: the line before may have been torn by a kill.
            lines.writelines(f"\n{json.dumps([key, found], ensure_ascii=False)}" for key, found in new.items())
        self._answers.update(new)

    def _read(self) -> Iterator[tuple[str, list[str]]]:
        if not self._path.is_file():
            return
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                key, found = json.loads(line)
            except ValueError:  # empty, or torn
                continue
            yield key, found


class GeneratedQueries:
    """A `QueryMaker` around whatever writes queries; each document is asked about once, also over several runs.

    Args:
        kind: its name in reports and quotas.
        ask: writes queries about texts.
        cache: of the answers.
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
    """The first line of an answer that says something, without what models like to put around it; empty if none."""
    lines = (" ".join(_LEADING.sub("", line).split()).rstrip("\"”'") for line in answer.splitlines())
    found = next(filter(None, lines), "")
    return found if len(found) <= _LONGEST else ""


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
