"""Clients that read a package themselves give the order and the scores that `Reranker` gives."""

import importlib
import json
import os
import random
import subprocess
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
from clients.check import CLIENTS, check
from support import FILLER, TOPICS

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

HERE = Path(__file__).parent
# client -> the module that must be installed for it to be tested in this environment
MODULES = {
    "transformers": "transformers",
    "sentence-transformers": "sentence_transformers",
    "LangChain": "langchain_community",
    "LlamaIndex": "llama_index.core",
    "Haystack": "haystack_integrations.components.rankers.sentence_transformers",
    "rerankers": "rerankers",
    "FlashRank": "flashrank",
    "FastEmbed": "fastembed",
    "txtai": "txtai",
    "LanceDB": "lancedb",
    "PyTerrier": "pyterrier",
    "Infinity": "infinity_emb",
}
# environment of its own -> the client that is tested in it
ENVIRONMENTS = {"fastembed": "FastEmbed", "sentence-transformers-5": "sentence-transformers"} | {
    "sentence-transformers-3.4": "sentence-transformers", "flashrank": "FlashRank", "infinity": "Infinity",
}  # fmt: skip


@pytest.fixture(scope="session")
def reference(toy_package, toy_reranker):
    """Twenty queries, fifty documents, and the logits of `Reranker`."""
    draw = random.Random(5)
    words = " ".join(TOPICS.values()).split()
    documents = [" ".join(draw.choices(words + FILLER, k=draw.randint(3, 36))) + "." for _ in range(50)]
    queries = [" ".join(draw.sample(words, 3)) for _ in range(20)]
    logits = {query: toy_reranker.score(query, documents).tolist() for query in queries}
    assert len(set(documents)) == 50
    assert not any(found.truncated for query in queries for found in toy_reranker.rank(query, documents))
    return {"package": str(toy_package), "documents": documents, "logits": logits}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_is_installed_orders_and_scores_alike(client, reference):
    try:
        importlib.import_module(MODULES[client])
    except ImportError as error:
        pytest.skip(f"{client} cannot be imported here: {error}")
    check(reference, client)


def test_a_wrong_order_and_wrong_scores_are_found(reference):
    first, *others = reference["logits"].items()
    turned = {first[0]: [-logit for logit in first[1]], **dict(others)}
    shifted = {query: [logit + 0.01 for logit in logits] for query, logits in reference["logits"].items()}
    with pytest.raises(AssertionError, match="another order"):
        check({**reference, "logits": turned}, "sentence-transformers")
    with pytest.raises(AssertionError, match="scores differ"):
        check({**reference, "logits": shifted}, "sentence-transformers")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_client_in_an_environment_of_its_own_orders_and_scores_alike(name, reference, tmp_path):
    if "CLIENTS" not in os.environ:
        pytest.skip("environments of clients are built by `make test-clients`, in the folder that CLIENTS names")
    python = environment(Path(os.environ["CLIENTS"]) / name, HERE / "requirements" / f"{name}.txt")
    (tmp_path / "reference.json").write_text(json.dumps(reference))
    command = [python, HERE / "check.py", tmp_path / "reference.json", ENVIRONMENTS[name]]
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=bare)
    assert done.returncode == 0, done.stderr[-2000:]


def environment(folder, requirements):
    """The interpreter of an environment that holds these requirements; built on first use."""
    python, finished = folder / "bin" / "python", folder / "finished"
    wanted = requirements.read_text()
    if not finished.is_file() or finished.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        # The very build of torch that is installed here, and none for other hardware.
        pinned = folder / "constraints.txt"
        pinned.write_text(f"torch=={version('torch')}\n")
        install = [python, "-m", "pip", "install", "--quiet", "-r", requirements, "-c", pinned]
        subprocess.run(install, check=True, env={**os.environ, "PIP_REQUIRE_VIRTUALENV": "1"})
        finished.write_text(wanted)
    return python


def test_every_block_of_the_docs_belongs_to_a_client():
    from clients.check import DOCS

    headings = [line[3:] for line in DOCS.read_text().splitlines() if line.startswith("## ")]
    assert headings == list(CLIENTS) == list(MODULES)
    assert {path.stem for path in (HERE / "requirements").glob("*.txt")} == set(ENVIRONMENTS)
