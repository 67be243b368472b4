"""How well a fusion weight chosen on few queries generalises to others.

    python benchmarks/fusion_weight.py COLLECTION ...

The reranker is the base model as a bi-encoder, which needs no training; the queries are training queries of the
collections (folders in BEIR layout), never test queries. Each draw chooses a weight on a few queries and measures
nDCG@10 on all the others, for four weights: the best on the drawn queries, its mean over resamples (as in
`choose_fusion_weight`), equal weights, and the best in hindsight on the others. Cells are the mean over draws and, in
parentheses, the 5% quantile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from quality import bi_encoder, cosine_scores

from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.embeddings import Embeddings
from crossforge_train.evaluation.fusion_weight import FUSION_WEIGHTS, best_over_resamples, values_by_weight
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.evaluation.scoring import rankings

MODEL, DEPTH, METRIC, QUERIES, DRAWS, SEED = "sentence-transformers/all-MiniLM-L6-v2", 50, "nDCG@10", 150, 300, 0
CHOSEN_ON = (8, 13, 23, 60)


def main() -> None:
    """Print a table with one row per collection and number of queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+")
    model = bi_encoder(MODEL, Path("runs"), 128)
    print("| collection | chosen on | best weight | mean over resamples | equal shares | best elsewhere |")
    print("|---|---|---|---|---|---|")
    for folder in parser.parse_args().collections:
        if not (folder / "corpus.jsonl").is_file():
            print(f"skipped: {folder} has no corpus.jsonl; pass collections in BEIR layout")
            continue
        values = _values(folder, model)
        for count in CHOSEN_ON:
            if count <= values.shape[1] / 2:
                print(f"| {folder.name} | {count} queries | " + " | ".join(_cells(values, count)) + " |", flush=True)


def _values(folder: Path, model: Embeddings) -> np.ndarray:
    """The metric for each weight and query, shape (weights, queries)."""
    collection = read_beir(folder)
    qrels = judged_queries(collection.qrels("train"))
    qrels = {query_id: qrels[query_id] for query_id in sorted(qrels)[:QUERIES]}
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    run = TfidfRetriever.fit(collection.corpus.values()).search(queries, DEPTH)
    scored = cosine_scores(model, collection, queries, run, DEPTH)
    return values_by_weight(METRIC, qrels, lambda weight: rankings(scored, run, weight))


def _cells(values: np.ndarray, count: int) -> list[str]:
    draw, weights = np.random.default_rng(SEED), np.array(FUSION_WEIGHTS)
    rows = []
    for _ in range(DRAWS):
        order = draw.permutation(values.shape[1])
        here, elsewhere = values[:, order[:count]], values[:, order[count:]].mean(axis=1)
        chosen = (weights[here.mean(axis=1).argmax()], best_over_resamples(here, SEED), 0.5)
        rows.append([elsewhere[np.abs(weights - weight).argmin()] for weight in chosen] + [elsewhere.max()])
    table = np.array(rows)
    worst = np.quantile(table, 0.05, axis=0)
    return [f"{mean:.3f} ({low:.3f})" for mean, low in zip(table.mean(axis=0), worst, strict=True)]


if __name__ == "__main__":
    main()
