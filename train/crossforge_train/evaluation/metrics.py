"""Per-query metrics by their ir_measures names, with one rule for queries that cannot be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from subprocess import CalledProcessError

import ir_measures

from crossforge.errors import InputError
from crossforge.runs import Candidate, Run, trec_sorted
from crossforge_train.collections.collection import Qrels
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.measures import parse_measure

# Printed next to all figures: it defines which queries a mean covers.
COUNTING_RULE = "queries without a relevant document are left out; queries that retrieved nothing count as 0"

# query id -> document ids, best first
Rankings = Mapping[str, Sequence[str]]
# measure -> query id -> value
PerQuery = dict[str, dict[str, float]]


def measure_rankings(measures: Sequence[str], qrels: Qrels, rankings: Rankings) -> PerQuery:
    """Compute each measure, under its requested name, for every query with a relevant document.

    The order of `rankings` alone is measured. Scores are ignored, so tied scores cannot change the served order.

    Raises:
        InputError: a measure is unknown, or refuses these ids or judgements.
    """
    parsed = {name: parse_measure(name) for name in measures}
    names = {str(measure): name for name, measure in parsed.items()}
    judged = judged_queries(qrels)
    # Some measures divide by the length of an order, and some take only numbers as ids of queries.
    numbered = {str(number): query_id for number, query_id in enumerate(judged)}
    qrels_by_number = {number: judged[query_id] for number, query_id in numbered.items()}
    run = {
        number: {doc_id: float(-rank) for rank, doc_id in enumerate(rankings[query_id])}
        for number, query_id in numbered.items()
        if rankings.get(query_id)
    }
    values: PerQuery = {name: dict.fromkeys(judged, 0.0) for name in parsed}
    try:
        for found in ir_measures.iter_calc(list(parsed.values()), qrels_by_number, run):
            values[names[str(found.measure)]][numbered[found.query_id]] = float(found.value)
    except CalledProcessError:  # a script that prints why itself
        raise InputError(
            f"cannot compute {', '.join(parsed)}: a measure needs document ids without spaces and labels of 4 at most; "
            "choose others"
        ) from None
    return values


def trec_order(run: Run) -> dict[str, list[str]]:
    """A run's documents in trec_eval's order; see `trec_sorted`."""
    return {query_id: [found.doc_id for found in trec_sorted(candidates)] for query_id, candidates in run.items()}


def as_run(rankings: Rankings) -> Run:
    """A run that `trec_order` turns back into these rankings; its scores are the negated ranks."""
    return {
        query_id: [Candidate(doc_id, -float(rank)) for rank, doc_id in enumerate(doc_ids, start=1)]
        for query_id, doc_ids in rankings.items()
    }


def ideal_order(judgements: Mapping[str, int], doc_ids: Sequence[str]) -> list[str]:
    """The candidates in the order of a perfect reranker: most relevant first, ties in their given order."""
    return sorted(doc_ids, key=lambda doc_id: -max(judgements.get(doc_id, 0), 0))


def judged_queries(qrels: Qrels) -> dict[str, dict[str, int]]:
    """The judgements of the queries that have at least one relevant document."""
    return {query_id: dict(found) for query_id, found in qrels.items() if any(value > 0 for value in found.values())}


def drawn_queries(qrels: Qrels, most: int, seed: int) -> dict[str, dict[str, int]]:
    """The judgements of at most `most` of these queries, by a seeded draw."""
    judged = judged_queries(qrels)
    return {query_id: judged[query_id] for query_id in seeded_draw(list(judged), most, seed)}


def mean(values: Mapping[str, float]) -> float:
    """Mean over queries; 0 if there are none."""
    return sum(values.values()) / len(values) if values else 0.0
