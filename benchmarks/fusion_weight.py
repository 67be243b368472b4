"""How well a fusion weight chosen on few queries generalises to others.

    python benchmarks/fusion_weight.py COLLECTION ... [--run RUN ...]

Of a collection (a folder in BEIR layout), the first stage is TF-IDF and the reranker is the base model as a bi-encoder,
which needs no training; the queries are training queries, never test queries. Of a run, both are its own, and the
queries are its dev queries. Each draw chooses a weight on a few queries and measures nDCG@10 on all the others, for the
first stage and five weights: the best on the drawn queries, its mean over resamples, the same with caution (as
`choose_fusion_weight` does for what ships), equal weights, and the best in hindsight on the others. Cells are the mean
over draws and, in parentheses, the 5% quantile.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from dev_values import values_on_dev
from quality import bi_encoder, cosine_scores

from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.own_documents import settle_own_documents
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.evaluation.fusion_weight import (
    FUSION_WEIGHTS,
    best_over_resamples,
    less_their_errors,
    values_by_weight,
)
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.evaluation.scoring import rankings
from crossforge_train.run_folder import RunFolder

MODEL, DEPTH, METRIC, QUERIES, DRAWS, SEED = "sentence-transformers/all-MiniLM-L6-v2", 50, "nDCG@10", 150, 300, 0
CHOSEN_ON = (8, 13, 23, 60)


def main() -> None:
    """Print a table with one row per collection and number of queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="*")
    parser.add_argument("--run", type=Path, nargs="*", default=[], help="folders of finished runs")
    arguments = parser.parse_args()
    columns = ("first stage", "best weight", "mean over resamples", "with caution", "equal shares", "best elsewhere")
    print(f"| collection | chosen on | {' | '.join(columns)} |")
    print("|---" * (2 + len(columns)) + "|")
    for folder in arguments.collections:
        if not (folder / "corpus.jsonl").is_file():
            print(f"skipped: {folder} has no corpus.jsonl; pass collections in BEIR layout")
            continue
        _print_rows(folder.name, _values(folder, bi_encoder(MODEL, Path("runs"), 128)))
    for folder in arguments.run:
        run = RunFolder(folder)
        rounds = 2 if run.finetuned_again.path.is_dir() else 1
        _print_rows(f"run {folder.name}", values_on_dev(run, "dev", METRIC, QUERIES, DEPTH, SEED, rounds))


def _print_rows(name: str, values: np.ndarray) -> None:
    for count in CHOSEN_ON:
        if count <= values.shape[1] / 2:
            print(f"| {name} | {count} queries | " + " | ".join(_cells(values, count)) + " |", flush=True)


def _values(folder: Path, model: Embeddings) -> np.ndarray:
    """The metric for each weight and query, shape (weights, queries)."""
    collection, _ = settle_own_documents(read_beir(folder), "auto")
    qrels = judged_queries(collection.qrels("train"))
    qrels = {query_id: qrels[query_id] for query_id in sorted(qrels)[:QUERIES]}
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    run = retrieve(collection, TfidfRetriever.fit(collection.corpus.values()), queries, DEPTH)
    scored = cosine_scores(model, collection, queries, run, DEPTH)
    return values_by_weight(METRIC, qrels, lambda weight: rankings(scored, run, weight))


def _cells(values: np.ndarray, count: int) -> list[str]:
    draw, weights = np.random.default_rng(SEED), np.array(FUSION_WEIGHTS)
    rows = []
    for _ in range(DRAWS):
        order = draw.permutation(values.shape[1])
        here, elsewhere = values[:, order[:count]], values[:, order[count:]].mean(axis=1)
        cautious = best_over_resamples(less_their_errors(here), SEED)
        chosen = (1.0, weights[here.mean(axis=1).argmax()], best_over_resamples(here, SEED), cautious, 0.5)
        rows.append([elsewhere[np.abs(weights - weight).argmin()] for weight in chosen] + [elsewhere.max()])
    table = np.array(rows)
    worst = np.quantile(table, 0.05, axis=0)
    return [f"{mean:.3f} ({low:.3f})" for mean, low in zip(table.mean(axis=0), worst, strict=True)]


if __name__ == "__main__":
    main()
