"""`evaluate` and `compare`: measure a reranker, or compare systems, on any collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from crossforge.arguments import require_count
from crossforge.embedding.encoder import EncoderSettings, read_settings
from crossforge.errors import InputError
from crossforge.files import require_writable
from crossforge.pipeline import DEFAULT_DEPTH, depth_for, passages_for
from crossforge.prompts import Prompts
from crossforge.reranker import Reranker
from crossforge.retrievers.base import RepeatableRetriever, StoredRetriever
from crossforge.retrievers.registry import LEXICAL, RUN
from crossforge_train.api.report import Report
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.own_documents import in_words, settle_own_documents
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.encoders.base import other_prompts
from crossforge_train.encoders.embeddings import embeddings_if_exported, open_embeddings
from crossforge_train.encoders.tuning import tuned_name
from crossforge_train.evaluation.comparison import NO_FILES, compare_named, measure_reranker
from crossforge_train.evaluation.free_alternatives import Free
from crossforge_train.evaluation.free_retrievers import free_retrievers
from crossforge_train.evaluation.outcome import make_report
from crossforge_train.evaluation.split_report import Measured
from crossforge_train.evaluation.systems import (
    Bench,
    RerankerSystem,
    opened,
    read_candidates,
    retrieved_bench,
    set_up_bench,
)
from crossforge_train.first_stage import first_stage_of, fit_first_stage, vector_part
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
        depth: number of first-stage candidates to rerank; None: as many as in the first package's proof, or 100.
        max_queries: maximum number of queries, by a seeded draw; all if None.
        candidates: a TREC run with the candidates to rerank; if None, the first stage of the first package's proof
            retrieves them, or TF-IDF if no package says how it was made.
        base_model: bi-encoder that is measured as it is, too: a folder or hub id; if None, the base model of the first
            reranker, if its files are on this machine.
        runs: folder of all runs; what is embedded is kept there.
        lexical: whether TF-IDF retrieves, whatever the packages were proven behind.

    Raises:
        InputError: `depth` is less than 2, or `max_queries` less than 1.
    """

    split: str = "test"
    depth: int | None = None
    max_queries: int | None = None
    candidates: Path | None = None
    base_model: str | None = None
    runs: Path = Path("runs")
    lexical: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (("depth", self.depth, 2), ("max_queries", self.max_queries, 1)):
            if value is not None:
                require_count(name, value, least)


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
        InputError: the collection cannot be read, or lacks the split, or the report cannot be written.
        PackageError: there is no such reranker.

    >>> import crossforge_train as ct
    >>> report = ct.evaluate("runs/quickstart/package", "path/to/beir")  # doctest: +SKIP
    >>> report.to_frame()  # doctest: +SKIP
    """
    _require_place(save_to)
    found = reranker if isinstance(reranker, Reranker) else Reranker(reranker)
    setting = _setting(collection, [found], measurement or Measurement(), reporter or SilentReporter())
    title = str(reranker) if isinstance(reranker, str | Path) else found.manifest.base_model
    return _reported(setting, measure_reranker(setting.bench, found, setting.free, setting.dev), title, save_to)


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
        InputError: no system is named, or one twice; the collection cannot be read, or the report not be written.
        PackageError: a system is none of these.

    >>> import crossforge_train as ct
    >>> ct.compare(["old-package", "new-package"], "path/to/beir").verdict  # doctest: +SKIP
    'TIE'
    """
    if isinstance(systems, str | Path) or not systems:
        raise InputError(f'systems is {systems!r}; expected a list such as ["bm25", "path/to/package"]')
    _require_place(save_to)
    named = [str(system) for system in systems]
    files = {name: opened(name) for name in named if name not in NO_FILES}
    rerankers = [found for found in files.values() if isinstance(found, Reranker)]
    setting = _setting(collection, rerankers, measurement or Measurement(), reporter or SilentReporter())
    measured = compare_named(setting.bench, named, files, setting.free, setting.dev)
    return _reported(setting, measured, f"{measured.report.subject} against {measured.report.baseline}", save_to)


def _require_place(save_to: str | Path | None) -> None:
    """Raise `InputError` if the report could not be written at the end."""
    if save_to is not None:
        require_writable(Path(save_to), "a report", folder=True)


@dataclass(frozen=True)
class _Setting:
    """What systems are measured on, and beside.

    Attributes:
        bench: of the measured split.
        dev: of the split `dev`; None if there is none, or it is the measured one.
        free: the free alternatives.
        first_stage: what found the candidates, in words.
    """

    bench: Bench
    dev: Bench | None
    free: Free
    first_stage: str


def _setting(
    collection: str | Path | Collection, rerankers: Sequence[Reranker], wanted: Measurement, reporter: Reporter
) -> _Setting:
    known = _settled(collection, reporter)
    documents = known.corpus.values()
    if rerankers and not wanted.lexical and wanted.candidates is None:
        retriever = first_stage_of(rerankers[0], documents, wanted.runs, reporter)
    else:
        retriever = fit_first_stage(documents, FirstStageConfig(kind=LEXICAL))
    bench = _bench(known, retriever, rerankers, wanted, wanted.split, reporter)
    # What the split `dev` chooses behind this first stage says nothing about candidates of another.
    with_dev = _DEV in known.splits and wanted.split != _DEV and wanted.candidates is None
    dev = _bench(known, retriever, rerankers, wanted, _DEV, reporter) if with_dev else None
    words = f"the run {wanted.candidates.name}" if wanted.candidates else first_stage_in_words(retriever)
    return _Setting(bench, dev, _free(bench, retriever, rerankers, wanted, dev), words)


def _settled(collection: str | Path | Collection, reporter: Reporter) -> Collection:
    """The collection, with the decision whether a query's own document is left out."""
    found = collection if isinstance(collection, Collection) else read_folder(Path(collection))
    if found.own_documents is None:
        found, own = settle_own_documents(found, "auto")
        if decision := in_words(own):
            reporter.note(decision)
    return found


def _bench(
    collection: Collection,
    retriever: StoredRetriever,
    rerankers: Sequence[Reranker],
    wanted: Measurement,
    split: str,
    reporter: Reporter,
) -> Bench:
    depth = wanted.depth or next(map(depth_for, rerankers), DEFAULT_DEPTH)
    config = EvaluationConfig(passages=next(map(passages_for, rerankers), 1))
    limit = wanted.max_queries
    if wanted.candidates:
        run = read_candidates(wanted.candidates, collection)
        found = set_up_bench(collection, split, run, retriever, depth, config, _SEED, reporter, limit)
        return replace(found, other_kind=RUN)
    deepest = max(depth, FirstStageConfig().depth)
    return retrieved_bench(collection, split, retriever, deepest, depth, config, _SEED, reporter, limit)


def _free(
    bench: Bench, retriever: StoredRetriever, rerankers: Sequence[Reranker], wanted: Measurement, dev: Bench | None
) -> Free:
    """The free alternatives, the base model's among them where its files are at hand or the caller names it.

    It embeds with the prompts of the first reranker that was made of it, and reads no more than the first stage's
    encoder does, if that was made of it, too.
    """
    base_model = wanted.base_model or next(
        (found.manifest.base_model for found in rerankers if local_base_model(found.manifest.base_model)), None
    )
    runs = [found.of_rivals.candidates for found in (bench, dev) if found]
    if base_model is None:
        return free_retrievers(retriever, bench.collection, runs, None, dev=dev)
    read = {found.manifest.base_model: found.tokenizer.prompts for found in reversed(rerankers)}
    prompts = other_prompts(base_model, read.get(base_model, Prompts()))
    open_reading = partial(open_embeddings, base_model, runs=wanted.runs, reporter=bench.reporter, prompts=prompts)
    embeddings = embeddings_if_exported(lambda: open_reading(None), bench.reporter)
    encoder = _encoder(retriever)
    of_base = encoder if encoder and encoder.model in (base_model, tuned_name(base_model)) else None
    if embeddings and of_base and of_base.max_length < embeddings.encoder_settings.max_length:
        embeddings = open_reading(of_base.max_length)
    tuned = of_base is not None and of_base.model != base_model
    return free_retrievers(retriever, bench.collection, runs, embeddings, dev=dev, tuned=tuned)


def _encoder(retriever: StoredRetriever) -> EncoderSettings | None:
    """The settings of a first stage's encoder, if it has one."""
    part = vector_part(retriever)
    return read_settings(part.settings["encoder"]) if isinstance(part, RepeatableRetriever) else None


def _reported(setting: _Setting, measured: Measured, title: str, save_to: str | Path | None) -> Report:
    rerankers = [system.pipeline.reranker for system in measured.systems if isinstance(system, RerankerSystem)]
    backend = rerankers[0].backend_name if rerankers else "no reranker"
    bench, name = setting.bench, setting.bench.collection.name
    report = make_report(
        title, name, bench.config.metric, bench.depth, backend, [measured.report], first_stage=setting.first_stage
    )
    if save_to is not None:
        write_details(Path(save_to), measured, bench.collection)
        write_report(Path(save_to), report)
    return Report.of(report)
