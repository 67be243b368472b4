"""Executes the block of one client in docs/clients.md on the reference and compares order and scores.

`python check.py REFERENCE CLIENT` runs in an environment that holds the client alone, so it needs nothing else.
"""

import json
import math
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

DOCS = Path(__file__).parents[2] / "docs" / "clients.md"
# Two exact fp32 computations differ by rounding only.
TOLERANCE = 1e-4


def same(logit):
    return logit


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def ranked_texts(text_of, score_of=lambda one: None):
    """Reads results that hold their text but not where it stood; the documents are all different."""

    def read(names):
        place = {text: n for n, text in enumerate(names["documents"])}
        return [(place[text_of(one)], score_of(one)) for one in names["ranked"]]

    return read


def in_input_order(names):
    return sorted(enumerate(names["logits"]), key=lambda pair: -pair[1])


def frame(names):
    return [(int(n), score) for n, score in names["ranked"][["docno", "score"]].itertuples(index=False)]


# client -> what its score is of a logit (None where it gives no scores), and what reads (position, score) pairs, best
# first, from its results
CLIENTS = {
    "transformers": (same, in_input_order),
    "sentence-transformers": (sigmoid, lambda names: [(one["corpus_id"], one["score"]) for one in names["ranked"]]),
    "LangChain": (None, ranked_texts(lambda one: one.page_content)),
    "LlamaIndex": (sigmoid, ranked_texts(lambda one: one.text, lambda one: one.score)),
    "Haystack": (sigmoid, ranked_texts(lambda one: one.content, lambda one: one.score)),
    "rerankers": (same, lambda names: [(int(one.doc_id), one.score) for one in names["ranked"].results]),
    "FlashRank": (sigmoid, lambda names: [(one["id"], one["score"]) for one in names["ranked"]]),
    "FastEmbed": (same, in_input_order),
    "txtai": (sigmoid, lambda names: names["ranked"]),
    "LanceDB": (sigmoid, ranked_texts(lambda one: one["text"], lambda one: one["_relevance_score"])),
    "PyTerrier": (sigmoid, frame),
    "Infinity": (same, lambda names: [(one["index"], one["relevance_score"]) for one in names["ranked"]]),
}
SECONDS_TO_START = 120


def block(client, language):
    """The first block of a language in the section of a client; None where there is none."""
    section = re.search(rf"^## {re.escape(client)}\n.*?(?=^## |\Z)", DOCS.read_text(encoding="utf-8"), re.S | re.M)[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.S)
    return found and found[1]


@contextmanager
def serving(command):
    """A server that the block of the docs starts, which says by itself at which port."""
    path, port = f"{Path(sys.executable).parent}:{os.environ['PATH']}", re.search(r"--port (\d+)", command)[1]
    server = subprocess.Popen(command.split(), env={**os.environ, "PATH": path}, stdout=sys.stderr)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        yield
    finally:
        server.terminate()
        server.wait()


def wait_for(address, server):
    end = time.monotonic() + SECONDS_TO_START
    while server.poll() is None and time.monotonic() < end:
        try:
            urlopen(address).close()
            return
        except URLError:
            time.sleep(0.2)
    raise AssertionError(f"{server.args[0]} does not answer at {address}")


def check(reference, client):
    """Raise `AssertionError` unless the client orders and scores as the reference does."""
    server = block(client, "sh")
    with serving(server.replace("PACKAGE", reference["package"])) if server else nullcontext():
        check_answers(reference, client)


def check_answers(reference, client):
    transform, results = CLIENTS[client]
    # What loads stands before the last empty line; behind it what is done for each query.
    loading, _, using = block(client, "python").rpartition("\n\n")
    names = {"package": reference["package"], "documents": reference["documents"]}
    exec(loading, names)
    for query, expected in reference["logits"].items():
        names["query"] = query
        exec(using, names)
        found = results(names)
        assert sorted(n for n, _ in found) == list(range(len(expected))), f"{client}, {query}: not every document"
        in_order = [expected[n] for n, _ in found]
        wrong = max(after - before for before, after in pairwise(in_order))
        assert wrong < TOLERANCE, f"{client}, {query}: another order (a logit higher by {wrong:.2g} stands below)"
        if transform:
            differences = [abs(score - transform(expected[n])) for n, score in found]
            assert max(differences) < TOLERANCE, f"{client}, {query}: scores differ by {max(differences):.2g}"


if __name__ == "__main__":
    check(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
