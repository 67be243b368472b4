"""One reranker under many threads, in forked processes and in ones that were started afresh."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from crossforge import Reranker
from crossforge.loading import Parts

QUERY, TEXTS = "bread oven", ["bread " * n + "sail" for n in range(40)]


@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
def test_sixty_four_threads_get_the_same_scores(toy_package, backend):
    reranker = Reranker(toy_package, backend=backend)
    expected = reranker.rank(QUERY, TEXTS)
    together = threading.Barrier(64)

    def rank(_):
        together.wait(timeout=60)
        return reranker.rank(QUERY, TEXTS)

    with ThreadPoolExecutor(64) as pool:
        for found in pool.map(rank, range(64)):
            assert [result.doc_id for result in found] == [result.doc_id for result in expected]
            assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-6)


@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
def test_a_forked_process_scores_with_what_was_loaded_before(toy_package, backend):
    reranker = Reranker(toy_package, backend=backend)
    before = reranker.score(QUERY, TEXTS)  # the threads of the backend are running now
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that waits for threads it does not have is ended
        os.write(writing, reranker.score(QUERY, TEXTS).tobytes())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        found = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    # Sums over one thread and over several may differ in the last bit.
    assert np.frombuffer(found, dtype=np.float32) == pytest.approx(before, abs=1e-6)


def test_a_reranker_can_be_sent_to_a_process_that_was_spawned(toy_package):
    reranker = Reranker(toy_package, max_length=20)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(reranker.score, QUERY, TEXTS).result(timeout=120)
    assert found.tolist() == reranker.score(QUERY, TEXTS).tolist()
    assert found.tolist() != Reranker(toy_package).score(QUERY, TEXTS).tolist()


def test_a_reranker_without_a_folder_cannot_be_sent(toy_package):
    reranker = Reranker(toy_package)
    parts = Parts(reranker.tokenizer, reranker._parts.backend, reranker.manifest)
    with pytest.raises(TypeError, match="cannot be pickled or sent to another process"):
        Reranker.from_parts(parts).__reduce__()
