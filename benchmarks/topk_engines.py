"""Exact top-100 search by different engines on the same weights: `python benchmarks/topk_engines.py COLLECTION`.

A synthetic corpus and queries are generated from COLLECTION, a folder in BEIR layout, as `first_stage.py` describes.
Documents and queries are weighted by TF-IDF once, with each distinct term of a query counted once. Every engine gets
these two matrices in its preferred layout; this conversion is not timed. What is timed is finding each query's top 100
scores and their documents: the best of three runs after one warm-up. Every engine's scores are checked against the
first engine's.

`bm25s` does not support query-term weights, so it gets postings that already include them, and its scores are scaled by
the query's length. Its numba backend is measured only if numba is installed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from first_stage import grow
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.counting import count_corpus, count_known
from crossforge.retrievers.postings import best_documents
from crossforge.retrievers.weighting import Statistics, fit_weights

DEPTH, RUNS = 100, 3
# Each query's top scores in descending order, shape (queries, depth), padded with 0.
Scores = NDArray[np.float32]
# Engine -> (the function to time, without arguments; a function that converts its result to scores).
Engines = dict[str, tuple[Callable[[], Any], Callable[[Any], Scores]]]


class Weighted(NamedTuple):
    """The input of every engine.

    Attributes:
        queries: query weights, shape (queries, terms).
        postings: document weights, shape (terms, documents).
        idf: idf of each term, shape (terms,): its weight in every query before division by the query's length.
    """

    queries: csr_matrix
    postings: csr_matrix
    idf: NDArray[np.float32]


def main() -> None:
    """Print a table with one row per size and engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of documents")
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    if not (options.collection / "corpus.jsonl").is_file():
        sys.exit(f"skipped: {options.collection} has no corpus.jsonl; pass a collection in BEIR layout")
    print("| documents | engine | s | queries / s | of ours | the same scores |")
    print("|---|---|---|---|---|---|")
    for size in options.sizes:
        expected, ours = None, 0.0
        for name, (work, scores_of) in engines(weighted(options.collection, size, options.queries)).items():
            seconds, found = timed(work)
            scores = scores_of(found)
            expected, ours = (scores, seconds) if expected is None else (expected, ours)
            same = np.isclose(scores, expected, rtol=1e-4, atol=1e-6).all(axis=1).mean()
            rate = options.queries / seconds
            print(
                f"| {size:,} | {name} | {seconds:.2f} | {rate:,.0f} | {ours / seconds:.2f} × | {same:.1%} |", flush=True
            )


def weighted(collection: Path, size: int, queries: int) -> Weighted:
    """Generate documents and queries and weight them by TF-IDF."""
    texts, asked = grow(collection, size, queries)
    terms, counts = count_corpus([Document(str(number), text) for number, text in enumerate(texts)], Analyzer())
    weights = fit_weights("tfidf", Statistics.of(counts))
    found = count_known(asked, Analyzer(), {term: column for column, term in enumerate(terms)})
    found.data[:] = 1
    return Weighted(weights.of_queries(found), weights.of_documents(counts).tocsc().T, weights.idf)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest run, and the work's result."""
    found, seconds = work(), []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def engines(given: Weighted) -> Engines:
    """All installed engines, ours first."""
    queries, postings, cores = given.queries, given.postings, psutil.cpu_count()
    found: Engines = {
        "crossforge": (lambda: list(best_documents(queries, postings, DEPTH)), _padded),
        "scipy product, `argpartition`": (lambda: list(plain_product(queries, postings)), _padded),
        "postings added into an array a query": (lambda: list(added_up(queries, postings)), _padded),
    }
    try:
        from sparse_dot_topn import sp_matmul_topn
    except ModuleNotFoundError:
        print("<!-- sparse_dot_topn is not installed -->")
    else:
        for threads in sorted({1, cores}):
            work = partial(sp_matmul_topn, queries, postings, top_n=DEPTH, sort=True, n_threads=threads)
            found[f"sparse_dot_topn, threads: {threads}"] = work, _of_matrix
    return {**found, **_bm25s(given, cores)}


def plain_product(queries: csr_matrix, postings: csr_matrix) -> list[tuple[NDArray[np.int32], Scores]]:
    """Compute all scores in one sparse product, then take the top of each row."""
    product = (queries @ postings).tocsr()
    rows = zip(product.indptr[:-1], product.indptr[1:], strict=True)
    return [_best(product.indices[start:end], product.data[start:end]) for start, end in rows]


def added_up(queries: csr_matrix, postings: csr_matrix) -> list[tuple[NDArray[np.int32], Scores]]:
    """Take one query at a time and add its terms' postings into an array over all documents."""
    found = []
    documents = np.arange(postings.shape[1], dtype=np.int32)
    for start, end in zip(queries.indptr[:-1], queries.indptr[1:], strict=True):
        scores = np.zeros(postings.shape[1], dtype=np.float32)
        for term, weight in zip(queries.indices[start:end], queries.data[start:end], strict=True):
            held = slice(postings.indptr[term], postings.indptr[term + 1])
            scores[postings.indices[held]] += weight * postings.data[held]  # each document occurs at most once per term
        found.append(_best(documents, scores))
    return found


def _best(positions: NDArray[np.int32], scores: Scores) -> tuple[NDArray[np.int32], Scores]:
    if len(scores) > DEPTH:
        kept = np.argpartition(scores, len(scores) - DEPTH)[-DEPTH:]
        positions, scores = positions[kept], scores[kept]
    order = np.argsort(-scores, kind="stable")
    return positions[order], scores[order]


def _bm25s(given: Weighted, cores: int) -> Engines:
    try:
        import bm25s
    except ModuleNotFoundError:
        print("<!-- bm25s is not installed -->")
        return {}
    queries, postings = given.queries, given.postings
    tokens = [row.tolist() for row in np.split(queries.indices, queries.indptr[1:-1])]
    # A query's weights are its terms' idf divided by the query's (Euclidean) length.
    lengths = np.array([np.linalg.norm(given.idf[row]) for row in tokens], dtype=np.float32)
    held = {
        "data": postings.data * np.repeat(given.idf, np.diff(postings.indptr)),
        "indices": postings.indices.astype(np.int32),
        "indptr": postings.indptr.astype(np.int32),
        "num_docs": postings.shape[1],
    }
    found: Engines = {}
    for backend in ("numpy", "numba"):
        try:
            index = bm25s.BM25(backend=backend)
        except ImportError:
            print(f"<!-- {backend} is not installed -->")
            continue
        index.scores, index.nonoccurrence_array = held, None
        index.unique_token_ids_set = set(range(postings.shape[0]))
        work = partial(index.retrieve, tokens, k=DEPTH, n_threads=cores, show_progress=False)
        found[f"bm25s, {backend}, threads: {cores}"] = work, lambda results: results.scores / lengths[:, None]
    return found


def _of_matrix(found: csr_matrix) -> Scores:
    return _padded([(None, row) for row in np.split(found.data, found.indptr[1:-1])])


def _padded(found: list[tuple[object, Scores]]) -> Scores:
    scores = np.zeros((len(found), DEPTH), dtype=np.float32)
    for row, (_, best) in zip(scores, found, strict=True):
        row[: len(best)] = best
    return scores


if __name__ == "__main__":
    main()
