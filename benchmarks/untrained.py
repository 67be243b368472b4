"""What the untrained base model retrieves: by the number of tokens it reads, and by its weight beside BM25.

    python benchmarks/untrained.py COLLECTION ... [--tokens 64 128 256] [--base MODEL] [--runs FOLDER]

COLLECTION is a folder in BEIR layout. A seeded draw of at most --queries train and dev queries is asked; the test split
is not touched. The first table has the nDCG@10 of the vectors over the whole corpus for each length, its difference
from the longest, and the standard error of that difference. The second has the nDCG@10 of BM25 and the longest vectors,
joined by rank and by lexical weights from 0 (vectors alone) to 1 (words alone). Embeddings are kept in --runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from crossforge.retrievers.base import CombinedRetriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.collections.own_documents import settle_own_documents
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.encoders.embeddings import Embeddings, open_embeddings
from crossforge_train.evaluation.metrics import drawn_queries, mean, measure_rankings
from crossforge_train.evaluation.moving import values_found
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.reporting import SilentReporter

METRIC, DEPTH, SEED = "nDCG@10", 200, 42
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument(
        "--tokens",
        nargs="+",
        type=int,
        default=[64, 128, 256],
        help="the largest names the row of the model's own limit",
    )
    parser.add_argument("--base", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--runs", type=Path, default=Path("runs/untrained"))
    options = parser.parse_args()
    weighted: list[str] = []
    print(
        "| collection | queries | tokens | nDCG@10 | over the most tokens | standard error |\n|---|---|---|---|---|---|"
    )
    for folder in options.collections:
        collection, _ = settle_own_documents(read_folder(folder), "auto")
        qrels = drawn(collection, options.queries)
        readers = {tokens: reader(options, tokens) for tokens in sorted(options.tokens)}
        documents = collection.corpus.values()
        values = {
            tokens: values_found(found.retriever(documents), collection, qrels, METRIC)
            for tokens, found in readers.items()
        }
        most = values[max(values)]
        for tokens, found in values.items():
            gains = found - most
            error = gains.std(ddof=1) / len(gains) ** 0.5
            print(
                f"| {folder.name} | {len(qrels)} | {tokens} | {found.mean():.3f} | {gains.mean():+.3f} | {error:.3f} |",
                flush=True,
            )
        weighted.append(f"| {folder.name} | {' | '.join(hybrids(readers[max(readers)], collection, qrels))} |")
    print(f"\n| collection | by rank | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |")
    print("|---" * (len(WEIGHTS) + 2) + "|")
    print("\n".join(weighted))


def drawn(collection: Collection, most: int) -> Qrels:
    """Judgements of a seeded draw of the training and dev queries."""
    splits = [collection.qrels(split) for split in ("train", "dev") if split in collection.splits]
    return drawn_queries({query_id: labels for qrels in splits for query_id, labels in qrels.items()}, most, SEED)


def reader(options: argparse.Namespace, tokens: int) -> Embeddings:
    """The base model at this length; the largest length means no limit but its own."""
    found = open_embeddings(
        options.base, None if tokens == max(options.tokens) else tokens, options.runs, SilentReporter()
    )
    assert found, f"{options.base} is no bi-encoder"
    return found


def hybrids(embeddings: Embeddings, collection: Collection, qrels: Qrels) -> Sequence[str]:
    """The metric of the hybrid, by rank and by weight."""
    hybrid = fit_first_stage(collection.corpus.values(), FirstStageConfig(kind="hybrid"), embeddings)
    assert isinstance(hybrid, CombinedRetriever)
    asked = {query_id: collection.queries[query_id] for query_id in qrels}
    runs = [retrieve(collection, part, asked, DEPTH) for part in hybrid.parts]

    def value(weight: float | None) -> str:
        joined = ids_by_query(hybrid.with_weight(weight).fused(asked, runs, DEPTH))
        return f"{mean(measure_rankings([METRIC], qrels, joined)[METRIC]):.3f}"

    return [value(weight) for weight in (None, *WEIGHTS)]


if __name__ == "__main__":
    main()
