"""`evaluate` and `compare`: measure a reranker, or compare systems, on any collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crossforge.prompts import Prompts
from crossforge.reranker import Reranker
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.registry import LEXICAL
from crossforge.runs import Run
from crossforge_train.api.report import Report
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.own_documents import in_words, settle_own_documents
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.encoders.base import other_prompts
from crossforge_train.encoders.embeddings import open_embeddings
from crossforge_train.evaluation.comparison import NO_FILES, compare_named, measure_reranker
from crossforge_train.evaluation.free_alternatives import Free
from crossforge_train.evaluation.free_retrievers import free_retrievers
from crossforge_train.evaluation.outcome import make_report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.evaluation.systems import Bench, RerankerSystem, read_candidates, set_up_bench
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.first_stage import in_words as first_stage_in_words
from crossforge_train.models.base_model import local_base_model
from crossforge_train.report.files import write_details, write_report
from crossforge_train.reporting import Reporter, SilentReporter

_SEED = 42
_DEV = "dev"


@dataclass(frozen=True)
class Measurement:
    """Settings of `evaluate` and `compare`.

    Attributes:
        split: split of the collection to measure.
        depth: number of first-stage candidates to rerank.
        max_queries: maximum number of queries, by a seeded draw; all if None.
        candidates: a TREC run with the candidates to rerank; if None, the first stage retrieves them.
        base_model: bi-encoder that is measured as it is, too: a folder or hub id; if None, the base model of the first
            reranker, if its files are on this machine.
        runs: folder of all runs; what is embedded is kept there.
    """

    split: str = "test"
    depth: int = 100
    max_queries: int | None = None
    candidates: Path | None = None
    base_model: str | None = None
    runs: Path = Path("runs")


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
    wanted, shown = measurement or Measurement(), reporter or SilentReporter()
    known, first_stage = _searched(collection, shown)
    bench = _bench(known, first_stage, wanted, wanted.split, shown)
    dev = _bench(known, first_stage, wanted, _DEV, shown) if _DEV in known.splits and wanted.split != _DEV else None
    free = _free(bench, first_stage, wanted, [found], dev)
    title = str(reranker) if isinstance(reranker, str | Path) else found.manifest.base_model
    return _reported(bench, measure_reranker(bench, found, free, dev), wanted, title, save_to)


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
    wanted, shown = measurement or Measurement(), reporter or SilentReporter()
    known, first_stage = _searched(collection, shown)
    bench = _bench(known, first_stage, wanted, wanted.split, shown)
    named = [str(system) for system in systems]
    rerankers = [Reranker(name) for name in named if name not in NO_FILES and not Path(name).is_file()]
    measured = compare_named(bench, named, _free(bench, first_stage, wanted, rerankers, None))
    title = f"{measured.report.subject} against {measured.report.baseline}"
    return _reported(bench, measured, wanted, title, save_to)


def _searched(collection: str | Path | Collection, reporter: Reporter) -> tuple[Collection, StoredRetriever]:
    """A collection and its lexical first stage."""
    found = collection if isinstance(collection, Collection) else read_folder(Path(collection))
    if found.own_documents is None:
        found, own = settle_own_documents(found, "auto")
        if decision := in_words(own):
            reporter.note(decision)
    return found, fit_first_stage(found.corpus.values(), FirstStageConfig(kind=LEXICAL))


def _bench(
    collection: Collection, first_stage: StoredRetriever, wanted: Measurement, split: str, reporter: Reporter
) -> Bench:
    config = EvaluationConfig()
    run: Run
    if wanted.candidates and split == wanted.split:
        run = read_candidates(wanted.candidates, collection)
    else:
        deepest = max(wanted.depth, FirstStageConfig().depth)
        run = retrieve(collection, first_stage, collection.split_queries(split), deepest)
    return set_up_bench(collection, split, run, first_stage, wanted.depth, config, _SEED, reporter, wanted.max_queries)


def _free(
    bench: Bench, first_stage: StoredRetriever, wanted: Measurement, rerankers: Sequence[Reranker], dev: Bench | None
) -> Free:
    """The free alternatives, the base model's among them where its files are at hand or the caller names it.

    It embeds with the prompts of the first reranker that was made of it.
    """
    base_model = wanted.base_model or next(
        (found.manifest.base_model for found in rerankers if local_base_model(found.manifest.base_model)), None
    )
    embeddings = None
    if base_model:
        read = {found.manifest.base_model: found.tokenizer.prompts for found in reversed(rerankers)}
        prompts = other_prompts(base_model, read.get(base_model, Prompts()))
        embeddings = open_embeddings(base_model, None, wanted.runs, bench.reporter, prompts=prompts)
    runs = [found.run for found in (bench, dev) if found]
    return free_retrievers(first_stage, bench.collection, runs, embeddings, dev=dev)


def _reported(bench: Bench, measured: Measured, wanted: Measurement, title: str, save_to: str | Path | None) -> Report:
    rerankers = [system.pipeline.reranker for system in measured.systems if isinstance(system, RerankerSystem)]
    backend = rerankers[0].backend_name if rerankers else "no reranker"
    config = bench.config
    name = bench.collection.name
    report = make_report(
        title, name, config.metric, bench.depth, backend, [measured.report], first_stage=_retrieved_by(bench, wanted)
    )
    if save_to is not None:
        write_details(Path(save_to), measured, bench.collection)
        write_report(Path(save_to), report)
    return Report.of(report)


def _retrieved_by(bench: Bench, wanted: Measurement) -> str:
    return f"the run {wanted.candidates.name}" if wanted.candidates else first_stage_in_words(bench.retriever)
