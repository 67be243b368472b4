"""Exact top 100 by different engines, on the same weights: `python benchmarks/topk_engines.py COLLECTION`.

COLLECTION is a folder in BEIR layout, from which a corpus and queries are grown as `first_stage.py` says. Documents and
queries are weighted by TF-IDF once, each distinct term of a query counting once, and every engine is given these two
matrices in the layout that it wants, which is not timed. Timed is what follows: the best 100 scores of each query and
whose they are, the best of three runs after one to warm up. The scores of every engine are checked against the first
one's.

`bm25s` has no weights of query terms: it is given postings that hold them already, and its scores are scaled by the
length of the query. It is measured with numba only where that is installed.
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
from crossforge.retrievers.weighting import fit_weights

DEPTH, RUNS = 100, 3
# Of each query its best scores, falling, shape (queries, depth); 0 where there are fewer.
Scores = NDArray[np.float32]
# The work that is timed, given as a function of nothing, and what makes scores of whatever it returns.
Engines = dict[str, tuple[Callable[[], Any], Callable[[Any], Scores]]]


class Weighted(NamedTuple):
    """What every engine starts from.

    Attributes:
        queries: shape (queries, terms).
        postings: of the documents, shape (terms, documents).
        idf: of the terms, which all queries hold as their weight but for their length, shape (terms,).
    """

    queries: csr_matrix
    postings: csr_matrix
    idf: NDArray[np.float32]


def main() -> None:
    """Print a table: each engine at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="documents")
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    if not (options.collection / "corpus.jsonl").is_file():
        sys.exit(f"skipped: {options.collection} holds no corpus.jsonl; give a collection in BEIR layout")
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
    """Documents and queries as weights."""
    texts, asked = grow(collection, size, queries)
    terms, counts = count_corpus([Document(str(number), text) for number, text in enumerate(texts)], Analyzer())
    weights = fit_weights("tfidf", counts)
    found = count_known(asked, Analyzer(), {term: column for column, term in enumerate(terms)})
    found.data[:] = 1
    return Weighted(weights.of_queries(found), weights.of_documents(counts).tocsc().T, weights.idf)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest run, and what it found."""
    found, seconds = work(), []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def engines(given: Weighted) -> Engines:
    """Every engine that is installed, ours first."""
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
    """All scores in one sparse product, then the best of each row."""
    product = (queries @ postings).tocsr()
    rows = zip(product.indptr[:-1], product.indptr[1:], strict=True)
    return [_best(product.indices[start:end], product.data[start:end]) for start, end in rows]


def added_up(queries: csr_matrix, postings: csr_matrix) -> list[tuple[NDArray[np.int32], Scores]]:
    """One query at a time: its terms' postings are added into an array of all documents."""
    found = []
    documents = np.arange(postings.shape[1], dtype=np.int32)
    for start, end in zip(queries.indptr[:-1], queries.indptr[1:], strict=True):
        scores = np.zeros(postings.shape[1], dtype=np.float32)
        for term, weight in zip(queries.indices[start:end], queries.data[start:end], strict=True):
            held = slice(postings.indptr[term], postings.indptr[term + 1])
            scores[postings.indices[held]] += weight * postings.data[held]  # a document stands there once
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
    # Every weight of a query is the term's idf, divided by the query's length.
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
