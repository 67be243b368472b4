"""Stores the output of the stage `collect`: the BEIR layout, but with documents in a memory-mapped Arrow table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from crossforge.documents import Document
from crossforge.files import read_json, write_json
from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.collections.beir import read_beir, read_judged, write_judged
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import TABLE_FILE, ArrowCorpus
from crossforge_train.collections.places import missing_folder

_SERVED = "served"
_OWN_DOCUMENTS = "own_documents.json"
_OWN_NEGATIVES = "own_negatives.json"
_OWN_SCORES = "own_scores.json"
_JUDGED_TWICE = "judged_twice.json"


def save_collection(folder: Path, collection: Collection) -> None:
    """Write documents, queries and judgements into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _in_arrow(collection.corpus).save(folder)
    if collection.served is not None:
        (folder / _SERVED).mkdir(exist_ok=True)
        _in_arrow(collection.served).save(folder / _SERVED)
    write_judged(folder, collection)
    if collection.own_documents is not None:
        write_json(folder / _OWN_DOCUMENTS, dict(collection.own_documents))
    if collection.own_negatives:
        write_json(folder / _OWN_NEGATIVES, {key: list(found) for key, found in collection.own_negatives.items()})
    if collection.own_scores:
        write_json(folder / _OWN_SCORES, {key: dict(found) for key, found in collection.own_scores.items()})
    if collection.judged_twice:
        write_json(folder / _JUDGED_TWICE, [asdict(pair) for pair in collection.judged_twice])


def save_judged(folder: Path, collection: Collection) -> None:
    """Write the queries and judgements of a collection over those of a folder that holds its documents."""
    write_judged(folder, collection)


def load_collection(folder: Path, name: str | None = None) -> Collection:
    """Read a folder written by `save_collection`; document texts stay on disk until they are looked up.

    Raises:
        InputError: a file is missing or damaged.
    """
    own_documents, own_negatives = folder / _OWN_DOCUMENTS, folder / _OWN_NEGATIVES
    own_scores, judged_twice = folder / _OWN_SCORES, folder / _JUDGED_TWICE
    return replace(
        read_judged(folder, ArrowCorpus.load(folder), name),
        served=ArrowCorpus.load(folder / _SERVED) if (folder / _SERVED).is_dir() else None,
        own_documents=read_json(own_documents) if own_documents.is_file() else None,
        own_negatives=read_json(own_negatives) if own_negatives.is_file() else {},
        own_scores=read_json(own_scores) if own_scores.is_file() else {},
        judged_twice=[JudgedTwice(**pair) for pair in read_json(judged_twice)] if judged_twice.is_file() else (),
    )


def _in_arrow(corpus: Mapping[str, Document]) -> ArrowCorpus:
    return corpus if isinstance(corpus, ArrowCorpus) else ArrowCorpus.from_documents(corpus.values())


def is_collection(folder: Path) -> bool:
    """Whether a folder looks like a collection, in BEIR layout or as written by the stage `collect`."""
    return any((folder / name).is_file() for name in (TABLE_FILE, "corpus.jsonl", "corpus.jsonl.gz"))


def read_folder(folder: Path) -> Collection:
    """Read a collection from a folder in BEIR layout or written by the stage `collect`.

    Raises:
        InputError: it is neither, or a file in it is malformed.
    """
    if not folder.is_dir():
        raise missing_folder(folder)
    return load_collection(folder) if (folder / TABLE_FILE).is_file() else read_beir(folder)
