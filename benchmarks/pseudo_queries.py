"""What pseudo-queries of each kind find with the untrained base model, by tokens read and by lexical weight.

    python benchmarks/pseudo_queries.py COLLECTION ... [--tokens 128 256] [--queries 600] [--base MODEL] [--runs FOLDER]

`crossforge adapt` makes the queries from the documents of COLLECTION, a folder in BEIR layout; its own queries are not
read. `benchmarks/untrained.py` has the same columns for people's queries: the more alike the best column is, the better
the kind chooses in their place.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from untrained import WEIGHTS, hybrids, reader

from crossforge_train.adaptation.recipe import RECIPE
from crossforge_train.cli.display import RichReporter
from crossforge_train.collections.collection import PSEUDO_QUERY, Collection, Qrels
from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages


def main() -> None:
    """Print one row for each collection, length and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--tokens", nargs="+", type=int, default=[128, 256], help="the largest is the model's limit")
    parser.add_argument("--queries", type=int, default=600)
    parser.add_argument("--base", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--runs", type=Path, default=Path("runs/pseudo-queries"))
    options = parser.parse_args()
    print(f"| collection | tokens | kind | queries | by rank | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |")
    print("|---" * (len(WEIGHTS) + 5) + "|")
    for folder in options.collections:
        collection = made(folder, options)
        for tokens in sorted(options.tokens):
            for kind, qrels in by_kind(collection).items():
                found = hybrids(reader(options, tokens), collection, qrels)
                print(f"| {folder.name} | {tokens} | {kind} | {len(qrels)} | {' | '.join(found)} |", flush=True)


def made(folder: Path, options: argparse.Namespace) -> Collection:
    """The documents of a folder with the pseudo-queries that an adaptation makes of them."""
    values = {
        "runs": str(options.runs),
        "name": folder.resolve().name,
        "base_model": options.base,
        "collection.documents.corpus": str(folder),
        "collection.documents.queries": options.queries,
    }
    config = load_config(RECIPE, [f"{key}={json.dumps(value)}" for key, value in values.items()])
    run_stages(config, stages_until(config, "collect"), RichReporter())
    return RunFolder(config.folder).collected.collection()


def by_kind(collection: Collection) -> dict[str, Qrels]:
    """Kind -> judgements of its queries in all splits."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for qrels in collection.splits.values():
        for query_id, labels in qrels.items():
            kind = str(collection.query_fields[query_id][PSEUDO_QUERY])
            found.setdefault(kind, {})[query_id] = dict(labels)
    return dict(sorted(found.items()))


if __name__ == "__main__":
    main()
