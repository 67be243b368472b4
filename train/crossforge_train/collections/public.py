"""Public collections that `crossforge fetch` downloads and writes in BEIR layout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.files import written_atomically
from crossforge_train.collections.beir import write_beir
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.readers.hugging_face import load_tables, read_datasets
from crossforge_train.collections.readers.ir_datasets import read_ir_datasets
from crossforge_train.collections.readers.labelled import read_labelled
from crossforge_train.collections.readers.tables import Row
from crossforge_train.collections.splits import drawn_shares, group_values
from crossforge_train.config.sources import DatasetsSource, PairColumns, TripleColumns

_SEED = 42
# Cranfield's codes run from 1, a complete answer, to 4, of minimum interest; -1 marks the documents that a question
# came from. A collection's labels grow with relevance.
_CRANFIELD_LABELS = {-1: 4, 1: 4, 2: 3, 3: 2, 4: 1}
_DRAWN = "its splits are drawn here, so figures differ from those of docs/results.md"


@dataclass(frozen=True)
class PublicCollection:
    """A collection that can be downloaded.

    Attributes:
        read: downloads and reads it; raises `InputError` where it cannot be fetched.
        difference: how it differs from the collection behind docs/results.md; empty if it does not.
    """

    read: Callable[[], Collection]
    difference: str = ""


def fetch(source: PublicCollection, folder: Path) -> None:
    """Download a collection into a folder in BEIR layout, whole or not at all.

    Raises:
        InputError: it cannot be fetched.
    """
    collection = source.read()
    with written_atomically(folder) as beside:
        write_beir(beside, collection)


def _scifact() -> Collection:
    return read_ir_datasets({"train": "beir/scifact/train", "test": "beir/scifact/test"})


def _cranfield() -> Collection:
    found = read_ir_datasets({"train": "cranfield"})
    qrels = {
        query_id: {doc_id: _CRANFIELD_LABELS[label] for doc_id, label in judged.items()}
        for query_id, judged in found.qrels("train").items()
    }
    corpus = ArrowCorpus.from_documents(map(_without_repeated_title, found.corpus.values()))
    return replace(found, corpus=corpus, splits=_drawn(qrels, {key: key for key in qrels}, {"test": 0.3, "dev": 0.1}))


def _without_repeated_title(document: Document) -> Document:
    """Cranfield's abstracts begin with their titles, broken into lines."""
    title, text = " ".join(document.title.split()), " ".join(document.text.split())
    return Document(document.doc_id, text.removeprefix(title).strip(), title.removesuffix(" ."))


def _medquad() -> Collection:
    tables = load_tables(DatasetsSource(path="lavita/MedQuAD"))
    rows = {split: _answered(f"lavita/MedQuAD, {split}", table) for split, table in tables.items()}
    found = read_labelled("medquad", rows, PairColumns(query="question", text="answer"))
    qrels = {query_id: judged for split in found.splits.values() for query_id, judged in split.items()}
    focus = {query_id: (group_values(found, query_id, "question_focus") or [query_id])[0] for query_id in qrels}
    return replace(found, splits=_drawn(qrels, focus, {"test": 0.3, "dev": 0.1}))


def _answered(where: str, rows: Iterable[Any]) -> Iterator[Row]:
    """The rows with an answer: those of three sources were taken out for their copyright."""
    for number, row in enumerate(rows, start=1):
        if all(str(row.get(column) or "").strip() for column in ("question", "answer")):
            yield Row(f"{where}, row {number}", row)


def _jaquad() -> Collection:
    # The hub's own conversion: the data set itself is a script, which is not executed.
    columns = TripleColumns(query="question", text="context", title="title")
    source = DatasetsSource(path="SkelterLabsInc/JaQuAD", revision="refs/convert/parquet", columns=columns)
    found = read_datasets(source)
    train = found.qrels("train")
    article = {query_id: found.corpus[next(iter(judged))].title for query_id, judged in train.items()}
    splits = {**_drawn(train, article, {"dev": 0.09}), "test": found.qrels("validation")}
    return replace(found, name="jaquad", splits=splits, query_fields={})


def _drawn(qrels: Qrels, clusters: Mapping[str, str], shares: Mapping[str, float]) -> Mapping[str, Qrels]:
    """Splits by a seeded draw of clusters (query id -> cluster): these shares, and the rest for train."""
    splits: dict[str, dict[str, Mapping[str, int]]] = {"train": {}, **{name: {} for name in shares}}
    for query_id, drawn in drawn_shares(clusters, _SEED).items():
        splits[_split_at(drawn, shares)][query_id] = qrels[query_id]
    return splits


def _split_at(drawn: float, shares: Mapping[str, float]) -> str:
    for name, share in shares.items():
        if drawn < share:
            return name
        drawn -= share
    return "train"


SOURCES: Mapping[str, PublicCollection] = {
    "scifact": PublicCollection(_scifact),
    "cranfield": PublicCollection(_cranfield, _DRAWN),
    "medquad": PublicCollection(_medquad, _DRAWN),
    "jaquad": PublicCollection(_jaquad, f"test is the published validation split; of the others {_DRAWN}"),
}
