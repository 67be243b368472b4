"""`rerank`: puts the documents of a whole TREC run in a reranker's order, here or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.arguments import require_count
from crossforge.backends.choice import AUTO
from crossforge.errors import InputError
from crossforge.files import require_writable
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import RUN
from crossforge.runs import Candidate, Run, trec_sorted, write_run
from crossforge_train.api.scoring import compute_settings
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.storage import read_folder
from crossforge_train.compute.choice import opened_engine
from crossforge_train.evaluation.scoring import ScoredQuery, score_queries
from crossforge_train.evaluation.systems import read_candidates
from crossforge_train.pair_scoring import backend_for, place_for_workers
from crossforge_train.reporting import Reporter, SilentReporter

_TAG = "crossforge"


@dataclass(frozen=True)
class RerankedRun:
    """Where a reranked run is, and what it holds.

    Attributes:
        path: a TREC run.
        queries: how many it has.
        documents: how many there are for all of them together.
    """

    path: Path
    queries: int
    documents: int


def rerank(
    package: str | Path,
    run: str | Path,
    collection: str | Path | Collection,
    save_to: str | Path,
    *,
    depth: int | None = None,
    compute: Mapping[str, Any] | None = None,
    reporter: Reporter | None = None,
) -> RerankedRun:
    """Rerank every query of a TREC run by the package's scores, mixed with the run's if its proof was behind an engine.

    Args:
        package: a package, a cross-encoder folder or a hub id; on a cluster, a folder that all nodes see.
        run: what any engine has found; plain or .gz.
        collection: a `Collection`, or a folder in BEIR layout, with the run's queries and documents.
        save_to: the TREC run to write.
        depth: how many candidates of each query to rerank; the others are left out. None: all.
        compute: as the section `compute` of a config; this process alone if None.
        reporter: shows progress; silent by default.

    Raises:
        InputError: a query or document of the run is not in the collection, an argument is invalid, the run cannot be
            written, or the cluster cannot be used.
        PackageError: there is no such reranker.

    >>> import crossforge_train as ct
    >>> ct.rerank("runs/quickstart/package", "bm25.trec", "path/to/beir", "reranked.trec").queries  # doctest: +SKIP
    300
    """
    run, out = Path(run), Path(save_to)
    require_writable(out, "a run")
    if depth is not None:
        require_count("depth", depth)
    settings = compute_settings(compute)
    known = collection if isinstance(collection, Collection) else read_folder(Path(collection))
    candidates = read_candidates(run, known)
    queries = _queries(candidates, known, run)
    folder = place_for_workers(package)
    reranker = Reranker(folder, backend=backend_for(AUTO))
    pipeline = RetrieveAndRerank(known.corpus, _retriever(known, run), reranker)
    weight = pipeline.reranker.manifest.fusion_weight
    deepest = depth or max(map(len, candidates.values()))
    with opened_engine(settings, read=folder) as engine:
        shown = reporter or SilentReporter()
        scored = score_queries(pipeline, queries, candidates, deepest, shown, "reranking the run", engine)
    reranked = {query_id: _ordered(found, weight) for query_id, found in scored.items()}
    write_run(out, reranked, _TAG)
    return RerankedRun(out, len(reranked), sum(map(len, reranked.values())))


def _queries(run: Run, collection: Collection, path: Path) -> dict[str, str]:
    if not run:
        raise InputError(f"{path}: no query in this run")
    missing = next((query_id for query_id in run if query_id not in collection.queries), None)
    if missing is not None:
        raise InputError(f"{path}: query {missing!r} is not among the queries of {collection.name}")
    return {query_id: collection.queries[query_id] for query_id in run}


def _retriever(collection: Collection, run: Path) -> Any:
    """The run as a first stage: it chooses passages by common words."""
    return fit_retriever(collection.corpus.values(), RUN, {"runs": [str(run)]})


def _ordered(found: ScoredQuery, weight: float) -> list[Candidate]:
    """Documents with the scores that order them; a query that the reranker cannot read keeps the run's."""
    scores = found.fused(weight) if found.read else found.first_stage_scores
    return trec_sorted(map(Candidate, found.doc_ids, map(float, scores)))
