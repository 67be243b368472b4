"""Compares systems given by name, for `crossforge compare` and `crossforge evaluate --reranker`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossforge.calibration import Calibrator
from crossforge.errors import InputError
from crossforge.reranker import Reranker
from crossforge_train.evaluation.proof import measure_shipped
from crossforge_train.evaluation.split_report import Measured, measure_split
from crossforge_train.evaluation.systems import (
    BM25,
    BM25_RETRIEVAL,
    FIRST_STAGE,
    WITHOUT_MODEL,
    Bench,
    RerankerSystem,
    System,
    bm25_retriever,
    bm25_systems,
    first_stage_system,
    opened,
    opened_system,
)
from crossforge_train.evaluation.verdict import Contest

# Command-line names of the systems that are neither a file nor a reranker.
FIRST_STAGE_REFERENCE = "first-stage"
BM25_REFERENCE = "bm25"
_FIXED = {FIRST_STAGE_REFERENCE: FIRST_STAGE, BM25_REFERENCE: BM25}


def compare_named(bench: Bench, references: Sequence[str]) -> Measured:
    """Compare systems. The first one named is the baseline; if only one is named, the first stage is.

    Args:
        bench: the bench to measure on.
        references: "first-stage", "bm25", TREC run files, packages, cross-encoder folders or hub ids.

    Raises:
        InputError: a system is named twice, or there is nothing to compare.
        PackageError: a reference is none of these.
    """
    if list(references) == [FIRST_STAGE_REFERENCE]:
        raise InputError("the first stage alone has nothing to be compared with; name another system")
    systems: list[System] = [
        first_stage_system(bench),
        *bm25_systems(bench, bm25_retriever(bench.collection, bench.retriever)),
    ]
    names = _names(references)
    for name, reference in zip(names, references, strict=True):
        if name not in (FIRST_STAGE, BM25):
            systems.append(opened_system(bench, name, opened(reference)))
    baseline, *challengers = names if len(names) > 1 else [FIRST_STAGE, *names]
    rivals = [(challengers[0], name) for name in WITHOUT_MODEL if name != challengers[0]]
    contest = Contest(baseline, [(challenger, baseline) for challenger in challengers], rivals)
    systems.sort(key=lambda system: system.name != baseline)  # the baseline first, the others in their order
    calibrator, threshold = _calibration(systems, challengers[0])
    return measure_split(bench, systems, contest, calibrator, threshold)


def measure_reranker(bench: Bench, reranker: Reranker) -> Measured:
    """Measure one reranker against the first stage: alone, and fused as its package specifies."""
    manifest = reranker.manifest
    bm25 = bm25_systems(bench, bm25_retriever(bench.collection, bench.retriever))
    return measure_shipped(bench, reranker, manifest.fusion_weight, bm25, manifest.calibrator, manifest.threshold)


def _names(references: Sequence[str]) -> list[str]:
    """Names for the tables: each path is shortened to the fewest trailing parts that keep all names distinct."""
    if len(set(references)) == len(references):
        paths = [Path(reference) for reference in references if reference not in _FIXED]
        for parts in range(1, max((len(path.parts) for path in paths), default=0) + 2):
            short = [str(Path(*path.parts[-parts:])) for path in paths]
            if len({*short, FIRST_STAGE, BM25, BM25_RETRIEVAL}) == len(short) + 3:
                left = iter(short)
                return [_FIXED.get(reference) or next(left) for reference in references]
    raise InputError(f"two of these are the same: {', '.join(references)}; name each system once")


def _calibration(systems: Sequence[System], subject: str) -> tuple[Calibrator, float | None]:
    found = next(system for system in systems if system.name == subject)
    if not isinstance(found, RerankerSystem):
        return Calibrator(), None
    manifest = found.pipeline.reranker.manifest
    return manifest.calibrator, manifest.threshold
