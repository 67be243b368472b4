"""What a run's first stage finds, part by part, with and without its query map, and the ceiling over its candidates.

    python benchmarks/first_stage_quality.py CONFIG [--set KEY=VALUE]

Prints the config's metric for each part and for the whole on every split that the run measures, and that of a perfect
reranker of the first 50, 60, 75, 100 and 200 candidates. The weight of a hybrid is chosen as in the run. Where the run
has tuned its encoder, the same is printed for the base model as it was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crossforge.retrievers.base import CombinedRetriever, Retriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import ids_by_query
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection, Qrels
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.query_map import shrunk
from crossforge_train.evaluation.combination import combined_on_dev
from crossforge_train.evaluation.curves import perfect_rankings
from crossforge_train.evaluation.free_retrievers import as_it_was
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.moving import learned_map
from crossforge_train.first_stage import vector_part, with_query_map
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.choosing import training_queries_that_choose
from crossforge_train.stages.encoder_length import with_encoder_length

DEPTHS = (50, 60, 75, 100, 200)
SHARES = (0.5, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="of a run that has been mined")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config value")
    options = parser.parse_args()
    config = load_config(options.config, options.set)
    if not RunFolder(config.folder).mined.path.is_dir():
        sys.exit(f"skipped: {config.folder} has not been mined; do so with `crossforge mine {options.config}`")
    collection = RunFolder(config.folder).collected.collection()
    for name, retriever in all_systems(config, collection).items():
        splits = [split for split in collection.splits if split != config.collection.train]
        figures = ", ".join(f"{split} {measured(config, collection, split, retriever)}" for split in splits)
        print(f"{name}: {figures}", flush=True)


def all_systems(config: Config, collection: Collection) -> dict[str, Retriever]:
    """The systems of the run and, where its encoder was tuned, those that embed with the base model as it was."""
    mined, more = RunFolder(config.folder).mined, training_queries_that_choose(config, collection)
    first_stage = mined.retriever()
    if not mined.choice.tuned:
        return systems(config, collection, first_stage, more)
    embeddings = base_embeddings(with_encoder_length(config, mined), SilentReporter())
    assert embeddings
    untuned = systems(config, collection, as_it_was(first_stage, collection, embeddings), more)
    return systems(config, collection, first_stage, {}) | {
        f"{name}, untuned": untuned[name] for name in untuned if name.startswith(("dense", "hybrid"))
    }


def systems(config: Config, collection: Collection, first_stage: Retriever, more: Qrels) -> dict[str, Retriever]:
    """The first stage, its parts, and the same with nothing, half and all of the query map.

    Args:
        config: of the run.
        collection: of the run.
        first_stage: of the run.
        more: queries besides dev that choose a hybrid's weight.
    """
    splits, metric, seed = config.collection, config.evaluation.metric, config.seed
    found: dict[str, Retriever] = {"TF-IDF": fit_retriever(collection.corpus.values())}
    part = vector_part(first_stage)
    if isinstance(first_stage, CombinedRetriever):
        found[first_stage.parts[0].name] = first_stage.parts[0]
    if part:
        found["dense"] = part.with_query_map(None)
        whole = learned_map(part.with_query_map(None), collection, splits.train, seed)
        for share in SHARES:
            found[f"dense, {share:g} of the query map"] = part.with_query_map(shrunk(whole, share))
        found["dense, as the run has it"] = part
        if isinstance(first_stage, CombinedRetriever):
            plain = with_query_map(first_stage, None)
            assert isinstance(plain, CombinedRetriever)
            depth = config.first_stage.depth
            weighted = combined_on_dev(plain, collection, splits.dev_split, more, depth, metric, seed)
            found[f"hybrid, weight {weighted.weight}"] = weighted
            found["hybrid, by rank"] = weighted.with_weight(None)
    found[f"as the run has it: {first_stage.name}"] = first_stage
    return found


def measured(config: Config, collection: Collection, split: str, retriever: Retriever) -> str:
    """The metric on a split, and the ceilings by depth."""
    metric, qrels = config.evaluation.metric, judged_queries(collection.qrels(split))
    queries = {query_id: collection.queries[query_id] for query_id in qrels}
    run = retrieve(collection, retriever, queries, max(DEPTHS))

    def value(rankings: dict[str, list[str]]) -> str:
        return f"{mean(measure_rankings([metric], qrels, rankings)[metric]):.3f}".lstrip("0")

    def ceiling(depth: int) -> str:
        best = perfect_rankings({query_id: run[query_id][:depth] for query_id in qrels}, qrels, depth)
        return value({query_id: list(found) for query_id, found in best.items()})

    return f"{value(ids_by_query(run))} (ceiling {', '.join(f'{ceiling(depth)} at {depth}' for depth in DEPTHS)})"


if __name__ == "__main__":
    main()
