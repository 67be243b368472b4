"""The plug-ins of the toolkit, by the names that a config gives them. To add one: a file, and a line here."""

from __future__ import annotations

from typing import Any

from crossforge.plugins import Plugin, Registry

READERS: Registry[Any] = Registry(
    "readers",
    "reader",
    {
        "builtin": Plugin(
            "crossforge_train.collections.pydocs.build:READER", "a collection that comes with crossforge"
        ),
        "beir": Plugin(
            "crossforge_train.collections.beir:READER", "a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
        ),
        "files": Plugin(
            "crossforge_train.collections.readers.files:READER",
            "corpus, queries and qrels as JSONL, CSV, TSV or Parquet",
        ),
        "pairs": Plugin(
            "crossforge_train.collections.readers.labelled:READER",
            "a table of queries and relevant texts, or one for each split",
        ),
        "triples": Plugin(
            "crossforge_train.collections.readers.labelled:READER",
            "a table of queries, texts and labels, or one for each split",
        ),
        "trec": Plugin("crossforge_train.collections.readers.trec:READER", "TREC documents, topics and qrels"),
        "datasets": Plugin(
            "crossforge_train.collections.readers.hugging_face:READER", "a folder or hub id of the `datasets` library"
        ),
        "ir_datasets": Plugin(
            "crossforge_train.collections.readers.ir_datasets:READER",
            "an id of the `ir_datasets` library, or one for each split",
        ),
        "documents": Plugin(
            "crossforge_train.adaptation.reader:READER", "documents alone, from which pseudo-queries are made"
        ),
        "mix": Plugin("crossforge_train.collections.readers.mix:READER", "several sources, each with a weight"),
    },
)
