"""How long a click log takes to become judgements, and how well they follow the truth that the log was drawn from.

Run from the repository's root:

    python benchmarks/clicks.py [--lines 200000] [--format csv]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import kendalltau

from crossforge_train.collections.readers.reader import read_source
from crossforge_train.config.clicks import ClickColumns, ClickWeights
from crossforge_train.config.sources import AnySource
from crossforge_train.labels.click_logs import read_click_table

SHOWN = 10  # documents a page
SESSIONS = 50  # pages of a query
SEPARATORS = {"csv": ",", "tsv": "\t"}


def write_log(folder: Path, lines: int, suffix: str, seed: int) -> tuple[Path, Path, np.ndarray]:
    """Documents, a log of a ranker that puts bad documents first, and how attractive each document really is."""
    draw = np.random.default_rng(seed)
    queries = lines // (SHOWN * SESSIONS)
    truth = draw.uniform(0.05, 0.95, (queries, SHOWN))
    order = np.argsort(truth[:, None] + 0.3 * draw.normal(size=(queries, SESSIONS, SHOWN)), axis=2)
    attractive = np.take_along_axis(np.broadcast_to(truth[:, None], order.shape), order, axis=2)
    clicks = draw.random(order.shape) < attractive / np.arange(1, SHOWN + 1)
    corpus = folder / "docs.jsonl"
    corpus.write_text("".join(json.dumps({"_id": f"d{n}", "text": f"text {n}"}) + "\n" for n in range(truth.size)))
    columns = {
        "query": [f"query {n // (SHOWN * SESSIONS)}" for n in range(order.size)],
        "doc": [f"d{n}" for n in (order + SHOWN * np.arange(queries)[:, None, None]).ravel()],
        "position": np.broadcast_to(np.arange(1, SHOWN + 1), order.shape).ravel().tolist(),
        "clicked": clicks.ravel().astype(int).tolist(),
    }
    path = folder / f"log.{suffix}"
    rows = zip(*columns.values(), strict=True)
    if suffix == "parquet":
        pq.write_table(pa.table(columns), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        mark = SEPARATORS[suffix]
        path.write_text("".join(mark.join(map(str, row)) + "\n" for row in (tuple(columns), *rows)))
    return corpus, path, truth


def main() -> None:
    """Print seconds and Kendall's tau."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--format", choices=["csv", "tsv", "jsonl", "parquet"], default="csv")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus, log, truth = write_log(Path(folder), given.lines, given.format, given.seed)
        started, worked = time.perf_counter(), time.process_time()
        found = read_source(AnySource(clicks={"corpus": corpus, "log": log, "grades": [0.25, 0.5, 1, 1.5, 2]}))
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        counted = Counter(shown.doc_id for shown in read_click_table(log, ClickColumns(), ClickWeights()) if shown.gain)
    attractiveness = dict(zip((f"d{n}" for n in range(truth.size)), truth.ravel(), strict=True))
    spent = f"{seconds:.1f} s ({work:.1f} s of a core)"
    print(f"{given.lines:,} lines of {given.format}: {spent}, {found.counted['judged pairs']:,} judged pairs")
    for name, values in (
        ("grades", lambda judged: list(judged.values())),
        ("clicks", lambda judged: map(counted.get, judged)),
    ):
        taus = [
            kendalltau(
                [value or 0 for value in values(judged)], [attractiveness[doc_id] for doc_id in judged]
            ).statistic
            for judged in found.qrels("train").values()
        ]
        print(f"Kendall's tau of {name} and truth, over {len(taus):,} queries: {np.nanmean(taus):.3f}")


if __name__ == "__main__":
    main()
