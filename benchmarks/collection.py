"""Memory and time of a memory-mapped Arrow corpus, compared with the same documents as Python objects.

`python benchmarks/collection.py [documents]`: each document is 20 words drawn from 50,000 made-up ones. Each
measurement runs in its own process and reports the increase in that process's memory in MB of 2**20 bytes: at the peak
(`VmHWM`), at the end (`VmRSS`), and the part of the latter that is file pages, which the system can reclaim at any time
(`RssFile`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crossforge.documents import Document, read_documents
from crossforge.files import write_jsonl
from crossforge_train.collections.corpus import ArrowCorpus

_WORDS = 20
_VOCABULARY = 50_000
_LOOKUPS = 100_000
_KINDS = ("VmHWM", "VmRSS", "RssFile")


def documents(count: int) -> Iterator[Document]:
    """Generate made-up documents, the same on every call."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 11))) for _ in range(_VOCABULARY)]
    for number in range(count):
        yield Document(f"document-{number}", " ".join(draw.choices(words, k=_WORDS)))


def store(folder: Path, count: int) -> str:
    """Build the corpus from an iterator of documents and save it."""
    ArrowCorpus.from_documents(documents(count)).save(folder)
    return f"{sum(path.stat().st_size for path in folder.glob('corpus*.arrow')) / 1e6:.0f} MB on disk"


def as_jsonl(folder: Path, count: int) -> str:
    """Write the same documents as JSONL, for the comparison."""
    write_jsonl(folder / "corpus.jsonl", ({"_id": one.doc_id, "text": one.text} for one in documents(count)))
    return ""


def load_objects(folder: Path, _: int) -> object:
    """Load every document from JSONL into a dict of objects."""
    return {document.doc_id: document for document in read_documents(folder / "corpus.jsonl")}


def load_mapped(folder: Path, _: int) -> object:
    """Map the corpus."""
    return ArrowCorpus.load(folder)


def look_up(folder: Path, count: int) -> object:
    """Map the corpus and look up 100,000 documents at random."""
    corpus, draw = ArrowCorpus.load(folder), random.Random(1)
    for _ in range(_LOOKUPS):
        corpus[f"document-{draw.randrange(count)}"]
    return corpus


def read_all(folder: Path, _: int) -> object:
    """Map the corpus and read every document once."""
    corpus = ArrowCorpus.load(folder)
    assert sum(1 for _ in corpus.values()) == len(corpus)
    return corpus


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=int, nargs="?", default=1_000_000)
    count = parser.parse_args().documents
    with tempfile.TemporaryDirectory() as name:
        for action in (store, as_jsonl, load_objects, load_mapped, look_up, read_all):
            process = multiprocessing.get_context("spawn").Process(target=_measure, args=(action, Path(name), count))
            process.start()
            process.join()


def _measure(action: Callable[[Path, int], object], folder: Path, count: int) -> None:
    before, started = _memory(), time.perf_counter()
    result = action(folder, count)
    seconds, after = time.perf_counter() - started, _memory()
    peak, held, mapped = (after[name] - before[name] for name in _KINDS)
    print(f"{action.__name__:14} {seconds:7.2f} s  peak {peak:5.0f} MB, at the end {held:5.0f} MB", end=" ")
    print(f"(mapped: {mapped:3.0f} MB)", end="  ")
    print(result if isinstance(result, str) else "", flush=True)


def _memory() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) / 1024 for name in _KINDS}


if __name__ == "__main__":
    main()
