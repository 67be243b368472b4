"""Data sets of a hub and of `ir_datasets`, read by the real libraries: from a small local hub, and offline."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from reading import DOCUMENTS, PAIRS, QUERIES, SPLITS, TEST, TRAIN, by_text, problem, read
from support import write_lines

README = """---
configs:
- config_name: pairs
  data_files: [{split: train, path: pairs/train.jsonl}, {split: test, path: pairs/test.jsonl}]
- config_name: corpus
  data_files: [{split: corpus, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: queries, path: queries.jsonl}]
- config_name: judged
  data_files: [{split: train, path: qrels/train.jsonl}, {split: test, path: qrels/test.jsonl}]
---
"""
SHEET = """---
configs: [{config_name: sheet, data_files: [{split: test, path: more.csv}, {split: train, path: sheet.csv}]}]
---
"""
COLLECTION = {"corpus": "corpus", "queries": "queries", "qrels": "judged"}
READ = """
import json, sys
from crossforge.errors import InputError
from crossforge_train.collections.readers.reader import read_source
from crossforge_train.config.sources import AnySource

for line in sys.stdin:
    try:
        found = read_source(AnySource(datasets=json.loads(line)))
        held = {"documents": len(found.corpus), "queries": found.queries, "splits": found.splits}
        held |= {"texts": [document.text for document in found.corpus.values()], "fields": found.query_fields}
        print(json.dumps(held))
    except InputError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A data set as its repository on the hub is: a README that declares configurations, and files."""
    folder = tmp_path / "repository"
    tables = {
        "corpus": DOCUMENTS, "queries": QUERIES, "qrels/train": TRAIN, "qrels/test": TEST,
        "pairs/train": PAIRS, "pairs/test": PAIRS[:1],
    }  # fmt: skip
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(folder / f"{name}.jsonl", rows)
    (folder / "README.md").write_text(README)
    return folder


@pytest.fixture
def hub(repository: Path) -> Iterator[str]:
    """The address of a hub that holds `owner/name` at one commit, as far as the libraries ask it."""
    commit, about, files = "1" * 40, "/api/datasets/owner/name/", "/datasets/owner/name/resolve/"

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            names = [one.relative_to(repository).as_posix() for one in sorted(repository.rglob("*")) if one.is_file()]
            if path.startswith(f"{about}tree/{commit}"):
                sizes = {name: (repository / name).stat().st_size for name in names}
                self.answer([{"type": "file", "path": name, "size": sizes[name], "oid": "a"} for name in names])
            elif path.startswith(f"{about}revision/"):
                siblings = [{"rfilename": name} for name in names]
                self.answer({"id": "owner/name", "sha": commit, "siblings": siblings})
            elif path.startswith(files) and path.removeprefix(files).partition("/")[2] in names:
                content = (repository / path.removeprefix(files).partition("/")[2]).read_bytes()
                etag = hashlib.sha256(content).hexdigest()
                self.send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})
            else:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET  # noqa: N815

        def answer(self, value: object) -> None:
            self.send(200, json.dumps(value).encode(), {})

        def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def read_apart(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Reads sources in a process of its own, since the libraries take their settings when they are imported."""

    def read_all(*sources: dict, **environment: str) -> list[dict[str, Any]]:
        variables = {**os.environ, "HF_HOME": str(tmp_path / "home"), **environment}
        lines = "".join(json.dumps(source) + "\n" for source in sources)
        found = subprocess.run(
            [sys.executable, "-c", READ], input=lines, capture_output=True, text=True, env=variables, check=True
        )
        return [json.loads(line) for line in found.stdout.splitlines()]

    return read_all


@pytest.mark.slow
def test_a_hub_id_is_fetched_and_from_then_on_read_without_the_hub(
    hub: str, read_apart: Callable[..., list[dict[str, Any]]]
) -> None:
    pairs, whole = {"path": "owner/name", "config": "pairs"}, {"path": "owner/name", **COLLECTION}
    first = read_apart(pairs, whole, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    assert {split: len(qrels) for split, qrels in first[0]["splits"].items()} == {"train": 2, "test": 1}
    assert (first[1]["documents"], first[1]["splits"]) == (2, SPLITS)
    assert first[1]["queries"] == {"q1": "what", "q2": "why"}
    nothing = {"path": "owner/other"}
    again = read_apart(pairs, whole, nothing, HF_ENDPOINT=hub, HF_HUB_OFFLINE="1")
    assert again[:2] == first
    assert again[2]["error"].startswith("owner/other: not a data set that can be loaded (")
    assert "offline" in again[2]["error"].lower()
    assert "\n" not in again[2]["error"]


@pytest.mark.slow
def test_csv_of_the_hub_stays_what_it_is_without_the_hub_too(
    hub: str, repository: Path, read_apart: Callable[..., list[dict[str, Any]]]
) -> None:
    shutil.rmtree(repository)
    repository.mkdir()
    (repository / "README.md").write_text(SHEET)
    (repository / "sheet.csv").write_text("query,text\nnull,007\n12,NA\n")
    (repository / "more.csv").write_text("query,text\n1,2\n")  # of another type, by the library's guess
    for offline in ("0", "1"):
        (found,) = read_apart({"path": "owner/name", "config": "sheet"}, HF_ENDPOINT=hub, HF_HUB_OFFLINE=offline)
        assert set(found["queries"].values()) == {"null", "12", "1"}


DAYS = [{"query": "2024-01-05", "text": "2024-01-06", "when": "2024-01-07T10:00:00Z", "n": 7}]
WORDS = [{"query": "2024-01-05 or so", "text": "2024", "when": "never", "n": 8}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(DAYS, DAYS, id="guessed to be times"),
        pytest.param(WORDS, DAYS, id="guessed to be texts, then times that would be written otherwise"),
        pytest.param(DAYS, WORDS, id="guessed to be times, which what follows is not"),
    ],
)
def test_json_of_the_hub_stays_what_it_is_without_the_hub_too(
    hub: str, repository: Path, read_apart: Callable[..., list[dict[str, Any]]], first: list, second: list
) -> None:
    write_lines(repository / "pairs/train.jsonl", first)
    (repository / "pairs/test.jsonl").unlink()
    (repository / "pairs/test.jsonl.gz").write_bytes(gzip.compress(json.dumps(second[0]).encode()))
    (repository / "README.md").write_text(
        README.replace("test.jsonl}]\n- config_name: corpus", "test.jsonl.gz}]\n- config_name: corpus")
    )
    source = {"path": "owner/name", "config": "pairs"}
    for offline in ("0", "1"):
        (found,) = read_apart(source, HF_ENDPOINT=hub, HF_HUB_OFFLINE=offline)
        rows = (first[0], second[0])
        assert sorted(found["queries"].values()) == sorted(row["query"] for row in rows)
        assert set(found["texts"]) == {row["text"] for row in rows}
        fields = [(held["when"], held["n"]) for held in found["fields"].values()]
        assert sorted(fields) == sorted((row["when"], row["n"]) for row in rows)


@pytest.mark.slow
def test_a_configuration_that_the_hub_no_longer_has_is_told(
    hub: str, repository: Path, read_apart: Callable[..., list[dict[str, Any]]]
) -> None:
    source = {"path": "owner/name", "config": "pairs"}
    assert "queries" in read_apart(source, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")[0]
    (repository / "README.md").write_text(README.replace("config_name: pairs", "config_name: others"))
    (found,) = read_apart(source, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0", HF_HUB_CACHE=str(repository.parent / "anew"))
    assert "'others'" in found["error"]


def test_what_the_hub_does_not_have_is_told_in_one_line(
    hub: str, read_apart: Callable[..., list[dict[str, Any]]]
) -> None:
    sources = [{"path": "owner/other"}, {"path": "owner/name", "config": "triples"}]
    missing, config = read_apart(*sources, HF_ENDPOINT=hub, HF_HUB_OFFLINE="0")
    assert missing["error"].startswith("owner/other: not a data set that can be loaded (")
    assert config["error"].startswith("owner/name, triples: not a data set that can be loaded (")
    assert "'pairs'" in config["error"], "the library names those that there are"


def test_a_copy_of_a_hub_repository_is_read_by_the_configurations_that_it_declares(repository: Path) -> None:
    found = read(datasets={"path": str(repository), "config": "pairs"})
    assert by_text(found, "test") == {"q one": {"text a": 1}}
    assert read(datasets={"path": str(repository), **COLLECTION}).splits == SPLITS
    assert "triples" in problem(datasets={"path": str(repository), "config": "triples"})


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real library knows toy/train and toy/test; toy/bare, without judgements; toy/far, which is nowhere."""
    ir_datasets = pytest.importorskip("ir_datasets", reason="needs crossforge[ir-datasets]")
    from ir_datasets.datasets.beir import BeirTitleDoc
    from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
    from ir_datasets.util import Download, LocalDownload, RequestsDownload

    def local(name: str, rows: list[list[str]], separator: str = "\t") -> Any:
        (tmp_path / name).write_text("".join(separator.join(row) + "\n" for row in rows))
        return LocalDownload(tmp_path / name)

    lines = [[row["_id"], row["text"], row["title"]] for row in DOCUMENTS]
    docs = TsvDocs(local("docs.tsv", lines), BeirTitleDoc, namespace="toy", lang="en")
    queries = TsvQueries(local("queries.tsv", [[row["_id"], row["text"]] for row in QUERIES]), lang="en")
    grades = {0: "not relevant", 1: "relevant", 2: "very relevant"}
    for split, rows in (("train", TRAIN), ("test", TEST)):
        lines = [[str(row["query-id"]), "0", str(row["corpus-id"]), str(row["score"])] for row in rows]
        qrels = TrecQrels(local(f"{split}.qrels", lines, " "), grades)
        monkeypatch.setitem(ir_datasets.registry._registered, f"toy/{split}", ir_datasets.Dataset(docs, queries, qrels))
    nowhere = Download([RequestsDownload("http://127.0.0.1:9/docs.tsv", tries=1)], cache_path=str(tmp_path / "far.tsv"))
    far = ir_datasets.Dataset(TsvDocs(nowhere, namespace="far", lang="en"), queries, qrels)
    for name, dataset in (("toy/bare", ir_datasets.Dataset(docs, queries)), ("toy/far", far)):
        monkeypatch.setitem(ir_datasets.registry._registered, name, dataset)


@pytest.mark.usefixtures("registered")
def test_ir_datasets_are_read_a_split_each() -> None:
    found = read(ir_datasets={"train": "toy/train", "test": "toy/test"})
    assert found.splits == SPLITS
    assert found.queries == {"q1": "what", "q2": "why"}
    assert found.corpus["d1"].full_text == "One\nfirst, text"
    assert list(read(ir_datasets="toy/train").splits) == ["train"]


@pytest.mark.usefixtures("registered")
def test_an_ir_dataset_that_cannot_serve_is_named() -> None:
    assert problem(ir_datasets="nothing") == "ir_datasets: there is no data set 'nothing'"
    assert problem(ir_datasets="toy/bare").startswith("ir_datasets: toy/bare has no qrels; name one that has docs")


@pytest.mark.usefixtures("registered")
def test_an_ir_dataset_that_cannot_be_fetched_is_told_in_one_line() -> None:
    message = problem(ir_datasets="toy/far")
    assert message.startswith("ir_datasets: toy/far: cannot be fetched (")
    assert "\n" not in message
