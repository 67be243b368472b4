"""Reads the source `documents:`: documents, and pseudo-queries made from them, as a collection like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import sha256
from crossforge.retrievers.analysis import choose_analyzer
from crossforge_train.adaptation.drawing import DEV, TRAIN, Drawn, draw_queries, lifted_corpus
from crossforge_train.adaptation.logged_queries import in_split, with_log
from crossforge_train.adaptation.makers.generator import ModelQueries, generator_hash
from crossforge_train.adaptation.people import JUDGED
from crossforge_train.adaptation.pseudo_queries import MakerFactory, QueryMaker
from crossforge_train.collections.beir import beir_files, read_judged
from crossforge_train.collections.collection import PSEUDO_QUERY, Collection, asked_by_people
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.query_key import query_key
from crossforge_train.collections.readers.assembly import distinct, some
from crossforge_train.collections.readers.reader import Reader
from crossforge_train.collections.readers.texts import corpus_files, corpus_name, read_placed
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.compute.base import Engine
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.labels.local_grader import local_model_hash
from crossforge_train.models.base_model import weights_hash
from crossforge_train.registries import MAKERS

# Fewer judged queries choose nothing.
ENOUGH_JUDGED = 20


def read_adapted(source: DocumentsSource, workplace: Workplace = NOWHERE) -> Collection:
    """The documents with the queries' words lifted out, pseudo-queries in train, dev and test, and the documents whole.

    Logged queries join train, and those that are drawn for it replace the pseudo-queries of dev. Where people judged
    queries, and enough of them, these are dev, and all others of the log join train as well.

    Raises:
        InputError: the documents cannot be read, or give too few queries.
    """
    corpus = read_corpus(source)
    drawn = draw_queries(corpus, makers(corpus, source, workplace.engine), source, workplace)
    _require_queries(source, drawn)
    queries = [query for found in drawn.splits.values() for query in found]
    collection = Collection(
        name=corpus_name(source.corpus),
        corpus=lifted_corpus(corpus, drawn.lifted),
        queries={query.query_id: query.text for query in queries},
        splits={
            split: {query.query_id: dict.fromkeys(query.doc_ids, 1) for query in found}
            for split, found in drawn.splits.items()
        },
        query_fields={query.query_id: {PSEUDO_QUERY: query.kind} for query in queries},
        served=corpus,
        made=drawn.counts,
    )
    if source.log is not None:
        collection = with_log(collection, corpus, source, workplace)
    return collection if source.judged is None else _with_judged(collection, source.judged)


def read_corpus(source: DocumentsSource) -> ArrowCorpus:
    """The documents as they came.

    Raises:
        InputError: they cannot be read.
    """
    placed = some(read_placed(source.corpus, source.columns), f"{source.corpus}: no documents in it")
    return ArrowCorpus.from_documents(distinct(placed))


def makers(corpus: Mapping[str, Document], source: DocumentsSource, engine: Engine | None = None) -> list[QueryMaker]:
    """Those whose quota is not 0, in the order of the registry; a model works on the engine, if there is one.

    Raises:
        InputError: a third party's maker cannot be imported, or makes queries of another kind than its name.
    """
    analyzer = choose_analyzer(document.full_text for document in corpus.values())
    factories: dict[str, MakerFactory] = {kind: MAKERS.load(kind) for kind in _wanted_kinds(source)}
    found = {kind: factory(corpus, analyzer, source) for kind, factory in factories.items()}
    if other := next((kind for kind, maker in found.items() if maker.kind != kind), None):
        raise InputError(f"maker {other}: makes queries of the kind {found[other].kind!r}; it must be its own name")
    return [
        maker.with_engine(engine) if engine and isinstance(maker, ModelQueries) else maker for maker in found.values()
    ]


def _wanted_kinds(source: DocumentsSource) -> list[str]:
    return [kind for kind, quota in source.quotas if quota]


def depends_on(source: DocumentsSource) -> dict[str, Any]:
    """Hashes of the files and models that decide the collection."""
    files = corpus_files(source.corpus)
    if source.judged is not None:
        files += beir_files(source.judged)
    models: dict[str, Any] = {}
    if source.generator is not None and Path(source.generator.model).is_dir():
        models["generator_model"] = generator_hash(source.generator)
    if source.log is not None:
        files.append(source.log.file)
        models["log_model"] = weights_hash(source.log.model)
    if source.judge is not None and source.judge.local:
        models["judge_model"] = local_model_hash(source.judge)
    return {
        "files": {str(path): sha256(path) for path in files},
        "consistency_model": weights_hash(source.consistency_model) if source.consistency_model else None,
        **models,
        **{key: version for kind in _wanted_kinds(source) for key, version in MAKERS.version(kind).items()},
    }


def _require_queries(source: DocumentsSource, drawn: Drawn) -> None:
    for split, found in drawn.splits.items():
        if not found:
            made = sum(map(len, drawn.splits.values()))
            raise InputError(
                f"{source.corpus}: {made} pseudo-queries came of these documents, none of them for {split}; "
                "give more documents, or raise documents.per_document, documents.consistency or the share of the split"
            )


def _with_judged(collection: Collection, folder: Path) -> Collection:
    """With judged queries as dev, in place of the pseudo-queries there, if there are enough of them.

    Queries of documents that are gone are passed over.
    """
    judged = read_judged(folder, collection.served or {}, known_only=True)
    known = {query_id: found for query_id, found in judged.qrels(JUDGED).items() if any(found.values())}
    if len(known) < ENOUGH_JUDGED:
        return collection
    asked = {query_key(judged.queries[query_id]) for query_id in known}
    logged = {key: labels for split in (TRAIN, DEV) for key, labels in asked_by_people(collection, split).items()}
    train = {**collection.qrels(TRAIN), **logged}
    kept = {key: labels for key, labels in train.items() if query_key(collection.queries[key]) not in asked}
    counted = {what: count for what, count in collection.counted.items() if what != in_split(DEV)}
    if logged:
        counted[in_split(TRAIN)] = len(kept.keys() & logged.keys())
    return replace(
        collection,
        queries={**collection.queries, **{query_id: judged.queries[query_id] for query_id in known}},
        splits={**collection.splits, TRAIN: kept, DEV: known},
        counted=counted,
    )


READER = Reader(read_adapted, depends_on, takes_workplace=True)
