"""`crossforge serve --workers 2`, as processes: they count together, come back when killed, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed: crossforge[serve]")

COMMAND = [sys.executable, "-c", "from crossforge_train.cli import main; main()", "serve"]
PATIENCE = 300

pytestmark = pytest.mark.slow


class Service:
    """A service of two workers, and a folder for what it leaves behind."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments), "--port", "0", "--workers", "2"], stderr=subprocess.PIPE, text=True,
            env={**environment, "CROSSFORGE_API_KEY": "k", "TMPDIR": str(folder)}, start_new_session=True,
        )  # fmt: skip
        self.said = self.process.stderr.readline()
        self.address = next((word for word in self.said.split() if word.startswith("http://")), "")

    def ask(self, path, body=None):
        headers = {"content-type": "application/json", "authorization": "Bearer k"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def counted(self, name):
        return sum(float(line.split()[-1]) for line in self.ask("/metrics").splitlines() if line.startswith(name))

    def workers(self):
        """The workers that are up: the other child of the supervisor keeps track of resources."""
        children = [one for one in psutil.Process(self.process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        return [child for child in children if "--multiprocessing-fork" in child.cmdline()]

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def serve(tmp_path):
    services = []

    def start(*arguments):
        services.append(Service(tmp_path, *arguments))
        return services[-1]

    yield start
    for service in services:
        service.end()


def copies(folder: Path) -> list[Path]:
    """What services have written for their workers."""
    return list(folder.glob("crossforge-serve-*"))


def test_two_workers_are_one_service(serve, toy_package, tmp_path):
    from crossforge_train.collections.judgements import read_judgements

    kept = tmp_path / "kept" / "judgements.tsv"
    service = serve(toy_package, "--judgements", kept)
    assert json.loads(service.ask("/health"))["documents"] == 72
    first, second = service.workers()
    service.until(lambda: len(list((copies(tmp_path)[0] / "metrics").glob("gauge_*"))) == 2)
    for worker in (first, second):
        variables = worker.environ()
        assert variables["CROSSFORGE_THREADS"] == str(max(1, psutil.cpu_count() // 2))

    def judge(number):
        body = {"query": f"bread {number % 7}", "doc_id": f"baking-{number % 12}", "relevant": number % 2 == 0}
        service.ask("/v1/judgements", body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(judge, range(84)))
    assert sum(len(judged) for judged in read_judgements(kept).values()) == 84
    assert len(kept.read_text().splitlines()) == 85
    judged = 'crossforge_requests_total{path="/v1/judgements",status="204"}'
    service.until(lambda: service.counted(judged) == 84)  # counted once it has been answered

    # One that is killed is replaced, what it counted stays, and nothing of it remains in progress.
    first.kill()
    service.until(lambda: len({one.pid for one in service.workers()} - {first.pid}) == 2)
    assert service.counted(judged) == 84
    assert len(json.loads(service.ask("/rerank", {"query": "bread", "texts": ["a", "b"]}))) == 2
    service.until(lambda: service.counted("crossforge_requests_running") == 0)

    # Told to end, the workers answer what is under way, and nothing is left behind.
    texts = ["bread oven " * 20 + str(number) for number in range(1000)]
    found = []
    body = {"query": "a", "texts": texts}
    caller = threading.Thread(target=lambda: found.extend(json.loads(service.ask("/rerank", body))))
    caller.start()
    service.until(lambda: found or service.counted("crossforge_requests_running") >= 1)
    workers = service.workers()
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=PATIENCE) == 0
    caller.join(timeout=PATIENCE)
    assert len(found) == 1000
    assert not any(worker.is_running() for worker in workers)
    assert copies(tmp_path) == []
    assert service.process.stderr.read().splitlines() == [f"worker {first.pid} ended; another one takes its place"]


def test_ctrl_c_while_workers_start_ends_them_without_a_trace(serve, toy_package, tmp_path):
    service = serve(toy_package)
    os.killpg(service.process.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    assert service.process.wait(timeout=PATIENCE) == 0
    assert service.process.stderr.read() == ""
    assert copies(tmp_path) == []


def test_workers_end_with_a_supervisor_that_is_killed(serve, toy_package):
    service = serve(toy_package)
    service.ask("/health")
    workers = service.workers()
    service.process.kill()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert alive == []


def test_a_worker_that_cannot_start_ends_the_service_with_the_reason(serve, toy_package, tmp_path):
    service = serve(toy_package)
    service.ask("/health")
    folder = copies(tmp_path)[0] / "package"
    (folder / "config.json").unlink()
    service.workers()[0].kill()
    assert service.process.wait(timeout=PATIENCE) == 1
    errors = [line for line in service.process.stderr.read().splitlines() if line.startswith("error: ")]
    assert errors == [f"error: {folder / 'config.json'}: changed since the service was started; start it again"]


def test_a_port_that_is_taken_is_told_in_one_line(toy_package, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = subprocess.run(
            [*COMMAND, toy_package, "--port", str(port), "--workers", "2"], capture_output=True, text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert f"port {port}" in found.stderr
    assert copies(tmp_path) == []
