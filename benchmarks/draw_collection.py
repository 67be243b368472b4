"""Draw a small collection for quick comparisons: `python benchmarks/draw_collection.py COLLECTION OUT`.

COLLECTION is a folder in BEIR layout, and OUT becomes one. Its queries are training and dev queries; the documents are
those judged for them, and others. A run wants a test split as well; it is drawn from the same splits, too, so that the
collection's own test queries stay unseen.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from crossforge.errors import InputError
from crossforge_train.collections.beir import read_beir, write_beir
from crossforge_train.collections.collection import Collection, Qrels

TEST_QUERIES = 60


def main() -> None:
    """Write the drawn collection, and print its size."""
    options = _options()
    try:
        drawn = small(read_beir(options.collection), options.train, options.dev, options.documents, options.seed)
    except InputError as error:
        sys.exit(str(error))
    write_beir(options.out, drawn)
    sizes = ", ".join(f"{split} {len(qrels):,}" for split, qrels in drawn.splits.items())
    print(f"{options.out}: {len(drawn.corpus):,} documents; queries: {sizes}")


def small(collection: Collection, train: int, dev: int, documents: int, seed: int) -> Collection:
    """A draw of a collection's queries and documents.

    Args:
        collection: with the split `train`; queries of `dev` are drawn from it as well if there is no such split.
        train: number of training queries.
        dev: number of dev queries.
        documents: number of documents; more if more are judged for these queries.
        seed: of the draw.

    Raises:
        InputError: there are not as many queries.
    """
    draw, asked = random.Random(seed), dict(collection.qrels("train"))
    of_train = _drawn(asked, train, draw, "train")
    held_out = "dev" if "dev" in collection.splits else "train"
    rest = {key: found for key, found in collection.qrels(held_out).items() if key not in of_train}
    of_dev = _drawn(rest, dev, draw, held_out)
    kept = {doc_id for qrels in (of_train, of_dev) for found in qrels.values() for doc_id in found}
    others = [doc_id for doc_id in collection.corpus if doc_id not in kept]
    kept.update(draw.sample(others, min(len(others), max(0, documents - len(kept)))))
    left = {key: found for key, found in rest.items() if key not in of_dev and kept.issuperset(found)}
    splits: dict[str, Qrels] = {"train": of_train, "dev": of_dev, "test": dict(list(left.items())[:TEST_QUERIES])}
    return Collection(
        f"{collection.name}-small",
        {doc_id: document for doc_id, document in collection.corpus.items() if doc_id in kept},
        {key: text for key, text in collection.queries.items() if any(key in qrels for qrels in splits.values())},
        splits,
    )


def _drawn(qrels: Qrels, count: int, draw: random.Random, split: str) -> dict[str, dict[str, int]]:
    if count > len(qrels):
        raise InputError(f"{count:,} queries are to be drawn from {split}, which has {len(qrels):,} left")
    return {key: dict(qrels[key]) for key in draw.sample(sorted(qrels), count)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=1500, help="training queries")
    parser.add_argument("--dev", type=int, default=300, help="dev queries")
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
