"""Peak memory of the stage `mine`: `python benchmarks/mining_memory.py COLLECTION`.

A synthetic corpus is generated from COLLECTION, a folder in BEIR layout, as `first_stage.py` describes, with 1,000
queries each for train, dev and test and one relevant document per query. The stage runs in its own process on the
collection as `collect` stores it, with a lexical first stage and no teacher: no model is in memory. Memory, sampled
twice a second, is the total of that process and its workers, mapped file pages and imports included (PSS), and the part
of it that is not shared (USS).
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from first_stage import Peak, grow

from crossforge.documents import Document
from crossforge.files import write_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.storage import save_collection
from crossforge_train.config.run import Config
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import mine
from crossforge_train.stages.stage import Context

SPLITS, QUERIES = ("train", "dev", "test"), 1000


def main() -> None:
    """Print the corpus's size on disk and the stage's peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--documents", type=int, default=200_000)
    options = parser.parse_args()
    if not (options.collection / "corpus.jsonl").is_file():
        sys.exit(f"skipped: {options.collection} has no corpus.jsonl; pass a collection in BEIR layout")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _in_a_process(_collect, folder, options.collection, options.documents)
        size = sum(path.stat().st_size for path in (folder / "any/collect/collection").glob("*.arrow"))
        print(f"{options.documents:,} documents, {size / 1e6:.0f} MB as Arrow", flush=True)
        _in_a_process(_mine, folder)


def _in_a_process(work: Callable[..., None], *arguments: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def _collect(folder: Path, source: Path, documents: int) -> None:
    texts, asked = grow(source, documents, QUERIES * len(SPLITS))
    corpus = ArrowCorpus.from_documents(Document(f"d{number}", text) for number, text in enumerate(texts))
    splits = {
        split: {f"q{place}": {f"d{place}": 1} for place in range(number * QUERIES, (number + 1) * QUERIES)}
        for number, split in enumerate(SPLITS)
    }
    queries = {f"q{number}": text for number, text in enumerate(asked)}
    save_collection(folder / "any/collect/collection", Collection("grown", corpus, queries, splits))
    write_json(folder / "any/collect/counts.json", {})


def _mine(folder: Path) -> None:
    config = Config(
        name="any", runs=folder, collection={"beir": folder, "dev": "dev"}, first_stage={"kind": "lexical"},
        mining={"teacher": None},
    )  # fmt: skip
    (config.folder / "mine").mkdir()
    with Peak() as peak:
        mine.STAGE.run(Context(config, SilentReporter(), config.folder / "mine"))
    print(f"peak {peak.bytes / 1e6:,.0f} MB, of which {peak.alone / 1e6:,.0f} MB not shared")


if __name__ == "__main__":
    main()
