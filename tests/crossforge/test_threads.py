"""`CROSSFORGE_THREADS`: what computes with threads takes as many, and no more."""

import subprocess
import sys
from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge.threads import THREADS_VARIABLE, limited_to, thread_count


def test_without_the_variable_each_library_decides(monkeypatch):
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert thread_count() is None
    monkeypatch.setenv(THREADS_VARIABLE, " 3 ")
    assert thread_count() == 3


@pytest.mark.parametrize("wrong", ["", "0", "-1", "many", "1.5", "²"])
def test_what_is_no_number_of_threads_is_told(monkeypatch, wrong):
    monkeypatch.setenv(THREADS_VARIABLE, wrong)
    with pytest.raises(InputError, match=f"{THREADS_VARIABLE} is '{wrong}'"):
        thread_count()


def test_the_variables_of_other_libraries_say_the_same():
    found = limited_to(2)
    assert found[THREADS_VARIABLE] == found["OMP_NUM_THREADS"] == "2"
    assert set(found.values()) == {"2"}


COUNT = """
import sys
from pathlib import Path
import onnxruntime
from crossforge.onnx_sessions import open_session
def threads():
    return len(list(Path("/proc/self/task").iterdir()))
before = threads()
session = open_session(Path(sys.argv[1]))
print(threads() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
@pytest.mark.parametrize("count", [1, 5])
def test_a_session_starts_as_many_threads_as_it_may(toy_package, count):
    found = subprocess.run(
        [sys.executable, "-c", COUNT, toy_package / "onnx" / "model.onnx"], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path), THREADS_VARIABLE: str(count)},
    )  # fmt: skip
    assert int(found.stdout) == count - 1  # the calling thread computes, too


@pytest.mark.parametrize("backend", ["onnx", "torch", "openvino"])
def test_backends_keep_to_it(
    monkeypatch: pytest.MonkeyPatch, toy_package: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    import torch

    from crossforge import Reranker

    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv(THREADS_VARIABLE, "1")
    request.addfinalizer(lambda before=torch.get_num_threads(): torch.set_num_threads(before))
    torch.set_num_threads(2)
    found = Reranker(toy_package, backend=backend, verify="off")._parts.backend
    limits = {
        "onnx": lambda: found._session.get_session_options().intra_op_num_threads,
        "torch": torch.get_num_threads,
        "openvino": lambda: found._session.model.get_property("INFERENCE_NUM_THREADS"),
    }
    assert limits[backend]() == 1
