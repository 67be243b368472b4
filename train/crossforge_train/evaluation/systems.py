"""The compared systems: first stage, BM25, rerankers and run files, each with one order of documents per query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.base import Retriever
from crossforge.retrievers.lexical import bm25_beside
from crossforge.retrievers.registry import kind_of
from crossforge.runs import Candidate, Run, ids_by_query, read_run
from crossforge_train.collections.candidates import orders_without_own, require_order, retrieve, without_own
from crossforge_train.collections.collection import Collection, Qrels, require_documents
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.training import TrainingConfig
from crossforge_train.evaluation.fusion_weight import doubtful, flatters
from crossforge_train.evaluation.metrics import Rankings, judged_queries, trec_order
from crossforge_train.evaluation.scoring import (
    CONSTANT_SPREAD,
    ScoredQuery,
    rankings,
    score_queries,
    spread_of_scores,
    that_were_read,
)
from crossforge_train.reporting import Reporter

FIRST_STAGE = "first stage"
BM25 = "BM25"
BM25_RETRIEVAL = "BM25, whole corpus"
BASE_MODEL = "base model"
RERANKER = "reranker alone"
SHIPPED = "as shipped"
INCUMBENT = "incumbent"
PERFECT = "perfect reranker"


@dataclass(frozen=True)
class Bench:
    """The shared test bench: all systems are measured on the same queries, judgements and first-stage candidates.

    Attributes:
        collection: documents and queries.
        split: name of the measured split.
        queries: query id -> text of the measured queries.
        qrels: their judgements; every query has a relevant document.
        left_out: number of queries of the split without a relevant document.
        run: first-stage candidates of the queries, without their own documents.
        retriever: the first stage; it also chooses the passages of long documents.
        depth: how many of these candidates are reranked.
        rivals_depth: how many of them the alternatives order, where that is more: fewer may suit only what ships.
        other_kind: kind of the first stage that found the candidates, if that was not the retriever.
        config: measures, significance level.
        seed: seed of all draws.
        reporter: shows progress.
    """

    collection: Collection
    split: str
    queries: Mapping[str, str]
    qrels: Qrels
    left_out: int
    run: Run
    retriever: Retriever
    depth: int
    config: EvaluationConfig
    seed: int
    reporter: Reporter
    rivals_depth: int | None = None
    other_kind: str | None = None

    @property
    def of_rivals(self) -> Bench:
        """The bench as the alternatives see it."""
        return self if self.rivals_depth is None else replace(self, depth=self.rivals_depth, rivals_depth=None)

    @property
    def candidates(self) -> Run:
        """What is reranked of each query's candidates."""
        return {query_id: found[: self.depth] for query_id, found in self.run.items()}

    def drawn(self, limit: int | None) -> Bench:
        """The bench of at most `limit` of its queries, by a seeded draw; of all if None."""
        query_ids = seeded_draw(list(self.queries), limit, self.seed)
        return replace(
            self,
            queries={query_id: self.queries[query_id] for query_id in query_ids},
            qrels={query_id: self.qrels[query_id] for query_id in query_ids},
            run={query_id: self.run[query_id] for query_id in query_ids},
        )

    @property
    def measured(self) -> Collection:
        """The collection with the measured queries as the only ones of its splits."""
        return self.collection.with_splits({self.split: self.qrels})

    @property
    def flatters(self) -> bool:
        """Whether it flatters the first stage; see `fusion_weight.flatters`."""
        return flatters(self.kind, self.collection, self.split)

    @property
    def doubtful(self) -> bool:
        """Whether a gain over the first stage is doubtful; see `fusion_weight.doubtful`."""
        return doubtful(self.kind)

    @property
    def kind(self) -> str:
        """The kind of first stage that found the candidates."""
        return self.other_kind or kind_of(self.retriever)

    def pipeline(self, reranker: Reranker) -> RetrieveAndRerank:
        """The pipeline that an app would run, with this reranker."""
        corpus, passages = self.collection.corpus, self.config.passages
        return RetrieveAndRerank(corpus, self.retriever, reranker, depth=self.depth, passages=passages)


@dataclass(frozen=True)
class System:
    """One way to order documents.

    Attributes:
        name: name in tables.
        rankings: query id -> document ids, best first.
    """

    name: str
    rankings: Rankings


@dataclass(frozen=True)
class RerankerSystem(System):
    """A system with a reranker's scores.

    Attributes:
        scored: scored candidates by query.
        fusion_weight: share of the first stage in the order.
        pipeline: pipeline that produced the scores.
    """

    scored: Mapping[str, ScoredQuery] = field(repr=False)
    fusion_weight: float
    pipeline: RetrieveAndRerank = field(repr=False)


def set_up_bench(
    collection: Collection,
    split: str,
    run: Run,
    retriever: Retriever,
    depth: int,
    config: EvaluationConfig,
    seed: int,
    reporter: Reporter,
    limit: int | None = None,
) -> Bench:
    """Set up the bench for the measurable queries of a split, at most `limit` of them by a seeded draw.

    Raises:
        InputError: no query has a relevant document.
    """
    judged = judged_queries(collection.qrels(split))
    if not judged:
        raise InputError(f"split {split}: no query has a relevant document, so nothing can be measured")
    whole = Bench(
        collection,
        split,
        {query_id: collection.queries[query_id] for query_id in judged},
        judged,
        len(collection.qrels(split)) - len(judged),
        without_own(collection, {query_id: run.get(query_id, []) for query_id in judged}),
        retriever,
        depth,
        config,
        seed,
        reporter,
    )
    return whole.drawn(limit)


def retrieved_bench(
    collection: Collection,
    split: str,
    retriever: Retriever,
    retrieved: int,
    depth: int,
    config: EvaluationConfig,
    seed: int,
    reporter: Reporter,
    limit: int | None,
) -> Bench:
    """Set up the bench behind a first stage, which is asked for `retrieved` candidates of the measured queries alone.

    Raises:
        InputError: no query has a relevant document.
    """
    bench = set_up_bench(collection, split, {}, retriever, depth, config, seed, reporter, limit)
    run = retrieve(collection, retriever, bench.queries, retrieved)
    return replace(bench, run={query_id: run.get(query_id, []) for query_id in bench.queries})


def read_candidates(path: Path, collection: Collection) -> dict[str, list[Candidate]]:
    """Read another system's TREC run to replace the first stage, in trec_eval's order.

    Raises:
        InputError: the file is not a run, or names a document that is not in the collection.
    """
    run = read_run(path)
    require_documents(run, collection, path)
    scores = {query_id: dict(candidates) for query_id, candidates in run.items()}
    return {
        query_id: [Candidate(doc_id, scores[query_id][doc_id]) for doc_id in doc_ids]
        for query_id, doc_ids in trec_order(run).items()
    }


def without_own_documents(bench: Bench, system: System) -> System:
    """The system as it is measured: a query's own document is no candidate, wherever the order comes from."""
    return replace(system, rankings=orders_without_own(bench.collection, system.rankings))


def first_stage_system(bench: Bench) -> System:
    """The first stage as a system: the order that reranking starts from."""
    return System(FIRST_STAGE, ids_by_query(bench.run))


def bm25_retriever(collection: Collection, first_stage: Retriever) -> Retriever:
    """Index the corpus with BM25 weights, using the first stage's analyzer."""
    return bm25_beside(first_stage, collection.corpus.values())


def bm25_systems(bench: Bench, retriever: Retriever) -> list[System]:
    """BM25 over the same candidates and over the whole corpus: the alternatives that need no model."""
    return [System(BM25, _reordered(bench, retriever)), retrieved_system(bench, BM25_RETRIEVAL, retriever)]


def retrieved_system(bench: Bench, name: str, retriever: Retriever) -> System:
    """Another retriever over the whole corpus, as deep as the first stage."""
    deepest = max((len(candidates) for candidates in bench.run.values()), default=0)
    retrieved = retrieve(bench.collection, retriever, bench.queries, max(deepest, 1))
    return System(name, ids_by_query(retrieved))


def _reordered(bench: Bench, retriever: Retriever) -> Rankings:
    """The first-stage candidates by another retriever's descending score; ties keep their order."""
    found = {}
    for query_id, candidates in bench.run.items():
        doc_ids = [candidate.doc_id for candidate in candidates]
        texts = [bench.collection.corpus[doc_id].full_text for doc_id in doc_ids]
        scores = (
            dict(zip(doc_ids, retriever.similarities(bench.queries[query_id], texts), strict=True)) if texts else {}
        )
        found[query_id] = sorted(doc_ids, key=lambda doc_id: -scores[doc_id])
    return found


def reranker_system(bench: Bench, name: str, reranker: Reranker, fusion_weight: float) -> RerankerSystem:
    """Run a reranker over the first `depth` candidates of each query.

    Raises:
        InputError: no query has two candidates, or the reranker gives all documents of a query the same score.
    """
    require_order(bench.run, bench.split)
    pipeline = bench.pipeline(reranker)
    title = f"reranking {bench.split}" + ("" if name == RERANKER else f" with {name}")
    scored = score_queries(pipeline, bench.queries, bench.run, bench.depth, bench.reporter, title)
    return scored_system(bench, name, reranker, scored, fusion_weight)


def scored_system(
    bench: Bench, name: str, reranker: Reranker, scored: Mapping[str, ScoredQuery], fusion_weight: float
) -> RerankerSystem:
    """A reranker whose scores on the bench are known.

    Raises:
        InputError: as for `reranker_system`.
    """
    if not that_were_read(scored):
        longest = reranker.tokenizer.max_length
        raise InputError(f"{name}: no query of split {bench.split} leaves room for a document in {longest} tokens")
    if spread_of_scores(scored) < CONSTANT_SPREAD:
        raise InputError(f"{name} gives every document of a query the same score: it ranks nothing")
    order = rankings(scored, bench.run, fusion_weight)
    return RerankerSystem(name, order, scored, fusion_weight, bench.pipeline(reranker))


def with_fusion(bench: Bench, system: RerankerSystem, name: str, fusion_weight: float) -> RerankerSystem:
    """The same scores with another share of the first stage."""
    order = rankings(system.scored, bench.run, fusion_weight)
    return replace(system, name=name, rankings=order, fusion_weight=fusion_weight)


def run_file_system(bench: Bench, name: str, path: Path) -> System:
    """A TREC run file as a system, in trec_eval's order.

    Raises:
        InputError: the file is not a run, or holds none of the queries.
    """
    run = read_run(path)
    if not run.keys() & bench.queries.keys():
        raise InputError(f"{path}: this run has none of the queries of split {bench.split}")
    return System(name, trec_order({query_id: run.get(query_id, []) for query_id in bench.queries}))


def opened(reference: str) -> Reranker | Path:
    """Resolve a reference: the path of a TREC run file, or a loaded reranker.

    Raises:
        PackageError: it is neither.
    """
    return Path(reference) if Path(reference).is_file() else Reranker(reference)


def open_base(base: Path, training: TrainingConfig) -> Reranker:
    """A base model that is a reranker, with the texts around its pairs that a run gives it."""
    return Reranker(base, instruction=training.instruction, prompts=training.prompts.texts)


def opened_system(bench: Bench, name: str, found: Reranker | Path) -> System:
    """A run file, or a reranker as it ships: a package with its own fusion weight, or any cross-encoder.

    A package that was proven behind a first stage of another kind decides alone.

    Raises:
        InputError: the run file does not fit, or the reranker gives all documents of a query the same score.
    """
    if isinstance(found, Path):
        return run_file_system(bench, name, found)
    return reranker_system(bench, name, found, found.behind(bench.kind).manifest.fusion_weight)
