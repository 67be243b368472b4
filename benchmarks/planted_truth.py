"""Count the relevant documents that a miner mistakes for negatives, with each safeguard on and off.

    python benchmarks/planted_truth.py path/to/collection [--hide 0.2] [--negatives 5] [--teacher path/to/package]

In a collection in BEIR layout, a share of the training judgements is hidden (if the query keeps another positive),
which leaves relevant documents unlabelled. For another share of the same size, copies of the relevant documents are
planted in the corpus, on which the retriever is then fitted: in upper case, with trailing spaces, with different
punctuation, or with a small edit. Negatives are mined from TF-IDF candidates, and each query's hidden and planted
documents are counted among its negatives. Only a teacher can detect hidden documents; any cross-encoder will do, at the
default margin.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.documents import Document
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.config.mining import MiningConfig
from crossforge_train.mining.cross_encoder import CrossEncoderTeacher
from crossforge_train.mining.negatives import Candidates, Miner
from crossforge_train.mining.teacher import mine_with_teacher
from crossforge_train.reporting import SilentReporter

SEED = 7


def small_edit(text: str) -> str:
    """Drop the middle word of the text."""
    words = text.split()
    del words[len(words) // 2]
    return " ".join(words)


CHANGES: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "trailing spaces": lambda text: text + "   ",
    "other punctuation": lambda text: text.replace(" ", ", ").replace(".", " -"),
    "small edit": small_edit,
}


class Planted(NamedTuple):
    """A collection with known false negatives; `truth` maps (query id, document id) to how each was made."""

    collection: Collection
    truth: dict[tuple[str, str], str]


def plant(collection: Collection, share: float) -> Planted:
    """Hide a share of the judgements, and plant copies for an equal share of the others."""
    draw = random.Random(SEED)
    qrels = {query_id: dict(judged) for query_id, judged in sorted(collection.qrels("train").items())}
    corpus, truth = dict(collection.corpus), {}
    pairs = [(query_id, doc_id) for query_id, judged in qrels.items() for doc_id in positives(judged)]
    draw.shuffle(pairs)
    count = round(share * len(pairs))
    for query_id, doc_id in pairs[:count]:
        if len(positives(qrels[query_id])) > 1:  # a query without a positive would not be mined
            del qrels[query_id][doc_id]
            truth[query_id, doc_id] = "hidden"
    for number, (_, doc_id) in enumerate(pairs[count : 2 * count]):
        name = list(CHANGES)[number % len(CHANGES)]
        original, copy_id = corpus[doc_id], f"copy-{number}"
        corpus[copy_id] = Document(copy_id, CHANGES[name](original.text), original.title)
        for other, judged in qrels.items():
            if judged.get(doc_id, 0) > 0:
                truth[other, copy_id] = name
    return Planted(Collection("planted", corpus, collection.queries, {"train": qrels}), truth)


def mistakes(planted: Planted, teacher: CrossEncoderTeacher | None = None, **settings: Any) -> dict[str, int]:
    """Count the hidden and planted documents among their queries' negatives, by how they were made."""
    config = MiningConfig(**settings)
    collection = planted.collection
    retriever = TfidfRetriever.fit(collection.corpus.values())
    run = retriever.search(collection.split_queries("train"), 100)
    query_ids = sorted(collection.qrels("train"))

    miner = Miner(collection, "train", Candidates(run, {}), config, SEED)
    mined = (
        mine_with_teacher(miner, query_ids, teacher, config.teacher_margin, relabel=False)
        if teacher
        else miner.mine(query_ids)
    )
    wrong = {
        (group.query_id, doc_id)
        for group in mined.groups
        for doc_id, label in zip(group.doc_ids, group.labels, strict=True)
        if label <= 0 and (group.query_id, doc_id) in planted.truth
    }
    found = dict.fromkeys(("hidden", *CHANGES), 0)
    for pair in wrong:
        found[planted.truth[pair]] += 1
    return found


def main() -> None:
    """Print a table with one row per miner and one column per kind of false negative."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--hide", type=float, default=0.2)
    parser.add_argument("--negatives", type=int, default=5)
    parser.add_argument("--teacher")
    arguments = parser.parse_args()
    if not (arguments.collection / "corpus.jsonl").is_file():
        sys.exit(f"{arguments.collection}: not a collection in BEIR layout (no corpus.jsonl); nothing was measured")
    planted = plant(read_beir(arguments.collection), arguments.hide)
    there = dict.fromkeys(("hidden", *CHANGES), 0)
    for what in planted.truth.values():
        there[what] += 1
    wanted = {"negatives": arguments.negatives}
    variants = {
        "there": there,
        "top, no safeguard": mistakes(planted, **wanted, choice="top", near_copy=None),
        "top, no copies": mistakes(planted, **wanted, choice="top"),
        "top, no copies, skip 5": mistakes(planted, **wanted, choice="top", skip_top=5),
        "sample of 50, no safeguard": mistakes(planted, **wanted, near_copy=None),
        "sample of 50, no copies": mistakes(planted, **wanted),
    }
    if arguments.teacher:
        teacher = CrossEncoderTeacher(Reranker(arguments.teacher), planted.collection, SilentReporter())
        variants["top, teacher's margin alone"] = mistakes(planted, teacher, **wanted, choice="top", near_copy=None)
        variants["top, no copies, teacher"] = mistakes(planted, teacher, **wanted, choice="top")
    print(f"{'':28}" + "".join(f"{name:>20}" for name in there))
    for name, counts in variants.items():
        print(f"{name:28}" + "".join(f"{count:>20}" for count in counts.values()))


if __name__ == "__main__":
    main()
