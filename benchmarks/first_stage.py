"""The first stage compared with bm25s (numpy and numba, if installed) and plain cosine similarity.

    python benchmarks/first_stage.py COLLECTION
    python benchmarks/first_stage.py COLLECTION --dense --sizes 1000000 --queries 10000

COLLECTION is a folder in BEIR layout. Its words, most frequent first, form the vocabulary of a synthetic corpus: words
are drawn independently, the word of rank r with probability proportional to 1 / (r + 2.7) (Zipf–Mandelbrot law), until
a document reaches its length (log-normal, mean 100 words, standard deviation 0.4 in log space). The vocabulary size is
50 times the square root of the number of drawn words (Heaps' law); if the collection has fewer words, new ones are made
by joining two of its rarer words. A query is ten words from one document. Real text repeats words within a document
more often than this.

Every system does the same work in its own process: it takes the same documents, indexes them, saves the index, and
finds the top 100 documents for every query. Memory is the total of the process and its workers, with shared pages
counted once (PSS), sampled twice a second; it includes the texts. With --dense, vectors are searched and texts
embedded instead, as `dense.py` describes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dense
import numpy as np
import psutil
from scipy.sparse import csr_matrix

from crossforge.documents import Document, read_documents
from crossforge.openvino_sessions import has_native_bf16
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.language import stop_words
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.retrievers.weighting import Weighting

DEPTH, QUERY_WORDS, CHUNK = 100, 10, 20_000
# Memory limit for the score matrix of `cosine_similarity`, which is skipped beyond it.
TABLE_BYTES = 4e9
COMPARED = ("bm25s", "numba")  # optional libraries, recognised in the names of the systems that need them
# Each query's top scores, on which two systems doing the same work agree up to rounding.
Scores = list[list[float]]
Measured = dict[str, Any]  # the result of `_measure`, passed between processes as JSON
Systems = dict[str, Callable[[list[str], list[str], Path], tuple[float, float, Scores]]]


def main() -> None:
    """Measure every system at every size, each in its own process, and print a table."""
    options = _options()
    if not (options.collection / "corpus.jsonl").is_file():
        sys.exit(f"skipped: {options.collection} has no corpus.jsonl; pass a collection in BEIR layout")
    if options.dense:
        _dense(options)
        return
    if options.system:
        print(json.dumps(_measure(options.system, options.collection, options.sizes[0], options.queries)))
        return
    print("| documents | system | index s | search s | documents × queries / s | peak GB | index on disk MB |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        found = {name: _in_a_process(options, size, name) for name in SYSTEMS if _fits(name, size, options.queries)}
        for name, row in found.items():
            print(_line(size, options.queries, name, row), flush=True)
        for ours, theirs in (("crossforge bm25", "bm25s"), ("crossforge tfidf", "cosine_similarity")):
            if ours in found and theirs in found:
                print(_comparison(ours, found[ours], theirs, found[theirs]), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of documents")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dense", action="store_true", help="vectors in place of words")
    parser.add_argument("--vectors", type=Path, help="with --dense --system: the vectors to search")
    parser.add_argument("--texts", type=int, default=400, help="with --dense: documents to embed")
    systems = [*SYSTEMS, *dense.SEARCHES, *dense.EMBEDDERS]
    parser.add_argument("--system", choices=systems, help="measure this system here, at the first size; prints JSON")
    return parser.parse_args()


def _dense(options: argparse.Namespace) -> None:
    """Search vectors and embed texts with each system in its own process, and print a table of each."""
    if options.system:
        with Peak() as peak:
            found = _dense_system(options)
        print(json.dumps({**found, "peak": peak.bytes / 1e9}))
        return
    titles = ("index s", "search s", "of the processor", "one query ms", "of the processor", "of the exact best 100")
    print(f"| vectors | queries | system | {' | '.join(titles)} | peak GB |")
    print("|---" * (len(titles) + 4) + "|")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "vectors.npy"
            dense.write_vectors(path, size)
            command = ["--dense", "--vectors", str(path)]
            found = {name: _in_a_process(options, size, name, *command) for name in dense.SEARCHES if _is_there(name)}
        least = np.array(found["crossforge dense"]["scores"])[:, -1:] - 1e-5  # what is among the best
        for name, row in found.items():
            share = np.mean(
                [np.mean(np.array(scores) >= last) for scores, last in zip(row["scores"], least, strict=True)]
            )
            seconds = f"{row['ready']:.1f} | {row['search']:.1f} | {row['search_cpu']:.1f}"
            one = f"{row['one']:.1f} | {row['one_cpu']:.1f}"
            print(
                f"| {size:,} | {options.queries:,} | {name} | {seconds} | {one} | {share:.1%} | {row['peak']:.2f} |",
                flush=True,
            )
    print("\n| system | texts / s | texts / s of the processor | peak GB |\n|---|---|---|---|")
    embedded = {name: _in_a_process(options, 0, name, "--dense") for name in dense.EMBEDDERS if _is_there(name)}
    for name, row in embedded.items():
        print(f"| {name} | {row['speed']:.1f} | {row['speed_cpu']:.1f} | {row['peak']:.2f} |", flush=True)
    *ours, theirs = [np.array(row["vectors"]) for row in embedded.values()]
    for name, vectors in zip(embedded, ours, strict=False):
        least = np.sum(vectors * theirs, axis=1).min()
        print(f"<!-- {name}: cosines with the last row's vectors are {least:.6f} at least -->")


def _dense_system(options: argparse.Namespace) -> Measured:
    if options.system in dense.EMBEDDERS:
        speed, cpu, vectors = dense.embed(options.system, options.collection, options.texts)
        return {"speed": speed, "speed_cpu": cpu, "vectors": vectors}
    if options.vectors is None:
        sys.exit("--dense --system: name the vectors to search with --vectors")
    return dense.search(options.system, options.vectors, options.queries)._asdict()


def _is_there(system: str) -> bool:
    if system in dense.IN_BF16 and not has_native_bf16():
        print(f"<!-- skipped {system}: no OpenVINO, or a CPU without native bf16 -->")
        return False
    library = dense.LIBRARIES.get(system)
    if library and find_spec(library) is None:
        print(f"<!-- skipped {system}: {library} is not installed -->")
        return False
    return True


def _fits(system: str, size: int, queries: int) -> bool:
    if missing := [library for library in system.split() if library in COMPARED and find_spec(library) is None]:
        print(f"<!-- skipped {system}: {missing[0]} is not installed -->")
        return False
    return system != "cosine_similarity" or 8 * size * queries < TABLE_BYTES


def _in_a_process(options: argparse.Namespace, size: int, system: str, *further: str) -> Measured:
    command = [sys.executable, __file__, str(options.collection), "--system", system, *further]
    command += ["--sizes", str(size), "--queries", str(options.queries), "--texts", str(options.texts)]
    measured: Measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def _line(size: int, queries: int, name: str, row: Measured) -> str:
    rate = size * queries / row["search"]
    disk = f"{row['disk'] / 1e6:,.0f}" if row["disk"] else "–"
    return f"| {size:,} | {name} | {row['index']:.1f} | {row['search']:.1f} | {rate:.3g} | {row['peak']:.2f} | {disk} |"


def _comparison(ours: str, mine: Measured, theirs: str, other: Measured) -> str:
    same = np.mean([np.allclose(a, b, rtol=1e-4) for a, b in zip(mine["scores"], other["scores"], strict=True)])
    index, search = other["index"] / mine["index"], other["search"] / mine["search"]
    total = (other["index"] + other["search"]) / (mine["index"] + mine["search"])
    return (
        f"<!-- {ours} against {theirs}: index {index:.2f} x, search {search:.2f} x, both {total:.2f} x as fast;"
        f" same top scores for {same:.1%} of the compared queries -->"
    )


def _measure(system: str, collection: Path, size: int, queries: int) -> Measured:
    texts, asked = grow(collection, size, queries)
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        index, search, scores = SYSTEMS[system](texts, asked, Path(folder) / "index")
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {"index": index, "search": search, "disk": disk, "peak": peak.bytes / 1e9, "scores": scores[:200]}


def grow(collection: Path, size: int, queries: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Generate document and query texts as the module's docstring describes."""
    draw = np.random.default_rng(seed)
    texts = list(grown_texts(collection, size, draw))
    return texts, drawn_queries(texts.__getitem__, size, queries, draw)


def grown_texts(collection: Path, size: int, draw: np.random.Generator) -> Iterator[str]:
    """The documents' texts, a chunk in memory at a time."""
    lengths = np.maximum(5, draw.lognormal(np.log(100) - 0.4**2 / 2, 0.4, size)).astype(np.int64)
    vocabulary = _vocabulary(collection, int(50 * np.sqrt(lengths.sum())), draw)
    chances = np.cumsum(1 / (np.arange(len(vocabulary)) + 2.7))
    for start in range(0, size, CHUNK):
        ends = np.cumsum(lengths[start : start + CHUNK])
        ranks = np.searchsorted(chances, draw.random(ends[-1]) * chances[-1])
        words = vocabulary[np.minimum(ranks, len(vocabulary) - 1)]
        for end, length in zip(ends, np.diff(ends, prepend=0), strict=True):
            yield " ".join(words[end - length : end])


def drawn_queries(text_of: Callable[[int], str], size: int, queries: int, draw: np.random.Generator) -> list[str]:
    """Queries of words from documents, by the random numbers that the texts have left."""
    sources = [text_of(int(position)).split() for position in draw.integers(0, size, queries)]
    return [" ".join(draw.choice(words, QUERY_WORDS)) for words in sources]


def _vocabulary(collection: Path, size: int, draw: np.random.Generator) -> np.ndarray:
    counts: Counter[str] = Counter()
    for document in read_documents(collection / "corpus.jsonl"):
        counts.update(re.findall(r"\w+", document.full_text.lower()))
    words = [word for word, _ in counts.most_common(size)]
    rarer = words[len(words) // 10 :]
    missing = size - len(words)
    words += [rarer[first] + rarer[second] for first, second in draw.integers(0, len(rarer), (missing, 2))]
    return np.array(words, dtype=object)


class Peak:
    """Peak memory of this process and its children in bytes: `bytes` is PSS, `alone` excludes shared pages (USS)."""

    def __enter__(self) -> Peak:
        self.bytes = self.alone = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            held = [_held(process) for process in (me, *me.children(recursive=True))]
            self.bytes = max(self.bytes, sum(shared for shared, _ in held))
            self.alone = max(self.alone, sum(alone for _, alone in held))
            if self._over.wait(0.5):
                return


def _held(process: psutil.Process) -> tuple[int, int]:
    try:
        found = process.memory_full_info()
    except psutil.Error:  # the process has just ended
        return 0, 0
    return found.pss, found.uss


def _crossforge(weighting: Weighting) -> Callable[[list[str], list[str], Path], tuple[float, float, Scores]]:
    def run(texts: list[str], queries: list[str], folder: Path) -> tuple[float, float, Scores]:
        documents = [Document(str(position), text) for position, text in enumerate(texts)]
        start = time.perf_counter()
        TfidfRetriever.fit(documents, Analyzer(), weighting=weighting).save(folder)
        indexed = time.perf_counter()
        found = TfidfRetriever.load(folder).search({str(n): query for n, query in enumerate(queries)}, DEPTH)
        searched = time.perf_counter()
        scores = [[score for _, score in best] + [0.0] * (DEPTH - len(best)) for best in found.values()]
        return indexed - start, searched - indexed, scores

    return run


def _bm25s(backend: str) -> Callable[[list[str], list[str], Path], tuple[float, float, Scores]]:
    return lambda texts, queries, folder: _with_bm25s(texts, queries, folder, backend)


def _with_bm25s(texts: list[str], queries: list[str], folder: Path, backend: str) -> tuple[float, float, Scores]:
    import bm25s
    import Stemmer

    # Same terms as ours: keep one-letter words, use our stop words.
    same = {"token_pattern": r"(?u)\b\w+\b", "stopwords": sorted(stop_words("english")), "show_progress": False}
    start = time.perf_counter()
    retriever = bm25s.BM25(k1=0.9, b=0.4, method="lucene", backend=backend)
    retriever.index(bm25s.tokenize(texts, stemmer=Stemmer.Stemmer("english"), **same), show_progress=False)
    retriever.save(folder)
    indexed = time.perf_counter()
    retriever = bm25s.BM25.load(folder, mmap=True)
    asked = bm25s.tokenize(queries, stemmer=Stemmer.Stemmer("english"), **same)
    _, scores = retriever.retrieve(asked, k=DEPTH, n_threads=psutil.cpu_count(), show_progress=False)
    searched = time.perf_counter()
    return indexed - start, searched - indexed, np.asarray(scores).tolist()


def _cosine_similarity(texts: list[str], queries: list[str], folder: Path) -> tuple[float, float, Scores]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    start = time.perf_counter()
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=Analyzer().terms, dtype=np.float32)
    documents: csr_matrix = vectorizer.fit_transform(texts)
    indexed = time.perf_counter()
    table = cosine_similarity(vectorizer.transform(queries), documents)
    best = np.take_along_axis(table, np.argpartition(table, -DEPTH)[:, -DEPTH:], axis=1)
    best = -np.sort(-best)
    return indexed - start, time.perf_counter() - indexed, best.tolist()


SYSTEMS: Systems = {
    "crossforge bm25": _crossforge("bm25"),
    "bm25s": _bm25s("numpy"),
    "bm25s numba": _bm25s("numba"),
    "crossforge tfidf": _crossforge("tfidf"),
    "cosine_similarity": _cosine_similarity,
}

if __name__ == "__main__":
    main()
