"""Fits a reranker to the time that a query may take here: layers, depth, passages and backend, picked on dev."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.curves import median_milliseconds
from crossforge_train.evaluation.depth import DEPTHS, SHIPPED_GAIN, first_of, values_as_shipped
from crossforge_train.evaluation.metrics import mean
from crossforge_train.evaluation.scoring import ScoredQuery, score_passage_counts
from crossforge_train.evaluation.systems import Bench

_QUERIES = 10
# Fewer candidates than this are no list to rerank.
_LEAST = 5
# More passages of a document than these are tried only if the config asks for them.
_PASSAGES = (1, 2, 3)
# Backends that compute the same logits, up to rounding: scored once.
_EXACT = ("onnx", "openvino", "torch")

Scores = Mapping[str, ScoredQuery]


@dataclass(frozen=True)
class Point:
    """One way to run a reranker, as measured on dev.

    Attributes:
        depth: how many candidates are reranked.
        passages: how many passages of a long document are read.
        backend: what computes the scores.
        milliseconds: median time per query, one query at a time, retrieval included.
        quality: mean of the deciding measure as it would ship, with a fusion weight of its own.
        layers: of the student that is run; None if it is the trained reranker itself.
    """

    depth: int
    passages: int
    backend: str
    milliseconds: float
    quality: float
    layers: int | None = None


@dataclass(frozen=True)
class Budget:
    """What a query may cost, and what was picked for it.

    Attributes:
        milliseconds: the most that a query may take.
        points: every measured point.
        shipped: the one that is measured on test, and packaged.
    """

    milliseconds: float
    points: Sequence[Point]
    shipped: Point


@dataclass(frozen=True)
class MeasuredPoint:
    """A point, the reranker that was measured, and its scores on dev."""

    point: Point
    reranker: Reranker
    scored: Scores


def measure_points(
    bench: Bench, rerankers: Sequence[Reranker], layers: int | None = None
) -> tuple[list[MeasuredPoint], float]:
    """Measure every depth up to the bench's, number of passages, and backend.

    A pair is scored once: smaller depths and fewer passages are the beginning of more, and backends that compute the
    same share their scores. Numbers of passages are tried only where a document is cut into several.

    Args:
        bench: the dev split.
        rerankers: the same model on different backends.
        layers: of the student that they are; None if they are no student.

    Returns:
        The points, and the seconds that it took to score dev, without those of the timing.
    """
    found: list[MeasuredPoint] = []
    seconds = 0.0
    exact: dict[int, Scores] = {}
    for reranker in rerankers:
        shared = exact if reranker.backend_name in _EXACT else {}
        if not shared:
            started = time.monotonic()
            shared.update(_scores(bench, reranker))
            seconds += time.monotonic() - started
        for passages, scored in shared.items():
            on = with_passages(bench, passages)
            milliseconds = milliseconds_by_depth(on, on.pipeline(reranker), f"timing dev, {reranker.backend_name}")
            for depth, took in milliseconds.items():
                upto = first_of(scored, depth)
                quality = mean(values_as_shipped(on, upto))
                point = Point(depth, passages, reranker.backend_name, took, quality, layers)
                found.append(MeasuredPoint(point, reranker, upto))
    return found, seconds


def with_passages(bench: Bench, passages: int, depth: int | None = None) -> Bench:
    """The same bench, reading another number of passages, and of another depth unless that is None."""
    config = bench.config.model_copy(update={"passages": passages})
    return replace(bench, config=config, depth=depth or bench.depth)


def _scores(bench: Bench, reranker: Reranker) -> Mapping[int, Scores]:
    counts = sorted({*_PASSAGES, bench.config.passages})
    title = f"reranking {bench.split} with {reranker.backend_name}"
    pipeline = with_passages(bench, counts[-1]).pipeline(reranker)
    return score_passage_counts(pipeline, bench.queries, bench.run, bench.depth, counts, bench.reporter, title)


def milliseconds_by_depth(bench: Bench, pipeline: RetrieveAndRerank, title: str = "timing dev") -> dict[int, float]:
    """The median time of a query, retrieval included, for every depth up to the bench's, in milliseconds.

    Args:
        bench: the dev split; ten of its queries are timed one at a time.
        pipeline: what ships.
        title: of the progress bar.
    """
    by_text = {bench.queries[query_id]: query_id for query_id in seeded_draw(list(bench.queries), _QUERIES, bench.seed)}
    depths = sorted({min(_LEAST, bench.depth), *(depth for depth in (10, *DEPTHS) if depth < bench.depth), bench.depth})

    def at(depth: int) -> float:
        def answer(query: str) -> None:
            bench.retriever.search({by_text[query]: query}, depth)
            pipeline.rerank(query, bench.run[by_text[query]][:depth])

        return median_milliseconds(answer, by_text)

    with bench.reporter.bar(title, len(depths)) as advance:
        found = {}
        for depth in depths:
            found[depth] = at(depth)
            advance()
    return found


def point_within(milliseconds: float, points: Sequence[Point]) -> Point | None:
    """The fastest of those points within a budget that are as good as the best of them; None if none is within it."""
    within = [point for point in points if point.milliseconds <= milliseconds]
    best = max((point.quality for point in within), default=0.0)
    good = [point for point in within if point.quality >= best - SHIPPED_GAIN]
    return min(good, key=lambda point: (point.milliseconds, -point.quality), default=None)


def front(points: Sequence[Point]) -> list[Point]:
    """The points than which none is both as fast and better, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.milliseconds, -point.quality)):
        if not found or point.quality > found[-1].quality:
            found.append(point)
    return found
