"""Evaluate label-free adaptation on human queries: `python benchmarks/adaptation.py FOLDER ...` (BEIR folders).

For each folder, `crossforge adapt` gets the documents only. The script then reports nDCG@10 on the human queries of the
test split (use `--split train` to choose between recipes), over whole documents and the same candidates, for the first
stage, the untrained base model as a bi-encoder, the adapted reranker, and the latter two each fused with the first
stage at a weight chosen on pseudo-queries (the package ships its own). Judgements are used only for measurement.

For other starting points and recipes: `--base PACKAGE`, `--set collection.replay=[...]`. Results are kept under --out
and reused, so an interrupted run resumes where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from quality import cosine_scores

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge.reranker import Reranker
from crossforge.runs import ids_by_query
from crossforge_train.adaptation.recipe import RECIPE
from crossforge_train.cli.display import RichReporter
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.own_documents import settle_own_documents
from crossforge_train.collections.storage import read_folder
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.embeddings import Embeddings
from crossforge_train.evaluation.fusion_weight import choose_fusion_weight
from crossforge_train.evaluation.metrics import Rankings, mean, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings, score_queries
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.evaluation.verdict import Contest, compare_systems
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.pair_scoring import backend_for
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.embedding import run_embeddings
from crossforge_train.stages.encoder_length import with_encoder_length
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

FIRST_STAGE, BASE, BASE_FUSED, ADAPTED, FUSED = (
    "first stage", "base as bi-encoder", "base as bi-encoder, fused", "adapted", "adapted, fused"
)  # fmt: skip
SYSTEMS = (FIRST_STAGE, BASE, BASE_FUSED, ADAPTED, FUSED)
MEASURED_FILE = "human.json"


def main() -> None:
    """Run whatever is missing and print a table of all results."""
    options = _options()
    rows = []
    for folder in options.folders:
        for seed in options.seeds:
            try:
                rows.append(_row(folder, seed, options))
            except InputError as error:
                print(f"skipped {folder}: {error}", file=sys.stderr)
    print(_table(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--base", help="start from this encoder, or warm-start from this reranker package")
    parser.add_argument("--config", type=Path, default=RECIPE)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--tag", default="", help="suffix of run names, to keep recipes apart")
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--split", default="test", help="split whose human queries are measured")
    parser.add_argument("--max-queries", type=int, help="measure a seeded sample of this many queries")
    return parser.parse_args()


def _row(folder: Path, seed: int, options: argparse.Namespace) -> str:
    values = {
        "runs": str(options.out),
        "name": f"{folder.resolve().name}{options.tag}-{seed}",
        "collection.documents.corpus": str(folder),
        "package.allow_regression": True,  # the table must show regressions too
        **({"base_model": options.base} if options.base else {}),
    }
    named = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    config = load_config(options.config, [*named, f"seed={seed}", "evaluation.minutes=null", *options.overrides])
    run_stages(config, stages_until(config, "package"), RichReporter())
    measured = config.folder / MEASURED_FILE
    made = RunFolder(config.folder).record("package").read_text()
    what = {"package": made, "split": options.split, "queries": options.max_queries}
    if not measured.is_file() or read_json(measured)["of"] != what:
        write_json(measured, {"of": what, "row": _measured(config, folder, options.split, options.max_queries)})
    return str(read_json(measured)["row"])


def _measured(config: Config, folder: Path, split: str, max_queries: int | None) -> str:
    orders, bench = _orders(config, folder, split, max_queries)
    metric = config.evaluation.metric
    values = {name: measure_rankings([metric], bench.qrels, order) for name, order in orders.items()}
    contest = Contest(
        FIRST_STAGE,
        [(FUSED, FIRST_STAGE)],
        [(ADAPTED, FIRST_STAGE), *((FUSED, name) for name in orders if "base" in name)],
    )
    compared = {
        (found.system, found.baseline): f"{found.difference:+.3f} [{found.interval[0]:+.3f}, {found.interval[1]:+.3f}] "
        f"{found.verdict}"
        for found in compare_systems(values, contest, config.evaluation, config.seed)
    }
    cells = [f"{mean(values[name][metric]):.3f}" if name in values else "–" for name in SYSTEMS]
    run = RunFolder(config.folder)
    seconds = sum(read_json(run.record(stage.name))["seconds"] for stage in stages_until(config, "package"))
    over_base = [compared.get((FUSED, name), "–") for name in (BASE, BASE_FUSED)]
    head = [config.name, str(len(bench.queries)), f"{seconds / 60:.0f} min"]
    return _cells([*head, *cells, compared[FUSED, FIRST_STAGE], compared[ADAPTED, FIRST_STAGE], *over_base])


def _orders(config: Config, folder: Path, split: str, max_queries: int | None) -> tuple[dict[str, Rankings], Bench]:
    """Each system's ranking of the human queries' candidates."""
    package = Reranker(config.folder / "package", backend=backend_for(config.evaluation.backend))
    adapted = RunFolder(config.folder).collected.collection()
    dev = _bench(config, adapted, config.collection.dev_split, config.evaluation.most_dev_queries)
    asked, _ = settle_own_documents(read_folder(folder), config.collection.ignore_identical_ids)
    bench = _bench(config, asked, split, max_queries)
    # The bench's pipeline indexes whole documents, as the package does.
    scored = score_queries(bench.pipeline(package), bench.queries, bench.run, bench.depth, RichReporter(), "reranking")
    orders: dict[str, Rankings] = {
        FIRST_STAGE: ids_by_query(bench.run),
        ADAPTED: rankings(scored, bench.run, 0.0),
        FUSED: rankings(scored, bench.run, package.manifest.fusion_weight),
    }
    model = base_embeddings(with_encoder_length(config, RunFolder(config.folder).mined), SilentReporter())
    if model:
        weight = choose_fusion_weight(
            _cosines(model, dev), dev.run, dev.qrels, config.evaluation.metric, config.seed, pseudo=True
        )
        cosines = _cosines(model, bench)
        orders |= {BASE: rankings(cosines, bench.run, 0.0), BASE_FUSED: rankings(cosines, bench.run, weight)}
    return orders, bench


def _cosines(model: Embeddings, bench: Bench) -> Mapping[str, ScoredQuery]:
    return cosine_scores(model, bench.collection, bench.queries, bench.run, bench.depth)


def _bench(config: Config, collection: Collection, split: str, limit: int | None) -> Bench:
    """A bench on the run's own index for dev, and on an index of whole documents for human queries."""
    mined = RunFolder(config.folder).mined
    if split == config.collection.dev_split:
        retriever = mined.retriever()
    else:
        read = with_encoder_length(config, RunFolder(config.folder).mined)
        embeddings = run_embeddings(read, SilentReporter()) if config.first_stage.embeds else None
        first_stage = config.first_stage.of_kind(mined.choice.kind)
        retriever = fit_first_stage(collection.corpus.values(), first_stage, embeddings, mined.choice.weight)
    run = retrieve(collection, retriever, collection.split_queries(split), config.first_stage.depth)
    settings, depth = config.evaluation, RunFolder(config.folder).evaluated.report.depth
    return set_up_bench(collection, split, run, retriever, depth, settings, config.seed, SilentReporter(), limit)


def _table(rows: list[str]) -> str:
    head = ["folder-seed", "queries", "time", *SYSTEMS, f"{FUSED} over {FIRST_STAGE}", f"{ADAPTED} over {FIRST_STAGE}",
            f"{FUSED} over {BASE}", f"{FUSED} over {BASE_FUSED}"]  # fmt: skip
    return "\n".join([_cells(head), "|" + "---|" * len(head), *rows])


def _cells(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
