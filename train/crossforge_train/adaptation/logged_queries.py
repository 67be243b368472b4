"""Logged queries in a collection: they join train and, in place of the pseudo-queries there, become dev."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.adaptation.drawing import DEV, TEST, TRAIN
from crossforge_train.adaptation.graded_log import GradedLog, graded_log, judge_name
from crossforge_train.adaptation.log_labels import agreed_documents
from crossforge_train.adaptation.people import (
    answers_to_tables,
    corrected,
    drawn_pairs,
    judged_by_people,
    said_of,
)
from crossforge_train.adaptation.query_log import read_query_log
from crossforge_train.collections.collection import JUDGED_BY, Collection, Qrels
from crossforge_train.collections.query_key import id_of_query
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.collections.splits import drawn_shares
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.config.query_log import QueryLogConfig

# What to do if too few queries of a log have a document.
_JUDGE = "give a longer log, or lower documents.judge.relevant or documents.judge.least_posterior"
_BUDGET = "the budget left pairs without a grade: raise documents.judge.max_calls or documents.judge.max_tokens"


class _Labelled(NamedTuple):
    """Labels of logged queries, who they are from, what to do if they are too few, and the lowest relevant one."""

    qrels: Qrels
    judge: str
    way_out: str
    least: int = 1


def with_log(
    collection: Collection, corpus: Mapping[str, Document], source: DocumentsSource, workplace: Workplace
) -> Collection:
    """The collection with logged queries that a document was found for; people override what a machine says.

    Args:
        collection: documents and pseudo-queries.
        corpus: the documents as apps search them.
        source: has a log, and maybe a judge.
        workplace: where documents are embedded, and whether a judge may be asked.

    Raises:
        InputError: the log cannot be read, a judge cannot be asked, or too few queries have a document.
    """
    log, judge = source.log, source.judge
    assert log is not None  # noqa: S101 - for the type checker
    counted: Counter[str] = Counter()
    texts = {id_of_query("log", query.text): query.text for query in read_query_log(log, counted)}
    graded: GradedLog | None = None
    judged = judged_by_people(corpus, source.judged, workplace)
    said = said_of(texts, {**judged, **answers_to_tables(texts, corpus, workplace)})
    if judge is not None:
        people = {pair: judged[pair] for pair in drawn_pairs(judged, judge.compared, source.seed)}
        graded = graded_log(texts, corpus, log, judge, people, workplace, counted)
    if judge is not None and graded is not None and graded.agreement.used:
        way_out = _BUDGET if counted["pairs not graded"] else _JUDGE
        found, test = _Labelled(graded.labels, judge_name(judge), way_out, judge.relevant), judge.test
    else:
        found, test = _agreed(texts, corpus, log, workplace, counted), 0.0
        _compare(found, said_of(texts, judged), counted)
    by_machine = {query_id for query_id, labels in found.qrels.items() if labels.keys() - said.get(query_id, {}).keys()}
    found = _corrected(found, said, counted)
    splits = _drawn(found.qrels, log.dev, test, source.seed)
    if not splits[DEV] or (test and not splits[TEST]):
        raise InputError(
            f"{log.file}: {found.judge} found a document for {len(found.qrels)} of {len(texts)} queries, too few for "
            f"dev{' and test' if test else ''}; {found.way_out}"
        )
    for split, qrels in splits.items():
        counted[in_split(split)] = len(qrels)
    return replace(
        collection,
        queries={**collection.queries, **{query_id: texts[query_id] for query_id in found.qrels}},
        splits={**collection.splits, **{split: qrels for split, qrels in splits.items() if qrels},
                TRAIN: {**collection.qrels(TRAIN), **splits[TRAIN]}},
        query_fields={
            **collection.query_fields,
            **{query_id: {JUDGED_BY: found.judge} for query_id in found.qrels if query_id in by_machine},
        },
        counted={what: count for what, count in counted.items() if count},
        agreement=graded and graded.agreement,
        judged_twice=graded.judged_twice if graded else (),
    )  # fmt: skip


def in_split(split: str) -> str:
    """Under which words the logged queries of a split are counted."""
    return f"queries of the log in {split}"


def _agreed(
    texts: Mapping[str, str],
    corpus: Mapping[str, Document],
    log: QueryLogConfig,
    workplace: Workplace,
    counted: Counter[str],
) -> _Labelled:
    found = agreed_documents(texts, corpus, log.agree, log.model, workplace)
    counted["queries dropped: first stage and model differ"] += len(texts) - len(found)
    return _Labelled(
        {query_id: {doc_id: 1} for query_id, doc_id in sorted(found.items())},
        f"first stage and {Path(log.model).name}",
        "give a longer log, or raise documents.log.agree or documents.log.dev",
    )


def _compare(found: _Labelled, said: Qrels, counted: Counter[str]) -> None:
    """Count how many of the labels people judged, and how many of them are right.

    The labels are all relevant, so there is no kappa: it takes a judge that also says what is not.
    """
    judged = [said.get(query_id, {}).get(doc_id) for query_id, labels in found.qrels.items() for doc_id in labels]
    known = [label for label in judged if label is not None]
    counted[f"labels of {found.judge} that people judged"] = len(known)
    counted[f"labels of {found.judge} that people call right"] = sum(label > 0 for label in known)


def _corrected(found: _Labelled, said: Qrels, counted: Counter[str]) -> _Labelled:
    """With people's labels in place of the machine's."""
    qrels = corrected(found.qrels, said, found.least)
    counted["queries dropped: people call their documents not relevant"] = len(found.qrels.keys() - qrels.keys())
    counted["queries with a document that only people found"] = len(qrels.keys() - found.qrels.keys())
    return found._replace(qrels=qrels)


def _drawn(qrels: Qrels, dev: float, test: float, seed: int) -> dict[str, dict[str, Mapping[str, int]]]:
    """Split -> its logged queries, by a draw that does not depend on which others there are."""
    shares = drawn_shares({query_id: query_id for query_id in qrels}, f"{seed}:log")
    splits: dict[str, dict[str, Mapping[str, int]]] = {TRAIN: {}, DEV: {}, TEST: {}}
    for query_id, labels in sorted(qrels.items()):
        share = shares[query_id]
        splits[DEV if share < dev else TEST if share < dev + test else TRAIN][query_id] = labels
    return splits
