"""Ranking quality lost to faster backends: `python benchmarks/backend_quality.py CONFIG [--set KEY=VALUE]`.

Scores the candidates of a trained run's first test split once with every backend available on this machine. Each row
reports the config's metric for the reranker alone, its difference from exact fp32 with a confidence interval, the
largest difference in a logit, the overlap of the top 10, and pairs per second after a first query that warms up.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from crossforge.backends.registry import BACKENDS
from crossforge.errors import PackageError
from crossforge.reranker import Reranker
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.evaluation.metrics import Rankings, measure_rankings
from crossforge_train.evaluation.scoring import ScoredQuery, rankings, score_queries
from crossforge_train.evaluation.significance import bootstrap_interval
from crossforge_train.evaluation.systems import Bench, set_up_bench
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder

EXACT = "onnx"
DEPTH = 10


def main() -> None:
    """Print one row per backend."""
    options = _options()
    config = load_config(options.config, options.set)
    model = RunFolder(config.folder).last_finetuned(config.mining.rounds).model
    if not model.is_dir():
        sys.exit(f"skipped: {model} does not exist; train it with `make train CONFIG={options.config}`")
    bench = _bench(config)
    print(f"| backend | {config.evaluation.metric} | difference | max logit difference | top 10 in common | pairs/s |")
    print("|---" * 6 + "|")
    exact: dict[str, ScoredQuery] = {}
    for name in (EXACT, *(name for name in BACKENDS.plugins() if name != EXACT)):
        try:
            reranker = Reranker(model, backend=name)
        except PackageError as error:
            if name == EXACT:
                sys.exit(f"{name}, which the others are compared with, cannot be opened: {error}")
            print(f"skipped {name}: {error}", file=sys.stderr)
            continue
        _scored(bench.drawn(1), reranker)
        begin = time.perf_counter()
        found = _scored(bench, reranker)
        seconds = time.perf_counter() - begin
        exact = exact or found
        print(_row(name, bench, exact, found, seconds), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a config value")
    return parser.parse_args()


def _bench(config: Config) -> Bench:
    run, split, settings = RunFolder(config.folder), config.collection.test_splits[0], config.evaluation
    return set_up_bench(
        run.collected.collection(), split, run.mined.run(split), run.mined.retriever(),
        run.evaluated.report.depth, settings, config.seed,
        SilentReporter(), settings.most_queries,
    )  # fmt: skip


def _scored(bench: Bench, reranker: Reranker) -> dict[str, ScoredQuery]:
    pipeline = bench.pipeline(reranker)
    return score_queries(pipeline, bench.queries, bench.run, bench.depth, SilentReporter(), "scoring")


def _row(name: str, bench: Bench, exact: dict[str, ScoredQuery], found: dict[str, ScoredQuery], seconds: float) -> str:
    values, reference = _values(bench, found), _values(bench, exact)
    differences = values - reference
    low, high = bootstrap_interval(differences, bench.config.permutations, bench.seed)
    logits = max(float(np.abs(found[query].logits - exact[query].logits).max()) for query in found)
    pairs = sum(len(each.logits) for each in found.values())
    return (
        f"| {name} | {values.mean():.4f} | {differences.mean():+.4f} [{low:+.4f}, {high:+.4f}] | {logits:.1e} "
        f"| {_common(_alone(bench, found), _alone(bench, exact)):.1%} | {pairs / seconds:.1f} |"
    )


def _values(bench: Bench, scored: dict[str, ScoredQuery]) -> np.ndarray:
    metric = bench.config.metric
    found = measure_rankings([metric], bench.qrels, _alone(bench, scored))[metric]
    return np.array([found[query_id] for query_id in sorted(found)])


def _alone(bench: Bench, scored: dict[str, ScoredQuery]) -> Rankings:
    return rankings(scored, bench.run, 0.0)


def _common(left: Rankings, right: Rankings) -> float:
    """Overlap of the two orders' first ten, or of all where there are fewer, averaged over queries."""
    best = [(set(left[query][:DEPTH]), set(right[query][:DEPTH])) for query in left if left[query]]
    return float(np.mean([len(one & other) / len(one) for one, other in best]))


if __name__ == "__main__":
    main()
