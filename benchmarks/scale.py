"""What a Ray cluster on this machine costs against one process, and that both find the same.

    python benchmarks/scale.py COLLECTION
    python benchmarks/scale.py COLLECTION --package runs/quickstart/package

COLLECTION is a folder in BEIR layout, from whose words `first_stage.py` makes a synthetic corpus and its queries. The
corpus is stored in Arrow, as the stage `collect` does. Each system then indexes it with BM25 and finds the top 200
documents of every query, in its own process: `local` as every run does without `compute`, the others by so many shards
on a cluster that is started for it. Memory is the peak of the process and all that it started, Ray's own processes
included, with shared pages counted once (PSS), sampled twice a second. The last column says whether all documents and
scores are the same as those of the first system, bit by bit.

With --package, pairs of the queries with documents that they found are scored by that package in one process, and by
the workers of a cluster; the last column is the largest difference of two logits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from first_stage import Peak, drawn_queries, grown_texts

import crossforge_train as ct
from crossforge.documents import Document
from crossforge.files import read_json, write_json
from crossforge.retrievers.lexical import LexicalKind
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.compute.choice import opened_engine
from crossforge_train.config.compute import ComputeConfig
from crossforge_train.sharding.fitting import fit_by_shards

DEPTH, SETTINGS = 200, {"weighting": "bm25", "analyzer": "word", "language": "english"}
Measured = dict[str, Any]


def main() -> None:
    """Measure every system in its own process, and print a table."""
    options = _options()
    if options.system:
        with Peak() as peak:
            found = _measure(options.system, options.collection)
        print(json.dumps({**found, "peak": peak.bytes / 1e9}))
        return
    if not (options.collection / "corpus.jsonl").is_file():
        sys.exit(f"skipped: {options.collection} has no corpus.jsonl; pass a collection in BEIR layout")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, options)
        print(f"{options.documents:,} documents, {options.queries:,} queries\n", flush=True)
        _search(folder, [*([] if options.no_local else ["local"]), *map(str, options.shards)])
        if options.package:
            _score(folder, options.package)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument(
        "--no-local", action="store_true", help="leave out one process, which has the whole index in memory"
    )
    parser.add_argument("--package", type=Path, help="score pairs with this package, too")
    parser.add_argument("--pairs", type=int, default=20_000, help="with --package: how many")
    parser.add_argument("--system", help="measure this system here, on what another call has written; prints JSON")
    return parser.parse_args()


def _write(folder: Path, options: argparse.Namespace) -> None:
    """Corpus, queries and pairs, which every system reads."""
    draw = np.random.default_rng(0)
    texts = grown_texts(options.collection, options.documents, draw)
    corpus = ArrowCorpus.from_documents(Document(f"d{number}", text) for number, text in enumerate(texts))
    corpus.save(folder / "corpus")
    asked = drawn_queries(lambda number: corpus[f"d{number}"].text, len(corpus), options.queries, draw)
    write_json(folder / "queries.json", {f"q{number}": query for number, query in enumerate(asked)})
    if options.package:
        write_json(folder / "package.json", str(options.package.absolute()))
        pairs = np.random.default_rng(0).integers(0, [[len(asked), len(corpus)]], (options.pairs, 2)).tolist()
        rows = [{"query": asked[query], "text": corpus[f"d{document}"].text} for query, document in pairs]
        pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet")


def _search(folder: Path, systems: list[str]) -> None:
    print(
        "| system | start s | index s | search s | all s | peak GB | the same |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    first = None
    for system in systems:
        row = _in_a_process(folder, system)
        first = first or row["found"]
        name = system if system == "local" else f"ray, {system} shards"
        seconds = [row["start"], row["index"], row["search"], row["start"] + row["index"] + row["search"]]
        same = "yes" if row["found"] == first else "NO"
        print(f"| {name} | {' | '.join(f'{s:.1f}' for s in seconds)} | {row['peak']:.2f} | {same} |", flush=True)


def _score(folder: Path, package: Path) -> None:
    print(f"\n{package}\n\n| system | all s | pairs / s | peak GB | difference |\n|---|---|---|---|---|", flush=True)
    for name in ("score-local", "score-ray"):
        row = _in_a_process(folder, name)
        logits = [pq.read_table(path)["score"].to_numpy() for path in sorted(folder.glob("score-*.parquet"))]
        difference = f"{np.abs(logits[-1] - logits[0]).max():.1e}" if len(logits) > 1 else "–"
        speed = row["pairs"] / row["all"]
        print(f"| {name} | {row['all']:.1f} | {speed:.0f} | {row['peak']:.2f} | {difference} |", flush=True)


def _in_a_process(folder: Path, system: str) -> Measured:
    command = [sys.executable, __file__, str(folder), "--system", system]
    measured: Measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def _measure(system: str, folder: Path) -> Measured:
    if system.startswith("score"):
        compute = {"engine": system.removeprefix("score-")}
        started = time.perf_counter()
        done = ct.score(
            read_json(folder / "package.json"), folder / "pairs.parquet", folder / f"{system}.parquet", compute=compute
        )
        return {"all": time.perf_counter() - started, "pairs": done.pairs}
    started = time.perf_counter()
    config = ComputeConfig(engine="local" if system == "local" else "ray")
    with opened_engine(config, shared=folder / "shared") as engine:
        ready = time.perf_counter()
        if system == "local":
            index = LexicalKind.fit(ArrowCorpus.load(folder / "corpus").values(), SETTINGS)
        else:
            index = fit_by_shards(folder / "corpus", SETTINGS, engine, folder / f"shards-{system}", int(system))
        indexed = time.perf_counter()
        found = index.search(read_json(folder / "queries.json"), DEPTH, ties_by_id=True)
        searched = time.perf_counter()
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    return {"start": ready - started, "index": indexed - ready, "search": searched - indexed, "found": digest}


if __name__ == "__main__":
    main()
