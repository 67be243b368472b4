"""`evaluate` and `compare`: measure a reranker, or compare systems, on any collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossforge.reranker import Reranker
from crossforge_train.api.report import Report
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.own_documents import in_words, settle_own_documents
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.evaluation.comparison import compare_named, measure_reranker
from crossforge_train.evaluation.outcome import make_report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.evaluation.systems import Bench, RerankerSystem, read_candidates, set_up_bench
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.report.files import write_details, write_report
from crossforge_train.reporting import Reporter, SilentReporter

_SEED = 42


@dataclass(frozen=True)
class Measurement:
    """Settings of `evaluate` and `compare`.

    Attributes:
        split: split of the collection to measure.
        depth: number of first-stage candidates to rerank.
        max_queries: maximum number of queries, by a seeded draw; all if None.
        candidates: a TREC run with the candidates to rerank; if None, the first stage retrieves them.
    """

    split: str = "test"
    depth: int = 100
    max_queries: int | None = None
    candidates: Path | None = None


def evaluate(
    reranker: str | Path | Reranker,
    collection: str | Path | Collection,
    measurement: Measurement | None = None,
    *,
    save_to: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Measure a reranker on a collection against the first stage.

    Args:
        reranker: a package, a cross-encoder folder, a hub id, or a loaded `Reranker`.
        collection: a `Collection`, or a folder in BEIR layout.
        measurement: split, depth, number of queries, and candidates of another retriever.
        save_to: folder for the report, the rankings and the per-query values; nothing is saved if None.
        reporter: shows progress; silent by default.

    Raises:
        InputError: the collection cannot be read, or lacks the split.
        PackageError: there is no such reranker.

    >>> import crossforge_train as ct
    >>> report = ct.evaluate("runs/quickstart/package", "path/to/beir")  # doctest: +SKIP
    >>> report.to_frame()  # doctest: +SKIP
    """
    found = reranker if isinstance(reranker, Reranker) else Reranker(reranker)
    bench = _bench(collection, measurement or Measurement(), reporter)
    title = str(reranker) if isinstance(reranker, str | Path) else found.manifest.base_model
    return _reported(bench, measure_reranker(bench, found), title, save_to)


def compare(
    systems: Sequence[str | Path],
    collection: str | Path | Collection,
    measurement: Measurement | None = None,
    *,
    save_to: str | Path | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Compare systems on the same queries and candidates.

    Args:
        systems: packages, cross-encoder folders, hub ids, TREC run files, "bm25" or "first-stage". The first one is the
            baseline; if only one is given, the first stage is.
        collection: a `Collection`, or a folder in BEIR layout.
        measurement: split, depth, number of queries, and candidates of another retriever.
        save_to: folder for the report, the rankings and the per-query values; nothing is saved if None.
        reporter: shows progress; silent by default.

    Raises:
        InputError: a system is named twice, or the collection cannot be read.
        PackageError: a system is none of these.

    >>> import crossforge_train as ct
    >>> ct.compare(["old-package", "new-package"], "path/to/beir").verdict  # doctest: +SKIP
    'TIE'
    """
    bench = _bench(collection, measurement or Measurement(), reporter)
    measured = compare_named(bench, list(map(str, systems)))
    return _reported(bench, measured, f"{measured.report.subject} against {measured.report.baseline}", save_to)


def _bench(collection: str | Path | Collection, measurement: Measurement, reporter: Reporter | None) -> Bench:
    found = collection if isinstance(collection, Collection) else read_folder(Path(collection))
    reporter = reporter or SilentReporter()
    if found.own_documents is None:
        found, own = settle_own_documents(found, "auto")
        if decision := in_words(own):
            reporter.note(decision)
    config, first_stage = EvaluationConfig(depth=measurement.depth), FirstStageConfig()
    queries = found.split_queries(measurement.split)
    retriever = fit_first_stage(found.corpus.values(), first_stage)
    run = (
        read_candidates(measurement.candidates, found)
        if measurement.candidates
        else retrieve(found, retriever, queries, max(measurement.depth, first_stage.depth))
    )
    return set_up_bench(found, measurement.split, run, retriever, config, _SEED, reporter, measurement.max_queries)


def _reported(bench: Bench, measured: Measured, title: str, save_to: str | Path | None) -> Report:
    rerankers = [system.pipeline.reranker for system in measured.systems if isinstance(system, RerankerSystem)]
    backend = rerankers[0].backend_name if rerankers else "no reranker"
    config = bench.config
    report = make_report(title, bench.collection.name, config.metric, config.depth, backend, [measured.report])
    if save_to is not None:
        write_details(Path(save_to), measured, bench.collection)
        write_report(Path(save_to), report)
    return Report.of(report)
