"""Labels for logged queries from a language model: it grades what words and vectors find first for each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.adaptation.graded_labels import graded_pairs, label_of, labels_of
from crossforge_train.adaptation.log_labels import fused_documents
from crossforge_train.adaptation.people import JudgedPair
from crossforge_train.collections.agreement import Agreement, JudgedTwice
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.config.query_log import QueryLogConfig
from crossforge_train.labels.agreement import agreement, in_words
from crossforge_train.labels.grading import Pair
from crossforge_train.labels.judge import Grade, Judge


class GradedLog(NamedTuple):
    """What a judge says of a log.

    Attributes:
        labels: query id -> document id -> grade, 0 for those below `judge.relevant`, without those that are probably
            wrong; only queries with a relevant document, and none at all if the judge agrees too little with people.
        agreement: how far it agrees with people.
        judged_twice: the pairs that this was measured on.
    """

    labels: Mapping[str, Mapping[str, int]]
    agreement: Agreement
    judged_twice: Sequence[JudgedTwice]


def graded_log(
    texts: Mapping[str, str],
    corpus: Mapping[str, Document],
    log: QueryLogConfig,
    config: JudgeConfig,
    people: Mapping[JudgedPair, int],
    workplace: Workplace,
    counted: Counter[str],
) -> GradedLog:
    """Let a judge grade candidates of each query, but first what people judged, which decides whether it goes on.

    Args:
        texts: query id -> text; the first ones are asked about first.
        corpus: the documents.
        log: names the bi-encoder that finds candidates besides the first stage.
        config: the judge.
        people: what people judged, as far as it is to be compared.
        workplace: where documents are embedded, and whether the judge may be asked.
        counted: is told what became of the pairs.

    Raises:
        InputError: the judge cannot be asked, or may not be and was not before, or what people judged takes its budget.
    """
    if len(people) >= config.max_calls:
        raise InputError(
            f"documents.judge: max_calls ({config.max_calls:,}) leaves nothing for the log, since the {len(people):,} "
            "pairs that people judged are graded first; raise judge.max_calls, or lower judge.compared"
        )
    candidates = fused_documents(texts, corpus, config.depth, log.model, workplace)
    pairs = [(query_id, doc_id) for query_id in texts for doc_id in candidates[query_id]]
    judge = Judge(config, workplace.reporter, may_ask=workplace.may_ask, engine=workplace.engine)
    compared = [as_read(query, corpus[doc_id], config) for query, doc_id in people]
    read = [as_read(texts[query_id], corpus[doc_id], config) for query_id, doc_id in pairs]
    judge.announce([*compared, *read])
    both = _judged_twice(people, judge.grade(compared))
    found = agreement(judge_name(config), both, config.relevant, config.least_kappa)
    kept = [replace(pair, people=max(0, pair.people), machine=label_of(pair.machine, config)) for pair in both]
    workplace.reporter.note(f"documents.judge: {in_words(found)}")
    if not found.used:
        return GradedLog({}, found, kept)
    grades = judge.grade(read)
    _count(grades, judge, workplace, counted)
    graded = list(graded_pairs(pairs, [grade for grade, _ in grades]))
    kept_labels = labels_of(graded, both, config)
    if kept_labels.left_out:
        counted["labels left out as probably wrong"] = kept_labels.left_out
        workplace.reporter.note(
            f"documents.judge: labels left out as probably wrong: {kept_labels.left_out:,} of {len(graded):,}"
        )
    labels = {query_id: judged for query_id, judged in kept_labels.labels.items() if any(judged.values())}
    counted["queries dropped: no relevant document among those graded"] += len(texts) - len(labels)
    return GradedLog(labels, replace(found, graded=len(graded), left_out=kept_labels.left_out), kept)


def judge_name(config: JudgeConfig) -> str:
    """What reports call the judge."""
    return f"the language model {Path(config.model).name}"


def _judged_twice(people: Mapping[JudgedPair, int], grades: Sequence[Grade]) -> list[JudgedTwice]:
    return [
        JudgedTwice(pair.query, pair.doc_id, label, found.grade)
        for (pair, label), found in zip(people.items(), grades, strict=True)
        if found.grade is not None
    ]


def as_read(query: str, document: Document, config: JudgeConfig) -> Pair:
    """A pair as the judge reads it: the beginning of a long document."""
    return Pair(query, document.full_text[: config.max_document_characters])


def _count(grades: Sequence[Grade], judge: Judge, workplace: Workplace, counted: Counter[str]) -> None:
    asked = [grade for grade in grades if grade.asked]
    if not asked and not workplace.may_ask:
        raise InputError(
            "documents.judge: nothing is graded yet, and looking at a collection asks for no grades; "
            "run `crossforge collect CONFIG` first"
        )
    counted["pairs graded"] += sum(grade.grade is not None for grade in asked)
    counted["pairs for which the judge's answer holds no grade"] += sum(grade.grade is None for grade in asked)
    counted["requests to the judge"] += judge.spent
    if left := len(grades) - len(asked):
        counted["pairs not graded"] += left
        if workplace.may_ask:
            workplace.reporter.note(
                f"documents.judge: the budget is spent, and {left:,} of {len(grades):,} pairs are not graded; raise "
                "judge.max_calls or judge.max_tokens, and the next run asks for the rest"
            )
