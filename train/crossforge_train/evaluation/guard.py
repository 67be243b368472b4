"""The guard against forgetting: what a reranker lost on a general collection that it was not trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from crossforge.errors import InputError
from crossforge.loading import holds_reranker
from crossforge.reranker import Reranker
from crossforge.retrievers.registry import LEXICAL
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import judges
from crossforge_train.collections.own_documents import settle_own_documents
from crossforge_train.config.evaluation import GuardConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.run import Config
from crossforge_train.config.training import TrainingConfig
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.evaluation.free_alternatives import bi_encoder_scores
from crossforge_train.evaluation.free_retrievers import encoder_of_candidates
from crossforge_train.evaluation.metrics import Rankings, mean, measure_rankings
from crossforge_train.evaluation.scoring import rankings, score_queries
from crossforge_train.evaluation.significance import bootstrap_interval
from crossforge_train.evaluation.systems import Bench, open_base, retrieved_bench
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.reporting import Reporter

_PLAIN = TrainingConfig()
BASE_RERANKER, BASE_COSINE = "base model", "base model by cosine"

Outcome = Literal["HELD", "FORGOTTEN", "NOT SHOWN"]


@dataclass(frozen=True)
class Guard:
    """What became of a general collection's quality.

    Attributes:
        collection: name of the general collection.
        split: measured split.
        queries: number of measured queries.
        metric: the measure.
        baseline: what training started from, and how it ranks.
        before: its mean.
        after: mean of the trained reranker alone.
        difference: after minus before.
        interval: 95% bootstrap interval of the difference.
        margin: loss that is accepted.
        outcome: HELD if the whole interval is above -margin; otherwise FORGOTTEN if it is below 0, and NOT SHOWN if it
            also holds 0: the loss may be too large, or none.
        judges: who says what is relevant to the measured queries -> how many of them.
    """

    collection: str
    split: str
    queries: int
    metric: str
    baseline: str
    before: float
    after: float
    difference: float
    interval: tuple[float, float]
    margin: float
    outcome: Outcome
    judges: Mapping[str, int] = field(default_factory=dict)


def guard_bench(guard: GuardConfig, config: Config, depth: int, reporter: Reporter) -> Bench:
    """The bench of the general collection; its candidates are those of a TF-IDF first stage with default settings.

    Raises:
        InputError: the collection cannot be read, or lacks the split.
    """
    collection, _ = settle_own_documents(read_beir(guard.beir), "auto")
    retriever = fit_first_stage(collection.corpus.values(), FirstStageConfig(kind=LEXICAL))
    settings, seed = config.evaluation, config.seed
    return retrieved_bench(
        collection, guard.split, retriever, depth, depth, settings, seed, reporter, guard.max_queries
    )


def measure_guard(
    guard: GuardConfig,
    config: Config,
    reranker: Reranker,
    base: Path,
    embeddings: Embeddings | None,
    depth: int,
    reporter: Reporter,
) -> Guard:
    """Compare a trained reranker, alone, with what it started from, on the same candidates.

    Args:
        guard: the general collection and the accepted loss.
        config: config of the run.
        reranker: the trained reranker.
        base: folder of the base model.
        embeddings: its own, if it is a bi-encoder.
        depth: how many candidates are reranked.
        reporter: shows progress.

    Raises:
        InputError: the collection cannot be read, or lacks the split.
    """
    bench = guard_bench(guard, config, depth, reporter)
    baseline = BASE_RERANKER if holds_reranker(base) else BASE_COSINE
    before = _values(bench, base_order(bench, base, embeddings, config.training))
    after = _values(bench, _reranked(bench, reranker, "reranker"))
    differences = np.array([after[query_id] - before[query_id] for query_id in before], dtype=np.float64)
    interval = bootstrap_interval(differences, config.evaluation.permutations, config.seed)
    return Guard(
        collection=bench.collection.name,
        split=guard.split,
        queries=len(before),
        metric=config.evaluation.metric,
        baseline=baseline,
        before=mean(before),
        after=mean(after),
        difference=float(differences.mean()),
        interval=interval,
        margin=guard.margin,
        outcome=outcome(interval, guard.margin),
        judges=judges(bench.measured, guard.split),
    )


def outcome(interval: tuple[float, float], margin: float) -> Outcome:
    """Non-inferiority by the interval of the difference.

    Source: G. Piaggio et al., "Reporting of noninferiority and equivalence randomized trials", JAMA 2012.
    """
    low, high = interval
    if low > -margin:
        return "HELD"
    return "FORGOTTEN" if high < 0 else "NOT SHOWN"


def base_order(bench: Bench, base: Path, embeddings: Embeddings | None, training: TrainingConfig = _PLAIN) -> Rankings:
    """The candidates as the base model orders them: as a cross-encoder if it is one, otherwise by cosine.

    Raises:
        InputError: the base model is neither a cross-encoder nor a bi-encoder.
    """
    if holds_reranker(base):
        return _reranked(bench, open_base(base, training), BASE_RERANKER)
    if embeddings is None:
        raise InputError("evaluation.guard: the base model is an encoder that cannot rank, so nothing can be forgotten")
    bi_encoder = encoder_of_candidates(bench.collection, [bench.run], embeddings)
    return rankings(bi_encoder_scores(bench, bi_encoder), bench.run, 0.0)


def _reranked(bench: Bench, reranker: Reranker, name: str) -> Rankings:
    title = f"reranking {bench.collection.name} with the {name}"
    scored = score_queries(bench.pipeline(reranker), bench.queries, bench.run, bench.depth, bench.reporter, title)
    return rankings(scored, bench.run, 0.0)


def _values(bench: Bench, found: Rankings) -> dict[str, float]:
    metric = bench.config.metric
    return measure_rankings([metric], bench.qrels, found)[metric]
