"""examples/ray_serve.py on a local Ray: it ranks as the package does, in batches, and refuses what it cannot read."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import TOY_QUERY

pytest.importorskip("ray", reason='Ray is not installed: pip install "ray[serve]"')
pytest.importorskip("ray.serve", reason='Ray Serve is not installed: pip install "ray[serve]"')

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_serve.py"
PATIENCE = 600

pytestmark = pytest.mark.slow


def post(address, body):
    request = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


@pytest.fixture
def service(toy_package, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, example = tmp_path / "log", tmp_path / "ray_serve.py"
    # A copy that writes down how many requests are scored together.
    line = "        pairs = ["
    counts = f"        open({str(tmp_path / 'batches')!r}, 'a').write(f'{{len(requests)}}\\n')\n"
    assert EXAMPLE.read_text().count(line) == 1
    example.write_text(EXAMPLE.read_text().replace(line, counts + line))
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, example, toy_package, "--port", str(port), "--address", "local"], stdout=output,
            stderr=output, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_SERVE_LOG_TO_STDERR": "0"},
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}/rerank"
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                post(address, {"query": "a", "documents": []})
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_it_ranks_as_the_package_does_for_many_callers(service, toy_ranked, toy_texts, tmp_path):
    expected = [(int(found.doc_id), found.probability) for found in toy_ranked]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: post(service, {"query": TOY_QUERY, "documents": toy_texts}), range(36)))
    for answer in answers:
        assert [found["index"] for found in answer["results"]] == [index for index, _ in expected]
        scores = [found["relevance_score"] for found in answer["results"]]
        assert scores == pytest.approx([probability for _, probability in expected], abs=1e-5)
    batches = [int(size) for size in (tmp_path / "batches").read_text().split()]
    assert sum(batches) == 36 + 1  # the first asks whether the service is up
    assert max(batches) > 1
    assert len(post(service, {"query": TOY_QUERY, "documents": toy_texts, "top_n": 3})["results"]) == 3
    for query in (" ", "bread " * 1000):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(service, {"query": query, "documents": ["a"]})
        assert refused.value.code == 422


def test_replicas_are_told_the_whole_path(toy_package, monkeypatch):
    spec = importlib.util.spec_from_file_location("ray_serve", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "RerankService", SimpleNamespace(bind=lambda package: package))
    monkeypatch.chdir(toy_package.parent)
    assert example.application({"package": toy_package.name}) == str(toy_package)
    assert example.application({"package": "a/hub-id"}) == "a/hub-id"
