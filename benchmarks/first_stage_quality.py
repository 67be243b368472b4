"""What a run's first stage finds, part by part, with and without its query map, and the ceiling over its candidates.

    python benchmarks/first_stage_quality.py runs/quickstart

Prints the nDCG@10 of each part and of the whole on every split that the run measures, and that of a perfect reranker of
the first 50, 60, 75, 100 and 200 candidates. The weight of a hybrid is chosen as in a run. Where the run has
tuned its encoder, the same is printed for the base model as it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crossforge.retrievers.base import CombinedRetriever, Retriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels, of_people
from crossforge_train.encoders.embeddings import open_embeddings
from crossforge_train.encoders.query_map import shrunk
from crossforge_train.evaluation.combination import combined_on_dev
from crossforge_train.evaluation.curves import perfect_rankings
from crossforge_train.evaluation.free_retrievers import as_it_was
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.moving import learned_map
from crossforge_train.first_stage import vector_part, with_query_map
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder

BASE = "sentence-transformers/all-MiniLM-L6-v2"
METRIC, TRAIN, DEV, DEPTH, DEPTHS, SEED = "nDCG@10", "train", "dev", 200, (50, 60, 75, 100, 200), 42
SHARES = (0.5, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run that has been mined")
    parser.add_argument("--base", default=BASE, help="the run's base model")
    arguments = parser.parse_args()
    run = RunFolder(arguments.run)
    collection, first_stage = run.collected.collection(), run.mined.retriever()
    more = {} if run.mined.choice.tuned else of_people(collection, TRAIN)
    found = systems(collection, first_stage, more)
    if run.mined.choice.tuned:
        tokens = run.mined.choice.encoder_tokens
        embeddings = open_embeddings(arguments.base, tokens, arguments.run.parent, SilentReporter())
        assert embeddings
        untuned = systems(collection, as_it_was(first_stage, collection, embeddings), of_people(collection, TRAIN))
        found |= {f"{name}, untuned": untuned[name] for name in untuned if name.startswith(("dense", "hybrid"))}
    splits = [split for split in collection.splits if split != TRAIN]
    for name, retriever in found.items():
        figures = ", ".join(f"{split} {measured(collection, split, retriever)}" for split in splits)
        print(f"{name}: {figures}", flush=True)


def systems(collection: Collection, first_stage: Retriever, more: Qrels) -> dict[str, Retriever]:
    """The first stage, its parts, and the same with nothing, half and all of the query map."""
    found: dict[str, Retriever] = {"TF-IDF": fit_retriever(collection.corpus.values())}
    part = vector_part(first_stage)
    if isinstance(first_stage, CombinedRetriever):
        found[first_stage.parts[0].name] = first_stage.parts[0]
    if part:
        found["dense"] = part.with_query_map(None)
        whole = learned_map(part.with_query_map(None), collection, TRAIN, SEED)
        for share in SHARES:
            found[f"dense, {share:g} of the query map"] = part.with_query_map(shrunk(whole, share))
        found["dense, as the run has it"] = part
        if isinstance(first_stage, CombinedRetriever):
            plain = with_query_map(first_stage, None)
            assert isinstance(plain, CombinedRetriever)
            weighted = combined_on_dev(plain, collection, DEV, more, DEPTH, METRIC, SEED)
            found[f"hybrid, weight {weighted.weight}"] = weighted
            found["hybrid, by rank"] = weighted.with_weight(None)
    found[f"as the run has it: {first_stage.name}"] = first_stage
    return found


def measured(collection: Collection, split: str, retriever: Retriever) -> str:
    """nDCG@10 on a split, and the ceilings by depth."""
    qrels = judged_queries(collection.qrels(split))
    run = retrieve(collection, retriever, {query_id: collection.queries[query_id] for query_id in qrels}, DEPTH)

    def value(rankings: dict[str, list[str]]) -> str:
        return f"{mean(measure_rankings([METRIC], qrels, rankings)[METRIC]):.3f}".lstrip("0")

    def ceiling(depth: int) -> str:
        best = perfect_rankings({query_id: run[query_id][:depth] for query_id in qrels}, qrels, depth)
        return value({query_id: list(found) for query_id, found in best.items()})

    return f"{value(ids_by_query(run))} (ceiling {', '.join(f'{ceiling(depth)} at {depth}' for depth in DEPTHS)})"


if __name__ == "__main__":
    main()
