"""How much of the gain from labels does training on a noisy judge's grades reach, and is the reported kappa true?

    python benchmarks/noisy_judge.py --collection FOLDER --runs FOLDER [--queries 600] [--noise 0.2]

FOLDER is a collection in BEIR layout. Two runs get the same training queries, by a seeded draw:

- supervised: their true judgements, and the config that has nothing but the collection;
- judged: the documents, the queries as a log without labels, a judge, and what people judged of --people of the
  queries: the candidates that the judge grades, with their true labels, as `crossforge judge` would write them.

The judge is simulated. A relevant document has the grade 3, any other the grade 0; with the probability --noise a
grade is replaced by one of the other three, each as likely as the others, by a draw that follows from the pair. Few
candidates are relevant, so at 20% most documents that it calls relevant (a grade of 2 or 3) may not be: on MedQuAD 58%
are not. A kappa near the true one takes many pairs, too: on MedQuAD, with 10 candidates a query, it is within .05 in
66% of the draws of 40 queries, in 82% of those of 80, and in 94% of those of 160.

Both are measured on the same test queries and true judgements: as shipped, reranker alone, and first stage, each over
the whole corpus. A share of the gain is (judged - untrained) / (supervised - untrained), where untrained is the hybrid
first stage before it has learned from labels. Its interval is bootstrapped over the test queries. The kappa that the
run reports is shown beside that of all pairs that the judge grades, and how often a draw of as many queries as people
judged comes within .05 of it.

Stages are kept in --runs and reused. Remedies are tried with --judged-set and a
--tag, with the supervised run as it is.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from simulated_judge import SimulatedJudge, answering

from crossforge.documents import Document
from crossforge.files import read_json, write_json, write_jsonl
from crossforge.pipeline import DEFAULT_DEPTH, load_first_stage
from crossforge.reranker import Reranker
from crossforge_train.adaptation.log_labels import fused_documents
from crossforge_train.adaptation.people import JUDGED
from crossforge_train.adaptation.query_log import read_query_log
from crossforge_train.cli.display import RichReporter
from crossforge_train.collections.agreement import Agreement
from crossforge_train.collections.beir import beir_files, write_beir, write_qrels
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.collections.readers.tables import read_rows
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.collections.splits import normalized
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.config.loading import make_config
from crossforge_train.config.query_log import QueryLogConfig
from crossforge_train.config.run import Config
from crossforge_train.evaluation.free_alternatives import HYBRID_RETRIEVAL
from crossforge_train.evaluation.metrics import judged_queries, measure_rankings
from crossforge_train.evaluation.systems import (
    FIRST_STAGE,
    RERANKER,
    SHIPPED,
    first_stage_system,
    reranker_system,
    set_up_bench,
    with_fusion,
)
from crossforge_train.labels.grading import Pair
from crossforge_train.pair_scoring import backend_for
from crossforge_train.run_folder import EVALUATE, PACKAGE, RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

TRAIN, TEST = "train", "test"
SYSTEMS = (FIRST_STAGE, RERANKER, SHIPPED)
NEAR = 0.05  # how far the reported kappa may be from the true one
RESAMPLES = 2000
NO_LIMIT = 1_000_000  # of what costs nothing here
# system -> query id -> value
Values = Mapping[str, Mapping[str, float]]


class Graded(NamedTuple):
    """A candidate of a query, what is true, and what the judge says."""

    query: str
    doc_id: str
    relevant: bool
    grade: int


@dataclass(frozen=True)
class Sample:
    """The training queries that were drawn.

    Attributes:
        collection: documents, all queries, the drawn ones as train, and test.
        relevant: text of a training query -> ids of its relevant documents.
        folder: where files are written for the runs.
        people: where what people judged is written.
    """

    collection: Collection
    relevant: Mapping[str, set[str]]
    folder: Path
    people: Path

    @property
    def log(self) -> Path:
        """The drawn queries without labels."""
        return self.folder / "log.txt"


def main() -> None:
    """Run what is missing and print the tables."""
    options = _options()
    sample = _sample(options)
    supervised, judged = _supervised_config(options, sample), _judged_config(options, sample)
    log, judge = _log_and_judge(judged)
    simulated = _simulated(sample, judge, options)
    graded = _graded(sample, judged, log, judge, simulated)
    if options.people:
        _write_people(sample, graded, options)
    run_stages(supervised, stages_until(supervised, EVALUATE), RichReporter())
    with answering(simulated, options.port):
        run_stages(judged, stages_until(judged, PACKAGE), RichReporter())
    print(_gain_table(_supervised_values(supervised), _judged_values(judged, supervised), supervised, judged))
    print(_judge_table(graded, judge, RunFolder(judged.folder).collected.counts.agreement, sample))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True, help="folder in BEIR layout, with train and test")
    parser.add_argument("--runs", type=Path, default=Path("runs/noisy-judge"))
    parser.add_argument("--queries", type=int, default=600, help="training queries, by a seeded draw")
    parser.add_argument("--noise", type=float, default=0.2, help="share of the grades that are wrong")
    parser.add_argument("--people", type=int, default=80, help="of these queries, how many people judged")
    parser.add_argument("--pseudo-queries", type=int, default=100, help="made for the judged run, which tests on some")
    parser.add_argument("--minutes", type=float, default=8, help="training.minutes of each run")
    parser.add_argument("--evaluation-minutes", type=float, default=4, help="evaluation.minutes of each run")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--base", help="base model of both runs, which also finds the candidates that are graded")
    parser.add_argument("--port", type=int, default=8377, help="where the judge answers on this machine")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--judged-set", action="append", default=[], metavar="KEY=VALUE", help="of the judged run only")
    parser.add_argument("--tag", default="", help="suffix of the judged run's name, to keep recipes apart")
    return parser.parse_args()


def _sample(options: argparse.Namespace) -> Sample:
    """Draw the training queries, none of which is asked in test, and write the files that both runs read."""
    whole = read_folder(options.collection)
    train, test = judged_queries(whole.qrels(TRAIN)), whole.qrels(TEST)
    held_out = {normalized(whole.queries[query_id]) for query_id in test}
    usable = [query_id for query_id in train if normalized(whole.queries[query_id]) not in held_out]
    drawn = seeded_draw(usable, options.queries, options.seed)
    relevant: dict[str, set[str]] = {}
    for query_id in usable:
        relevant.setdefault(_line(whole.queries[query_id]), set()).update(positives(train[query_id]))
    folder = options.runs / "samples" / _name(options)
    splits = {TRAIN: {query_id: train[query_id] for query_id in drawn}, TEST: test}
    sample = Sample(whole.with_splits(splits), relevant, folder, folder / f"people-{options.people}")
    folder.mkdir(parents=True, exist_ok=True)
    asked = [query_id for qrels in splits.values() for query_id in qrels]
    write_jsonl(folder / "queries.jsonl", [{"_id": key, "text": whole.queries[key]} for key in asked])
    for split, qrels in splits.items():
        write_qrels(_qrels(folder, split), qrels)
    sample.log.write_text("".join(f"{_line(whole.queries[key])}\n" for key in drawn), encoding="utf-8")
    return sample


def _line(text: str) -> str:
    """A query's text as a log holds it."""
    return " ".join(text.split())


def _name(options: argparse.Namespace) -> str:
    return f"{options.collection.resolve().name}-{options.queries}-{options.seed}"


def _qrels(folder: Path, split: str) -> Path:
    return folder / "qrels" / f"{split}.tsv"


def _supervised_config(options: argparse.Namespace, sample: Sample) -> Config:
    files = {
        "corpus": str(beir_files(options.collection)[0]),
        "queries": str(sample.folder / "queries.jsonl"),
        "qrels": {split: str(_qrels(sample.folder, split)) for split in (TRAIN, TEST)},
    }
    values = {"name": f"{_name(options)}-supervised", "collection": {"files": files}}
    return make_config({**_common(options), **values}, options.overrides)


def _judged_config(options: argparse.Namespace, sample: Sample) -> Config:
    judge = {
        "url": f"http://127.0.0.1:{options.port}/v1",
        "model": f"simulated-{options.noise:g}-{options.seed}",
        "cache": str(options.runs / "graded"),
        "compared": NO_LIMIT,
        "max_calls": NO_LIMIT,
    }
    documents: dict[str, Any] = {
        "corpus": str(beir_files(options.collection)[0]),
        "queries": options.pseudo_queries,
        "log": {"file": str(sample.log), **({"model": options.base} if options.base else {})},
        "judge": judge,
        **({"judged": str(sample.people)} if options.people else {}),
    }
    name = f"{_name(options)}-{options.people}-judged-{options.noise:g}{options.tag}"
    package = {"allow_regression": True, "include_corpus": True}
    values = {"name": name, "collection": {"documents": documents}, "package": package}
    return make_config({**_common(options), **values}, [*options.overrides, *options.judged_set])


def _common(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "runs": str(options.runs),
        "seed": options.seed,
        "training": {"minutes": options.minutes},
        "evaluation": {"minutes": options.evaluation_minutes, "latency_queries": 0},
        **({"base_model": options.base} if options.base else {}),
    }


def _log_and_judge(config: Config) -> tuple[QueryLogConfig, JudgeConfig]:
    source = config.collection.documents
    if not isinstance(source, DocumentsSource) or source.log is None or source.judge is None:
        raise SystemExit("--judged-set: the judged run has documents, a log and a judge")
    return source.log, source.judge


def _simulated(sample: Sample, judge: JudgeConfig, options: argparse.Namespace) -> SimulatedJudge:
    corpus = sample.collection.corpus
    texts = {
        query: {_as_read(corpus[doc_id], judge) for doc_id in doc_ids} for query, doc_ids in sample.relevant.items()
    }
    return SimulatedJudge(texts, options.noise, options.seed)


def _as_read(document: Document, judge: JudgeConfig) -> str:
    return document.full_text[: judge.max_document_characters]


def _graded(
    sample: Sample, config: Config, log: QueryLogConfig, judge: JudgeConfig, simulated: SimulatedJudge
) -> list[list[Graded]]:
    """For each query of the log, the candidates that the judge grades."""
    corpus = sample.collection.corpus
    texts = {found.text: found.text for found in read_query_log(log, Counter())}
    place = Workplace(config.runs, config.first_stage.encoder_tokens, RichReporter())
    found = fused_documents(texts, corpus, judge.depth, log.model, place)

    def graded(query: str, doc_id: str) -> Graded:
        pair = Pair(query, _as_read(corpus[doc_id], judge))
        return Graded(query, doc_id, simulated.truth(pair), simulated.grade(pair))

    return [[graded(query, doc_id) for doc_id in doc_ids] for query, doc_ids in found.items()]


def _write_people(sample: Sample, graded: Sequence[Sequence[Graded]], options: argparse.Namespace) -> None:
    """Give the true labels of some queries' candidates as those of people."""
    by_text = {pairs[0].query: pairs for pairs in graded if pairs}
    drawn = seeded_draw(list(by_text), options.people, options.seed)
    queries = {f"people-{number}": query for number, query in enumerate(drawn)}
    qrels = {key: {pair.doc_id: int(pair.relevant) for pair in by_text[query]} for key, query in queries.items()}
    write_beir(sample.people, Collection("people", sample.collection.corpus, queries, {JUDGED: qrels}))


def _supervised_values(config: Config) -> dict[str, dict[str, float]]:
    """What the run's own proof measured on test."""
    values: dict[str, dict[str, float]] = {}
    for row in read_rows(config.folder / EVALUATE / f"per_query.{TEST}.tsv"):
        query_id, system, measure, value = (str(row.values[key]) for key in ("query", "system", "measure", "value"))
        if measure == config.evaluation.metric:
            values.setdefault(system, {})[query_id] = float(value)
    return values


def _judged_values(judged: Config, supervised: Config) -> Values:
    """What the judged run's package reaches on the test queries of the supervised run's proof."""
    measured, made = judged.folder / "truth.json", RunFolder(judged.folder).record(PACKAGE).read_text()
    asked = list(_supervised_values(supervised)[SHIPPED])
    what = {"package": made, "queries": asked}
    if not measured.is_file() or read_json(measured)["of"] != what:
        write_json(measured, {"of": what, "values": _measured(judged, supervised, asked)})
    found: dict[str, dict[str, float]] = read_json(measured)["values"]
    return found


def _measured(judged: Config, supervised: Config, asked: Iterable[str]) -> Values:
    collection = RunFolder(supervised.folder).collected.collection()
    collection = collection.with_splits({TEST: {query_id: collection.qrels(TEST)[query_id] for query_id in asked}})
    package = RunFolder(judged.folder).package
    reranker = Reranker(package.path, backend=backend_for(judged.evaluation.backend))
    _, retriever = load_first_stage(package.first_stage)
    run = retrieve(collection, retriever, collection.split_queries(TEST), judged.first_stage.depth)
    manifest, settings = reranker.manifest, judged.evaluation
    depth = manifest.depth or DEFAULT_DEPTH
    bench = set_up_bench(collection, TEST, run, retriever, depth, settings, judged.seed, RichReporter())
    alone = reranker_system(bench, RERANKER, reranker, 0.0)
    systems = (first_stage_system(bench), alone, with_fusion(bench, alone, SHIPPED, manifest.fusion_weight))
    return {
        system.name: measure_rankings([settings.metric], bench.qrels, system.rankings)[settings.metric]
        for system in systems
    }


def _gain_table(supervised: Values, judged: Values, *configs: Config) -> str:
    untrained = supervised.get(HYBRID_RETRIEVAL, supervised[FIRST_STAGE])
    minutes = [_minutes(config) for config in configs]
    rows = [
        [f"{configs[0].evaluation.metric} on {len(untrained)} test queries", *SYSTEMS, "minutes"],
        ["---"] * 5,
        ["untrained", f"{_mean(untrained):.3f}", "–", "–", "–"],
        ["supervised", *(f"{_mean(supervised[system]):.3f}" for system in SYSTEMS), f"{minutes[0]:.0f}"],
        ["judged", *(f"{_mean(judged[system]):.3f}" for system in SYSTEMS), f"{minutes[1]:.0f}"],
        ["share of the gain", *(_share(untrained, supervised[name], judged[name]) for name in SYSTEMS), "–"],
    ]
    return _table(rows)


def _share(untrained: Mapping[str, float], supervised: Mapping[str, float], judged: Mapping[str, float]) -> str:
    """The share of the supervised gain, with its interval where the gain itself is above 0 on nearly all resamples."""
    start, most, reached = (
        np.array([found[query_id] for query_id in untrained]) for found in (untrained, supervised, judged)
    )
    if most.mean() <= start.mean():
        return "no gain from labels"
    share = (reached - start).mean() / (most - start).mean()
    drawn = np.random.default_rng(0).integers(0, len(start), (RESAMPLES, len(start)))
    gains = (most - start)[drawn].mean(axis=1)
    if (gains <= 0).mean() > 0.025:
        return f"{share:.0%} [the gain may be 0]"
    low, high = np.quantile((reached - start)[drawn].mean(axis=1) / gains, [0.025, 0.975])
    return f"{share:.0%} [{low:.0%}, {high:.0%}]"


def _judge_table(
    graded: Sequence[Sequence[Graded]], judge: JudgeConfig, reported: Agreement | None, sample: Sample
) -> str:
    """The kappa that the run reports beside that of all pairs, and how good all of its grades are as labels."""
    counts = np.array([_confusion(pairs, judge.relevant) for pairs in graded])
    true = float(_kappa(counts.sum(axis=0)))
    rows = [["the judge against the truth", ""], ["---", "---"]]
    rows += _reported_rows(reported, counts, true) if reported and reported.pairs else []
    (_, false), (missed, found) = counts.sum(axis=0)
    known = sum(len(sample.relevant.get(pairs[0].query, ())) for pairs in graded if pairs)
    rows += [
        [f"kappa of all {counts.sum():,} pairs", f"{true:.3f}"],
        ["documents called relevant that are", f"{found:,} of {found + false:,}"],
        ["relevant candidates called so", f"{found:,} of {found + missed:,}"],
        ["relevant documents among the candidates", f"{found + missed:,} of {known:,}"],
    ]
    return _table(rows)


def _reported_rows(reported: Agreement, counts: NDArray[np.int64], true: float) -> list[list[str]]:
    within = ", ".join(f"{value:.2f}" for value in reported.interval or ())
    told = "not defined" if reported.kappa is None else f"{reported.kappa:.3f} [{within}]"
    off = "–" if reported.kappa is None else f"{reported.kappa - true:+.3f}"
    drawn = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, reported.queries))
    near = np.abs(_kappa(counts[drawn].sum(axis=1)) - true) <= NEAR
    return [
        [f"kappa reported, of {reported.pairs:,} pairs of {reported.queries:,} queries", told],
        ["its labels were used", "yes" if reported.used else "no"],
        ["reported less true", off],
        [f"draws of {reported.queries:,} queries within {NEAR:g} of the true one", f"{near.mean():.0%}"],
    ]


def _confusion(pairs: Iterable[Graded], relevant: int) -> NDArray[np.int64]:
    """Pairs by the truth and, within it, by what the judge says; shape (2, 2)."""
    counts = np.zeros((2, 2), np.int64)
    for pair in pairs:
        counts[int(pair.relevant), int(pair.grade >= relevant)] += 1
    return counts


def _kappa(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cohen's kappa of confusion matrices of shape (..., 2, 2)."""
    totals = counts.sum(axis=(-2, -1))
    observed = np.trace(counts, axis1=-2, axis2=-1) / totals
    expected = (counts.sum(axis=-1) * counts.sum(axis=-2)).sum(axis=-1) / totals**2
    return np.asarray((observed - expected) / (1 - expected))


def _minutes(config: Config) -> float:
    records = RunFolder(config.folder).record(EVALUATE).parent.glob("*.json")
    return sum(float(read_json(path).get("seconds", 0)) for path in records) / 60


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values())))


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
