"""What each of several workers is given: its share of requests and cores, and metrics that all count together."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: crossforge[serve]")

from crossforge.service import workers
from crossforge.service.metrics import METRICS_VARIABLE
from crossforge.service.settings import Limits, Settings
from crossforge.service.workers import for_workers, threads_of_worker


def test_workers_share_the_requests_and_none_goes_without(tmp_path):
    for requests in range(1, 70):
        for count in range(2, 9):
            of_one = for_workers(Settings(Limits(requests=requests), "key"), count, tmp_path)
            assert of_one.limits.requests >= 1
            assert requests <= of_one.limits.requests * count < requests + count
            assert (of_one.key, of_one.metrics) == ("key", tmp_path)


@pytest.mark.parametrize(("cores", "count", "threads"), [(8, 2, 4), (8, 3, 2), (2, 4, 1), (1, 1, 1)])
def test_workers_share_the_cores(monkeypatch, cores, count, threads):
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    assert threads_of_worker(count) == threads


def test_variables_are_set_for_workers_alone(monkeypatch):
    monkeypatch.setenv("SOME", "before")
    with workers._environment({"SOME": "now", "OTHER": "new"}):
        assert (os.environ["SOME"], os.environ["OTHER"]) == ("now", "new")
    assert (os.environ["SOME"], os.environ.get("OTHER")) == ("before", None)


COUNTING = """
import os, sys
from pathlib import Path
from crossforge.service.metrics import Metrics
metrics = Metrics(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    metrics.answered("/rerank", 200, 0.25)
metrics.running(int(sys.argv[3]))
metrics.computed(3, 40)
print(os.getpid())
print(metrics.text().decode())
"""


def test_processes_count_together_and_a_dead_one_has_nothing_in_progress(tmp_path):
    def counted(requests, running):
        return subprocess.run(
            [sys.executable, "-c", COUNTING, tmp_path, str(requests), str(running)], capture_output=True, text=True,
            check=True, env={METRICS_VARIABLE: str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        ).stdout.partition("\n")  # fmt: skip

    first, _, _ = counted(5, 4)
    _, _, text = counted(2, 1)
    assert 'crossforge_requests_total{path="/rerank",status="200"} 7.0' in text
    assert "crossforge_requests_running 5.0" in text
    assert "crossforge_round_pairs_sum 80.0" in text
    assert 'crossforge_request_seconds_bucket{le="0.25",path="/rerank"} 7.0' in text
    workers.forget_process(int(first), tmp_path)
    _, _, text = counted(0, 0)
    assert "crossforge_requests_running 1.0" in text
    assert 'crossforge_requests_total{path="/rerank",status="200"} 7.0' in text
