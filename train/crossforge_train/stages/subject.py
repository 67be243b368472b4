"""What stage `evaluate` measures: the reranker, or a student of it, as dev and the budget say."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from crossforge.backends.choice import AUTO
from crossforge.errors import InputError, PackageError
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever
from crossforge_train.collections.candidates import require_order
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.evaluation.budget import Budget, measure_points, point_within, with_passages
from crossforge_train.evaluation.depth import choose_depth, depth_that_suffices, first_of
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.evaluation.query_limits import TIMED, QueryLimits, limits_of, limits_within, query_seconds
from crossforge_train.evaluation.systems import RERANKER, Bench, RerankerSystem, reranker_system, scored_system
from crossforge_train.packaging.quantization import quantize
from crossforge_train.pair_scoring import backend_for
from crossforge_train.stages.benches import dev_bench
from crossforge_train.stages.stage import Context

# What is tried within a budget on a CPU; those that the machine lacks are left out.
_BACKENDS = ("onnx", "openvino", "openvino-bf16")
INT8 = "onnx-int8"


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        reranker: on its backend.
        dev: the dev split, at the depth and passages that ship.
        alone: its scores there.
        limits: how many queries are measured.
        budget: what these were picked for and from; None if there is no budget.
    """

    reranker: Reranker
    dev: Bench
    alone: RerankerSystem
    limits: QueryLimits
    budget: Budget | None = None


@contextmanager
def opened_subject(
    context: Context,
    collection: Collection,
    retriever: Retriever,
    model: Path,
    rivals: int = 0,
    *,
    at_one_depth: bool = False,
) -> Iterator[Subject]:
    """Open a run's reranker as it is to ship.

    Args:
        context: of the stage.
        collection: of the run.
        retriever: the first stage.
        model: folder of the trained model.
        rivals: number of other rerankers that are measured on the same queries.
        at_one_depth: whether to leave the depth as dev's ceiling has it, whatever this reranker gains from it.

    Raises:
        InputError: nothing stays within the budget, or the reranker ranks nothing.
    """
    depth, budget = _depth(context, collection), context.config.package.budget_ms

    whole = dev_bench(context, collection, retriever, depth)

    def limited(reranker: Reranker, count: int) -> tuple[Bench, QueryLimits]:
        limits = _limits(context.config, whole, reranker, count + rivals)
        return whole.drawn(limits.dev), limits

    if budget is None:
        reranker = Reranker(model, backend=backend_for(context.config.evaluation.backend))
        started = time.monotonic()
        dev, limits = limited(reranker, 1)
        subject = Subject(reranker, dev, reranker_system(dev, RERANKER, reranker, 0.0), limits)
        if context.config.evaluation.depth == "auto" and not at_one_depth:
            subject = _no_deeper_than_pays(subject, rivals, context.config, (time.monotonic() - started) / 60)
        _tell(context.config, dev, subject.limits)
        yield subject
        return
    with ExitStack() as kept:
        models = _with_students(context, model).items()
        rerankers = {layers: _rerankers(context, folder, kept) for layers, folder in models}
        count = sum(map(len, rerankers.values()))
        dev, limits = limited(rerankers[None][0], count)
        subject, minutes = _within(budget, dev, limits, rerankers)
        subject = _with_time_left(subject, rivals, rerankers[None][0], context.config, minutes)
        _tell(context.config, dev, subject.limits)
        yield subject


def _no_deeper_than_pays(subject: Subject, rivals: int, config: Config, minutes: float) -> Subject:
    """The subject with as many candidates as dev gains from; the time that is left goes further with fewer.

    Args:
        subject: at the depth that dev's ceiling calls for, at which rivals stay.
        rivals: number of other rerankers.
        config: of the run.
        minutes: that dev took.
    """
    deepest, depth = subject.dev.depth, depth_that_suffices(subject.dev, subject.alone.scored)
    if depth == deepest:
        return subject
    subject.dev.reporter.note(f"evaluation.depth: {depth}, since what would ship gains nothing from more on dev")
    dev = replace(subject.dev, depth=depth, rivals_depth=deepest)
    alone = scored_system(dev, RERANKER, subject.reranker, first_of(subject.alone.scored, depth), 0.0)
    shallower = replace(subject, dev=dev, alone=alone)
    return _with_time_left(shallower, rivals, subject.reranker, config, minutes)


def _with_time_left(subject: Subject, rivals: int, like_rivals: Reranker, config: Config, spent: float) -> Subject:
    """The subject with the limits that the time allows once dev is reranked and the shipped depth is known.

    Args:
        subject: as it ships.
        rivals: number of other rerankers; the base model is yet to rerank dev.
        like_rivals: a reranker that takes as long as one of them.
        config: of the run.
        spent: minutes that dev took.
    """
    settings, dev = config.evaluation, subject.dev
    if not settings.has_limit or settings.minutes is None:
        return subject
    seconds = query_seconds(dev.drawn(TIMED), subject.reranker)
    of_rivals = rivals * query_seconds(dev.of_rivals.drawn(TIMED), like_rivals) if rivals else 0.0
    # Dev's number is settled.
    left = settings.model_copy(update={"minutes": max(settings.minutes - spent, 0.1), "max_dev_queries": None})
    dev_left = math.ceil(len(dev.queries) * of_rivals / (seconds + of_rivals))
    tests = list(_query_counts(config, dev.collection).values())[1:]
    limits = limits_within(left, seconds + of_rivals, dev.depth, dev_left, tests)
    return replace(subject, limits=replace(limits, dev=subject.limits.dev))


def _limits(config: Config, dev: Bench, reranker: Reranker, measured: int) -> QueryLimits:
    """How many queries are measured, where `measured` rerankers share the time."""
    settings = config.evaluation
    if not settings.has_limit:
        return limits_of(settings)
    counts = list(_query_counts(config, dev.collection).values())
    sample = dev.drawn(TIMED)
    require_order(sample.run, sample.split)
    return limits_within(settings, measured * query_seconds(sample, reranker), dev.depth, counts[0], counts[1:])


def _tell(config: Config, dev: Bench, limits: QueryLimits) -> None:
    """Say which queries are left out for want of time."""
    if not config.evaluation.has_limit:
        return
    counts = _query_counts(config, dev.collection)
    drawn = [limits.dev, *(limits.test for _ in config.collection.test_splits)]
    left_out = [
        f"{split} {limit:,} of {count:,}"
        for (split, count), limit in zip(counts.items(), drawn, strict=True)
        if limit is not None and limit < count
    ]
    if left_out:
        minutes = config.evaluation.minutes
        dev.reporter.note(f"evaluation.minutes: queries measured in {minutes:g}: {', '.join(left_out)}")


def _query_counts(config: Config, collection: Collection) -> dict[str, int]:
    """Judged queries of dev, then of each test split."""
    splits = (config.collection.dev_split, *config.collection.test_splits)
    return {split: len(judged_queries(collection.qrels(split))) for split in splits}


def _with_students(context: Context, model: Path) -> Mapping[int | None, Path]:
    """The models among which dev picks: the trained reranker, under None, and the students by their layers."""
    students = {layers: context.run.student(layers).model for layers in context.config.package.layers}
    # None was made of as many layers as the trained reranker has.
    return {None: model, **{layers: folder for layers, folder in students.items() if folder.is_dir()}}


def _within(
    budget: float, dev: Bench, limits: QueryLimits, rerankers: Mapping[int | None, Sequence[Reranker]]
) -> tuple[Subject, float]:
    """What ships, and the minutes that dev took."""
    require_order(dev.run, dev.split)
    by_layers = [measure_points(dev, found, layers) for layers, found in rerankers.items()]
    measured, minutes = [point for found, _ in by_layers for point in found], sum(took for _, took in by_layers) / 60
    points = [found.point for found in measured]
    shipped = point_within(budget, points)
    if shipped is None:
        fastest = min(points, key=lambda point: point.milliseconds)
        raise InputError(
            f"package.budget_ms: {budget:g} ms are too few on this machine: {fastest.depth} candidates take "
            f"{fastest.milliseconds:.0f} ms ({fastest.backend})"
        )
    student = f"the student of {shipped.layers} layers, " if shipped.layers else ""
    dev.reporter.note(
        f"package.budget_ms: {student}{shipped.depth} candidates, {shipped.passages} passage(s) of each, "
        f"{shipped.backend}: {shipped.milliseconds:.0f} ms of {budget:g} a query, {dev.config.metric} "
        f"{shipped.quality:.3f} on dev"
    )
    found = measured[points.index(shipped)]
    # The alternatives keep all candidates: what is little enough for the budget may be too little for them.
    on = replace(with_passages(dev, shipped.passages, shipped.depth), rivals_depth=dev.depth)
    alone = scored_system(on, RERANKER, found.reranker, found.scored, 0.0)
    return Subject(found.reranker, on, alone, limits, Budget(budget, points, shipped)), minutes


def _rerankers(context: Context, model: Path, kept: ExitStack) -> list[Reranker]:
    """The model on every backend that may ship: the one that the config names, or all that this machine has."""
    backend = backend_for(context.config.evaluation.backend)
    if backend != AUTO:
        return [Reranker(model, backend=backend)]
    found = []
    for name in _BACKENDS:
        with suppress(PackageError):
            found.append(Reranker(model, backend=name))
    if context.config.package.int8:
        folder = Path(kept.enter_context(tempfile.TemporaryDirectory())) / model.name
        shutil.copytree(model, folder)
        quantize(folder)
        found.append(Reranker(folder, backend=INT8))
    return found or [Reranker(model)]


def _depth(context: Context, collection: Collection) -> int:
    """How many candidates are reranked at most: as the config says, or as dev says."""
    config, settings = context.config, context.config.evaluation
    if settings.depth != "auto":
        return settings.depth
    dev = config.collection.dev_split
    depth = choose_depth(context.run.mined.run(dev), collection.qrels(dev), settings.metric)
    context.reporter.note(f"evaluation.depth: {depth}, by the ceiling on dev")
    return depth
