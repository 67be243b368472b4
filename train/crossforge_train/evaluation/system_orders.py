"""Whether a machine's labels put systems into the order that people's labels of the same pairs put them into.

Measured as Kendall's tau-b between both orders (M. G. Kendall, "The treatment of ties in ranking problems", Biometrika
1945), as has been usual since E. Voorhees, "Variations in relevance judgments and the measurement of retrieval
effectiveness", SIGIR 1998. Of each system's order only the documents that both judged are left (condensed lists: T.
Sakai, "Alternatives to bpref", SIGIR 2007), since nothing is known of the others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.collections.collection import Qrels
from crossforge_train.evaluation.metrics import Rankings, measure_rankings
from crossforge_train.evaluation.systems import System

LEAST_SYSTEMS, LEAST_QUERIES = 4, 5
_RESAMPLES = 500


@dataclass(frozen=True)
class SystemOrders:
    """The systems of a proof under people's labels and under a machine's, of the same pairs.

    Attributes:
        metric: the measure that orders them.
        queries: how many queries have a document that is relevant to people and one that is to the machine.
        people: system -> mean metric by people's labels.
        machine: system -> mean metric by the machine's.
        tau: Kendall's tau-b between both orders; None if it cannot be said.
        interval: its 95% interval, bootstrapped over queries; None if there is none.
        why: why it cannot be said; None if it can.
    """

    metric: str
    queries: int
    people: Mapping[str, float]
    machine: Mapping[str, float]
    tau: float | None = None
    interval: tuple[float, float] | None = None
    why: str | None = None


@dataclass(frozen=True)
class BothLabels:
    """Labels of the same pairs of query and document.

    Attributes:
        queries: query id -> text; each has a document that is relevant to people, and one that is to the machine.
        people: people's labels.
        machine: the machine's.
    """

    queries: Mapping[str, str]
    people: Qrels
    machine: Qrels


def both_labels(pairs: Iterable[JudgedTwice]) -> BothLabels:
    """The labels of those queries that can be measured by either kind."""
    people: dict[str, dict[str, int]] = {}
    machine: dict[str, dict[str, int]] = {}
    for pair in pairs:
        people.setdefault(pair.query, {})[pair.doc_id] = pair.people
        machine.setdefault(pair.query, {})[pair.doc_id] = pair.machine
    measurable = [text for text in people if any(people[text].values()) and any(machine[text].values())]
    ids = {text: f"both-{number}" for number, text in enumerate(measurable, start=1)}
    return BothLabels(
        {query_id: text for text, query_id in ids.items()},
        {query_id: people[text] for text, query_id in ids.items()},
        {query_id: machine[text] for text, query_id in ids.items()},
    )


def no_orders(metric: str, queries: int, why: str) -> SystemOrders:
    """What is said where systems cannot be ordered."""
    return SystemOrders(metric, queries, {}, {}, why=why)


def too_few(metric: str, queries: int) -> SystemOrders:
    """What is said where too few queries can be measured by both kinds of labels for any order to mean something."""
    why = (
        f"{queries} queries have a document that is relevant to people and one that is to the model, and "
        f"{LEAST_QUERIES} are needed; judge more (`crossforge judge`)"
    )
    return no_orders(metric, queries, why)


def system_orders(systems: Sequence[System], labels: BothLabels, metric: str, seed: int) -> SystemOrders:
    """Order systems by either kind of labels, and compare the orders.

    Args:
        systems: with orders for the queries of the labels.
        labels: of the same pairs.
        metric: the measure that orders them.
        seed: of the resampling.
    """
    queries = list(labels.queries)
    if len(queries) < LEAST_QUERIES:
        return too_few(metric, len(queries))
    people, machine = (_values(systems, labels.people, qrels, metric) for qrels in (labels.people, labels.machine))
    found = SystemOrders(metric, len(queries), _means(systems, people), _means(systems, machine))
    if len(systems) < LEAST_SYSTEMS:
        return replace(found, why=f"{len(systems)} systems have too few orders; {LEAST_SYSTEMS} are needed")
    tau = _tau(people.mean(axis=1), machine.mean(axis=1))
    if tau is None:
        return replace(found, why="by one kind of labels all systems are equally good")
    return replace(found, tau=tau, interval=_interval(people, machine, seed))


def _means(systems: Sequence[System], values: NDArray[np.float64]) -> dict[str, float]:
    return {system.name: float(one.mean()) for system, one in zip(systems, values, strict=True)}


def _values(systems: Sequence[System], judged: Qrels, qrels: Qrels, metric: str) -> NDArray[np.float64]:
    """The metric by system and query, shape (systems, queries)."""
    found = []
    for system in systems:
        values = measure_rankings([metric], qrels, _condensed(system.rankings, judged))[metric]
        found.append([values[query_id] for query_id in judged])
    return np.array(found)


def _condensed(rankings: Rankings, judged: Qrels) -> Rankings:
    return {
        query_id: [doc_id for doc_id in rankings.get(query_id, ()) if doc_id in labels]
        for query_id, labels in judged.items()
    }


def _tau(people: NDArray[np.float64], machine: NDArray[np.float64]) -> float | None:
    """Kendall's tau-b of two orders of the same systems; None if one of them is none."""
    from scipy.stats import kendalltau

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Rounded, so that systems that do the same are equal, whatever the order of summation.
        value = float(kendalltau(people.round(6), machine.round(6), variant="b").statistic)
    return value if math.isfinite(value) else None


def _interval(people: NDArray[np.float64], machine: NDArray[np.float64], seed: int) -> tuple[float, float] | None:
    queries = people.shape[1]
    drawn = np.random.default_rng(seed).integers(0, queries, size=(_RESAMPLES, queries))
    found = [_tau(people[:, one].mean(axis=1), machine[:, one].mean(axis=1)) for one in drawn]
    known = [tau for tau in found if tau is not None]
    if len(known) < _RESAMPLES / 2:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
