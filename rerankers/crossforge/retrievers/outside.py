"""What the first stages that search elsewhere share: what they keep of the corpus, and the check of what they find."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, write_json
from crossforge.retrievers.overlap import Overlap
from crossforge.runs import Candidate

_STATE, _IDS = "index.json", "doc_ids.json"
_SHOWN = 3


@dataclass(frozen=True)
class Known:
    """What is kept of a corpus that is searched elsewhere.

    Attributes:
        doc_ids: all there are; whatever else is found is refused.
        overlap: chooses the passages of long documents.
    """

    doc_ids: frozenset[str]
    overlap: Overlap

    @classmethod
    def of(cls, documents: Collection[Document], analyzer: str = "auto", language: str = "english") -> Known:
        """What to keep of these documents; `analyzer` and `language` as in `Overlap.choose`.

        Raises:
            InputError: there are none, or no such analyzer.
        """
        if not documents:
            raise InputError("the corpus is empty: there is nothing to search in")
        return cls(frozenset(found.doc_id for found in documents), Overlap.choose(documents, analyzer, language))

    def candidates(self, where: str, found: Iterable[tuple[str, float]]) -> list[Candidate]:
        """One query's documents, best first, if they can be: ids of the corpus, no NaN, none twice, falling scores.

        Raises:
            InputError: they cannot; the message starts with `where`.
        """
        candidates: dict[str, Candidate] = {}
        last = np.float32(math.inf)
        for doc_id, score in found:
            if doc_id not in self.doc_ids:
                raise InputError(f"{where}: document {doc_id!r} is not in the corpus")
            if doc_id in candidates:
                raise InputError(f"{where}: document {doc_id!r} is found twice")
            if not math.isfinite(score):
                raise InputError(f"{where}: the score of document {doc_id!r} is {score}")
            if np.float32(score) > last:  # 32 bits, as trec_eval compares them
                raise InputError(f"{where}: scores must fall from the best document on; that of {doc_id!r} is higher")
            last = np.float32(score)
            candidates[doc_id] = Candidate(doc_id, float(score))
        return list(candidates.values())

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Retriever`."""
        return self.overlap.similarities(query, texts)

    def save(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Write it into a folder, together with the state of the kind: no secrets are among it."""
        write_json(folder / _STATE, {**state, "analyzer": self.overlap.settings()})
        write_json(folder / _IDS, sorted(self.doc_ids))


def read_outside(folder: Path, state_format: str, required: Sequence[str]) -> tuple[Known, dict[str, Any]]:
    """Read what `Known.save` wrote.

    Args:
        folder: the index.
        state_format: what the state must name as its `format`.
        required: keys that the state must hold.

    Raises:
        PackageError: the folder holds no such index.
    """
    try:
        state, doc_ids = read_json(folder / _STATE), read_json(folder / _IDS)
        if not isinstance(state, dict) or state.get("format") != state_format:
            raise PackageError(f"{folder / _STATE}: not a first stage of this version ({state_format}); mine anew")
        if missing := [key for key in required if key not in state]:
            raise ValueError(f"{_STATE} has no {missing[0]!r}")
        if not isinstance(doc_ids, list) or not all(isinstance(doc_id, str) for doc_id in doc_ids):
            raise ValueError(f"{_IDS} is no list of ids")
        return Known(frozenset(doc_ids), Overlap.read(state["analyzer"])), state
    except (OSError, KeyError, TypeError, ValueError, InputError) as error:
        raise PackageError(f"{folder}: damaged or no first stage ({error})") from None


def by_id(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Equal scores in the order of ids."""
    return sorted(candidates, key=lambda found: (-found.score, found.doc_id))


def as_asked(found: list[Candidate], k: int, ties_by_id: bool) -> list[Candidate]:
    """The `k` best, in the order that `Retriever.search` promises."""
    return (by_id(found) if ties_by_id else found)[:k]


def some(names: Sequence[str]) -> str:
    """The first few names of many, for a message."""
    return ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


def first_of_each(pairs: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    """Without what is found again further down, as passages of one document are."""
    seen: set[str] = set()
    for doc_id, score in pairs:
        if doc_id not in seen:
            seen.add(doc_id)
            yield doc_id, score


Sleep = Callable[[float], None]


def retried(
    call: Callable[[], Any], passing: Callable[[Exception], bool], retries: int, sleep: Sleep, first: float = 0.5
) -> Any:
    """Call until it succeeds, at most `retries` times more, and wait twice as long each time.

    Args:
        call: what to do; doing it twice must not matter.
        passing: whether an error may pass by itself.
        retries: how often to try again.
        sleep: waits that many seconds.
        first: seconds before the first retry.
    """
    for attempt in range(retries):
        try:
            return call()
        except Exception as error:  # every client has types of its own; `passing` knows them
            if not passing(error):
                raise
            sleep(first * 2**attempt)
    return call()
