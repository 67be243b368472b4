"""The kind `run`: TREC runs that any engine has written; queries are looked up by their ids."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import sha256, written_atomically
from crossforge.retrievers.options import read_options, refuse_option
from crossforge.retrievers.outside import Known, as_asked, read_outside, some
from crossforge.runs import Candidate, read_run, trec_sorted, write_run

KIND = "run"
_FORMAT = "crossforge-run-1"
_CANDIDATES = "candidates.trec"


@dataclass(frozen=True)
class RunOptions:
    """What a config says of it.

    Attributes:
        runs: a TREC run file, or several; plain or .gz.
        name: what reports call the engine.
        analyzer: how words are read for the choice of passages: "auto", "word" or "char".
        language: Snowball language of `analyzer: word`.
    """

    runs: str | list[str]
    name: str = "run"
    analyzer: str = "auto"
    language: str = "english"

    @property
    def files(self) -> list[Path]:
        """The files; there is at least one."""
        paths = [self.runs] if isinstance(self.runs, str) else self.runs
        if not paths or not all(isinstance(path, str) and path for path in paths):
            raise refuse_option("runs", "expected the path of a TREC run, or a list of paths")
        return [Path(path) for path in paths]


class RunKind:
    """See `RetrieverKind` and `OutsideKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> RunRetriever:
        """Read the runs and hold them against the corpus; `settings` as in `RunOptions`.

        Raises:
            InputError: a file cannot be read, names a document that is not in the corpus, or two files disagree.
        """
        options = read_options(settings, RunOptions)
        known = Known.of(documents, options.analyzer, options.language)
        return RunRetriever(_read(options.files, known), known, list(map(str, options.files)), options.name)

    @staticmethod
    def load(folder: Path) -> RunRetriever:
        """Read what `RunRetriever.save` wrote."""
        known, state = read_outside(folder, _FORMAT, ["files", "name"])
        try:
            found = read_run(folder / _CANDIDATES)
        except InputError as error:
            raise PackageError(f"{folder}: damaged or no first stage ({error})") from None
        return RunRetriever(found, known, list(state["files"]), str(state["name"]))

    @staticmethod
    def depends_on(settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The contents of the files."""
        return {"runs": [sha256(_file(path)) for path in read_options(settings, RunOptions).files]}

    @staticmethod
    def reaches(settings: Mapping[str, Any]) -> Sequence[str]:
        """Nothing."""
        return []


class RunRetriever:
    """What other engines found, by the ids of queries.

    Args:
        candidates: query id -> documents, best first.
        known: the corpus.
        files: where the candidates come from, for messages.
        name: what reports call the engine.
    """

    kind = KIND

    def __init__(
        self, candidates: Mapping[str, list[Candidate]], known: Known, files: Sequence[str], name: str
    ) -> None:
        self._candidates = candidates
        self._known = known
        self._files = list(files)
        self.name = name

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        return f"TREC runs of {len(self._candidates):,} queries"

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """The first `k` documents that the runs have for each query; texts are not looked at.

        Raises:
            InputError: there is a query that no run holds.
        """
        if missing := [query_id for query_id in queries if query_id not in self._candidates]:
            raise InputError(
                f"{', '.join(self._files)}: {len(missing):,} of {len(queries):,} queries are in no run "
                f"({some(missing)}); a run answers only the queries that it was made for"
            )
        return {query_id: as_asked(self._candidates[query_id], k, ties_by_id) for query_id in queries}

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """By common words; see `Overlap`."""
        return self._known.similarities(query, texts)

    def save(self, folder: Path) -> None:
        """Write the candidates as one TREC run, with what is kept of the corpus."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            self._known.save(beside, {"format": _FORMAT, "files": self._files, "name": self.name})
            write_run(beside / _CANDIDATES, self._candidates, KIND)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise refuse_option("runs", f"{path}: no such TREC run file")
    return path


def _read(files: Sequence[Path], known: Known) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    origin: dict[str, Path] = {}
    for path in files:
        for query_id, candidates in read_run(_file(path)).items():
            checked = _checked(f"{path}: query {query_id!r}", candidates, known)
            if found.setdefault(query_id, checked) != checked:
                raise InputError(f"{path}: query {query_id!r} has other documents or scores in {origin[query_id]}")
            origin.setdefault(query_id, path)
    if not found:
        raise InputError(f"{', '.join(map(str, files))}: no query in these runs")
    return found


def _checked(where: str, candidates: Sequence[Candidate], known: Known) -> list[Candidate]:
    if unusable := next((one for one in candidates if math.isnan(one.score)), None):
        raise InputError(f"{where}: the score of document {unusable.doc_id!r} is {unusable.score}")
    return known.candidates(where, trec_sorted(candidates))
