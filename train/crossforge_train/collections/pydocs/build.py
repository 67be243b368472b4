"""Builds `pydocs`.

Document: the qualified name as title, the docstring without its summary line as text. Query of the splits `train`,
`dev` and `test`: the summary line without the object's name. Split `questions`: questions written by hand, worded
unlike the docstrings, with every object that answers them. Objects that answer a question, and their aliases and
near-copies, give no query to another split, so that training never sees one for them.

Some queries of `train` are bare names ("KMeans"): people type them too, and many documents mention a name in passing
while one explains it.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_jsonl, sha256
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.near_copies import near_copies
from crossforge_train.collections.pydocs.api import LIBRARIES, documented_objects
from crossforge_train.collections.pydocs.docstrings import remove_name, split_docstring
from crossforge_train.collections.readers.reader import Reader
from crossforge_train.collections.splits import connected, drawn_shares, normalized

QUESTIONS_FILE = Path(__file__).parent / "questions.jsonl"

_WORD = re.compile(r"\w+")

# A docstring with less than this below its summary gives a reranker nothing to read.
_MIN_BODY_WORDS = 8
_MIN_QUERY_WORDS = 3
_MAX_QUERY_WORDS = 40
_NEAR_COPY = 0.8
# The draw does not depend on a run's seed: every run of one set of library versions has the same splits.
_SPLIT_SEED = 20
# A bare name is a query if few objects have it and several other documents mention it.
_MAX_NAMESAKES = 3
_MIN_MENTIONS, _MAX_MENTIONS = 5, 200
_TEST_SHARE = 0.03
_DEV_SHARE = 0.04


@dataclass(frozen=True)
class _Entry:
    names: tuple[str, ...]
    query: str
    body: str

    @property
    def name(self) -> str:
        return self.names[0]


def build_pydocs() -> Collection:
    """Build the collection from the libraries that are installed.

    Raises:
        InputError: one of the libraries is missing.
    """
    entries = _merge_copies(_entries())
    by_name = {name: entry.name for entry in entries for name in entry.names}
    questions = _read_questions(by_name)
    clusters = _clusters(entries)
    answering = {clusters[doc_id] for _, answers in questions for doc_id in answers}
    corpus = {entry.name: Document(entry.name, entry.body, title=entry.name) for entry in entries}
    queries: dict[str, str] = {}
    splits: dict[str, dict[str, dict[str, int]]] = {"train": {}, "dev": {}, "test": {}, "questions": {}}
    draws = drawn_shares(clusters, _SPLIT_SEED)
    query_ids: dict[str, str] = {}  # several objects may share one summary: one query, several relevant documents
    for entry in entries:
        if not _is_query(entry) or clusters[entry.name] in answering:
            continue
        query_id = query_ids.setdefault(normalized(entry.query), f"summary:{entry.name}")
        queries.setdefault(query_id, entry.query)
        splits[_split(draws[entry.name])].setdefault(query_id, {})[entry.name] = 1
    for name, doc_ids in _name_queries(entries, clusters, draws, answering).items():
        queries[f"name:{name}"] = name
        splits["train"][f"name:{name}"] = dict.fromkeys(doc_ids, 1)
    for number, (question, answers) in enumerate(questions, start=1):
        queries[f"question:{number}"] = question
        splits["questions"][f"question:{number}"] = dict.fromkeys(answers, 1)
    return Collection("pydocs", corpus, queries, splits)


def library_versions() -> dict[str, str]:
    """The versions that decide what the collection holds."""
    try:
        found = {
            library.name: version("scikit-learn" if library.name == "sklearn" else library.name)
            for library in LIBRARIES
        }
    except ModuleNotFoundError as error:
        raise InputError(
            f"builtin: pydocs reads the docstrings of {error.name}, which is not installed: "
            'pip install "crossforge[quickstart]"'
        ) from None
    return {"python": platform.python_version(), **found}


def _entries() -> list[_Entry]:
    library_versions()
    found: list[_Entry] = []
    for thing in documented_objects():
        split = split_docstring(thing.docstring)
        if len(split.body.split()) >= _MIN_BODY_WORDS:
            found.append(_Entry(thing.names, remove_name(split.summary, thing.names[0]), split.body))
    return found


def _merge_copies(entries: Sequence[_Entry]) -> list[_Entry]:
    """One entry for objects whose docstrings are equal to the letter; the others' names become aliases."""
    merged: dict[tuple[str, str], _Entry] = {}
    for entry in entries:
        key = entry.query, entry.body
        first = merged.get(key)
        merged[key] = entry if first is None else _Entry(first.names + entry.names, first.query, first.body)
    return list(merged.values())


def _clusters(entries: Sequence[_Entry]) -> dict[str, str]:
    names = [entry.name for entry in entries]
    links = [(names[left], names[right]) for left, right in near_copies([entry.body for entry in entries], _NEAR_COPY)]
    first_of: dict[str, str] = {}
    links += [(first_of.setdefault(normalized(entry.query), entry.name), entry.name) for entry in entries]
    return connected(names, links)


def _name_queries(
    entries: Sequence[_Entry], clusters: Mapping[str, str], draws: Mapping[str, float], answering: Set[str]
) -> dict[str, list[str]]:
    """Bare names that a few objects have, all of them of the training split, and that other documents mention."""
    namesakes: dict[str, list[str]] = {}
    for entry in entries:
        namesakes.setdefault(entry.name.rpartition(".")[2], []).append(entry.name)
    mentions = Counter(word for entry in entries for word in set(_WORD.findall(entry.body)))

    def is_trained_on(doc_id: str) -> bool:
        return clusters[doc_id] not in answering and _split(draws[doc_id]) == "train"

    return {
        name: doc_ids
        for name, doc_ids in namesakes.items()
        if len(doc_ids) <= _MAX_NAMESAKES
        and _MIN_MENTIONS <= mentions[name] <= _MAX_MENTIONS
        and all(map(is_trained_on, doc_ids))
    }


def _is_query(entry: _Entry) -> bool:
    """Whether the summary is a query: neither too short nor too long, and not said again where the text begins."""
    right_size = _MIN_QUERY_WORDS <= len(entry.query.split()) <= _MAX_QUERY_WORDS
    return right_size and not normalized(entry.body).startswith(normalized(entry.query))


def _split(drawn: float) -> str:
    if drawn < _TEST_SHARE:
        return "test"
    return "dev" if drawn < _TEST_SHARE + _DEV_SHARE else "train"


def _read_questions(by_name: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Questions with the documents that answer them; objects that these library versions lack are left out."""
    found: list[tuple[str, list[str]]] = []
    for _, row in read_jsonl(QUESTIONS_FILE):
        answers = list(dict.fromkeys(by_name[name] for name in row["answers"] if name in by_name))
        if answers:
            found.append((row["query"], answers))
    return found


def _depends_on(_: Any) -> dict[str, Any]:
    made_by = {path.name: sha256(path) for path in sorted(QUESTIONS_FILE.parent.glob("*.*"))}
    return {"libraries": library_versions(), "made_by": made_by}


READER = Reader(lambda _: build_pydocs(), _depends_on)
