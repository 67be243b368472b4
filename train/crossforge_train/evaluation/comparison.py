"""Compares systems given by name, for `crossforge compare` and `crossforge evaluate --reranker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from crossforge.calibration import Calibrator
from crossforge.errors import InputError
from crossforge.reranker import Reranker
from crossforge_train.evaluation.free_alternatives import Free, best_of, bi_encoder_fusion, free_systems
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.proof import Shipped, measure_shipped
from crossforge_train.evaluation.split_report import Measured, measure_split
from crossforge_train.evaluation.systems import (
    BM25,
    FIRST_STAGE,
    Bench,
    RerankerSystem,
    System,
    first_stage_system,
    opened_system,
)
from crossforge_train.evaluation.verdict import Contest

# Command-line names of the systems that are neither a file nor a reranker.
FIRST_STAGE_REFERENCE = "first-stage"
BM25_REFERENCE = "bm25"
NO_FILES = (FIRST_STAGE_REFERENCE, BM25_REFERENCE)
_FIXED = {FIRST_STAGE_REFERENCE: FIRST_STAGE, BM25_REFERENCE: BM25}


def compare_named(
    bench: Bench, references: Sequence[str], files: Mapping[str, Reranker | Path], free: Free, dev: Bench | None
) -> Measured:
    """Compare systems. The first one named is the baseline; if only one is named, the first stage is.

    Args:
        bench: the bench to measure on.
        references: "first-stage", "bm25", TREC run files, packages, cross-encoder folders or hub ids.
        files: those of them that are files or rerankers, opened; see `opened`.
        free: the free alternatives, BM25 among them; the first challenger is compared with each, to warn.
        dev: chooses the weight with which the base model is fused; None takes half.

    Raises:
        InputError: a system is named twice, or there is nothing to compare.
    """
    if list(references) == [FIRST_STAGE_REFERENCE]:
        raise InputError("the first stage alone has nothing to be compared with; name another system")
    free = _fused_on(dev, free) if dev else free
    systems: list[System] = [first_stage_system(bench), *free_systems(bench, free)]
    names = _names(references, [system.name for system in systems])
    for name, reference in zip(names, references, strict=True):
        if reference not in NO_FILES:
            systems.append(opened_system(bench, name, files[reference]))
    baseline, *challengers = names if len(names) > 1 else [FIRST_STAGE, *names]
    first = challengers[0]
    rivals = [(first, system.name) for system in systems if system.name not in (FIRST_STAGE, *names)]
    contest = Contest(baseline, [(challenger, baseline) for challenger in challengers], rivals)
    systems.sort(key=lambda system: system.name != baseline)  # the baseline first, the others in their order
    calibrator, threshold = _calibration(systems, first)
    return measure_split(bench, systems, contest, calibrator, threshold)


def measure_reranker(bench: Bench, reranker: Reranker, free: Free, dev: Bench | None) -> Measured:
    """Measure one reranker alone and fused as its package specifies, against the first stage and the free alternatives.

    Args:
        bench: the bench to measure on.
        reranker: the reranker.
        free: the free alternatives.
        dev: chooses the alternative that decides; None takes the best one of the bench itself, which favours it.
    """
    manifest, judge, free = reranker.behind(bench.kind).manifest, dev or bench, _fused_on(dev or bench, free)
    systems, metric = free_systems(bench, free), bench.config.metric
    judged = free_systems(dev, free) if dev else systems
    means = {system.name: mean(measure_rankings([metric], judge.qrels, system.rankings)[metric]) for system in judged}
    shipped = Shipped(manifest.fusion_weight, manifest.calibrator, manifest.threshold)
    return measure_shipped(bench, reranker, shipped, systems, best_of(means, list(means)))


def _fused_on(bench: Bench, free: Free) -> Free:
    return free.fused(bi_encoder_fusion(bench, free))


def _names(references: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Names for the tables: each path is shortened to the fewest trailing parts that keep all names distinct.

    Names are text that any file can hold: what is not UTF-8 in a path is written as its code.
    """
    if len(set(references)) == len(references):
        told = [reference.encode(errors="backslashreplace").decode() for reference in references]
        paths = [Path(reference) for reference in told if reference not in _FIXED]
        for parts in range(1, max((len(path.parts) for path in paths), default=0) + 2):
            short = [str(Path(*path.parts[-parts:])) for path in paths]
            if len({*short, *taken}) == len(short) + len(taken):
                left = iter(short)
                return [_FIXED.get(reference) or next(left) for reference in references]
    raise InputError(f"two of these are the same: {', '.join(references)}; name each system once")


def _calibration(systems: Sequence[System], subject: str) -> tuple[Calibrator, float | None]:
    found = next(system for system in systems if system.name == subject)
    if not isinstance(found, RerankerSystem):
        return Calibrator(), None
    manifest = found.pipeline.reranker.manifest
    return manifest.calibrator, manifest.threshold
