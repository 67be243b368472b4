"""A collection of two documents and two queries, written in the formats that readers read."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.reader import read_source
from crossforge_train.config.sources import AnySource

DOCUMENTS = [{"_id": "d1", "title": "One", "text": "first, text"}, {"_id": "d2", "title": "", "text": 'sec"ond'}]
QUERIES = [{"_id": "q1", "text": "what", "thread": "a"}, {"_id": "q2", "text": "why", "thread": "b"}]
TRAIN = [{"query-id": "q1", "corpus-id": "d1", "score": 1}, {"query-id": "q1", "corpus-id": "d2", "score": 0}]
TEST = [{"query-id": "q2", "corpus-id": "d2", "score": 2}]
SPLITS = {"train": {"q1": {"d1": 1, "d2": 0}}, "test": {"q2": {"d2": 2}}}
PAIRS = [
    {"query": "q one", "text": "text a", "thread": "t1"},
    {"query": "q one", "text": "text b", "thread": "t2"},
    {"query": "q two", "text": " text a ", "thread": "t1"},
]


def write_table(path: Path, rows: list[dict]) -> Path:
    name = path.name.removesuffix(".gz")
    opened = gzip.open if path.suffix == ".gz" else open
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".jsonl"):
        with opened(path, "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
    else:
        tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if ".tsv" in name else {}
        with opened(path, "wt", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]), **tabs)
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(**source: object) -> Collection:
    return read_source(AnySource(**source))


def problem(**source: object) -> str:
    with pytest.raises(InputError) as caught:
        read(**source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def by_text(collection: Collection, split: str = "train") -> dict[str, dict[str, int]]:
    return {
        collection.queries[query_id]: {collection.corpus[doc_id].text: label for doc_id, label in judged.items()}
        for query_id, judged in collection.qrels(split).items()
    }
