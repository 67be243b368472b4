"""Two processes on one folder, and on one file: one waits for the other or is refused, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from apart import done, error_of, started

from crossforge.files import read_json
from crossforge_train.collections.judgements import read_judgements
from crossforge_train.collections.typed_queries import read_typed_queries
from crossforge_train.config.loading import load_config

pytestmark = pytest.mark.slow

EACH = 150


def test_the_second_of_two_runs_is_refused_and_the_first_goes_on(config: Path) -> None:
    first = started("train", config, "--until", "finetune")
    for line in first.stderr:
        if "fine-tuning" in line:
            break
    first.send_signal(signal.SIGSTOP)  # so that it does not end before the second begins
    line = error_of(done("train", config, "--until", "finetune"))
    assert f"process {first.pid} on" in line
    first.send_signal(signal.SIGCONT)
    first.communicate()
    assert first.returncode == 0
    assert read_json(load_config(config).folder / "stages" / "finetune.json")["finished"]


@pytest.fixture
def services(toy_package: Path, tmp_path: Path) -> Iterator[list[str]]:
    """The addresses of two services that store judgements in one file."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: crossforge[serve]")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CROSSFORGE_API_KEY": "k"}
    command = [sys.executable, "-m", "crossforge_train", "serve", toy_package, "--port", "0"]
    processes = [
        subprocess.Popen(
            [*command, "--judgements", tmp_path / "judgements.tsv"], stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    yield [next(word for word in one.stderr.readline().split() if word.startswith("http://")) for one in processes]
    for process in processes:
        process.kill()
        process.wait()


def test_two_services_lose_no_judgement_of_one_file(services: list[str], tmp_path: Path, toy_package: Path) -> None:
    lines = (toy_package / "first_stage" / "documents.jsonl").read_text().splitlines()
    ids = [document.get("_id") or document["doc_id"] for document in map(json.loads, lines)]

    def judge(number: int) -> tuple[str, str, int]:
        query, doc_id = f"query {number % 7} of {number // len(ids)}", ids[number % len(ids)]
        body = json.dumps({"query": query, "doc_id": doc_id, "relevant": number % 2 == 0}).encode()
        headers = {"content-type": "application/json", "authorization": "Bearer k"}
        request = urllib.request.Request(f"{services[number % 2]}/v1/judgements", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 204
        return query, doc_id, int(number % 2 == 0)

    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(judge, range(2 * EACH)))
    path = tmp_path / "judgements.tsv"
    assert len(path.read_text().splitlines()) == 1 + 2 * EACH
    texts = read_typed_queries(path.with_name("judged_queries.jsonl"), pytest.fail)
    judged = read_judgements(path)
    found = [(texts[key], doc_id, label) for key, labels in judged.items() for doc_id, label in labels.items()]
    assert sorted(found) == sorted(said)
