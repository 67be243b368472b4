"""The command `crossforge serve`, as a process of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from support import error_line

pytest.importorskip("uvicorn", reason="uvicorn is not installed: crossforge[serve]")

COMMAND = [sys.executable, "-c", "from crossforge_train.cli import main; main()", "serve"]


def post(address, path, body):
    request = urllib.request.Request(
        address + path, json.dumps(body).encode(), {"content-type": "application/json", "authorization": "Bearer k"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def running(address):
    """How many requests are in progress or wait."""
    request = urllib.request.Request(address + "/metrics", headers={"authorization": "Bearer k"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("crossforge_requests_running"))


@pytest.fixture
def serve():
    processes = []

    def start(*arguments, key="k"):
        environment = {name: value for name, value in os.environ.items() if name != "CROSSFORGE_API_KEY"}
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments), "--port", "0"], stderr=subprocess.PIPE, text=True,
            env={**environment, **({"CROSSFORGE_API_KEY": key} if key else {})},
        )  # fmt: skip
        processes.append(process)
        address = next(word for word in process.stderr.readline().split() if word.startswith("http://"))
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address + "/health", timeout=60).close()
                return process, address
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_it_serves_a_package_with_its_corpus_until_it_is_told_to_stop(serve, toy_package):
    process, address = serve(toy_package)
    health = json.load(urllib.request.urlopen(address + "/health", timeout=60))
    assert (health["model"], health["documents"], health["judging"]) == ("toy", 72, True)
    assert post(address, "/v1/search", {"query": "bread oven", "k": 3})["results"]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""


def test_requests_under_way_are_answered_before_it_ends(serve, toy_package):
    process, address = serve(toy_package)
    texts = ["bread oven " * 40 + str(number) for number in range(1000)]
    found = []
    caller = threading.Thread(target=lambda: found.extend(post(address, "/rerank", {"query": "a", "texts": texts})))
    caller.start()
    deadline = time.monotonic() + 60
    while not running(address):
        assert not found, "answered before it could be told to end"
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    caller.join(timeout=60)
    assert len(found) == 1000


def test_unfinished_bodies_lock_nobody_out(serve, toy_package):
    _, address = serve(toy_package, "--max-requests", "2")
    port = int(address.rpartition(":")[2])
    head = "POST /rerank HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 99\r\n\r\n{"
    with contextlib.ExitStack() as opened:
        for _ in range(64):
            unfinished = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            unfinished.sendall(head.encode())
        assert len(post(address, "/rerank", {"query": "bread", "texts": ["a", "b"]})) == 2


def test_without_a_key_only_names_that_were_given_are_answered_to(serve, toy_package):
    _, address = serve(toy_package, "--allowed-host", "search.example", key=None)
    statuses = {}
    for name in ("127.0.0.1", "search.example:80", "attacker.example"):
        request = urllib.request.Request(address + "/metrics", headers={"host": name})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                statuses[name] = answer.status
        except urllib.error.HTTPError as error:
            statuses[name] = error.code
    assert statuses == {"127.0.0.1": 200, "search.example:80": 200, "attacker.example": 403}


def test_another_corpus_can_be_served(serve, toy_package, tmp_path):
    (tmp_path / "corpus.txt").write_text("bread and oven\nsail\n")
    _, address = serve(toy_package, "--corpus", tmp_path / "corpus.txt")
    assert [found["doc_id"] for found in post(address, "/v1/search", {"query": "bread"})["results"]] == ["0"]


def test_a_port_that_is_taken_is_told_in_one_line(crossforge, toy_package):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in error_line(crossforge("serve", toy_package, "--port", port))


def test_an_empty_key_is_told_in_one_line(crossforge, toy_package, monkeypatch):
    monkeypatch.setenv("CROSSFORGE_API_KEY", " ")
    assert "CROSSFORGE_API_KEY" in error_line(crossforge("serve", toy_package))


def test_the_device_is_the_one_that_is_named(crossforge, toy_package):
    told = error_line(crossforge("serve", toy_package, "--backend", "onnx-int8", "--device", "cuda"))
    assert "onnx-int8 computes on the CPU, not on cuda" in told


def test_a_missing_extra_is_told_in_one_line(crossforge, toy_package, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'pip install "crossforge[serve]"' in error_line(crossforge("serve", toy_package))
