"""CROSSFORGE_THREADS bounds what a model computes with."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossforge.embedding.encoder import Encoder
from crossforge.errors import InputError
from crossforge.threads import threads


def test_libraries_choose_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSFORGE_THREADS", raising=False)
    assert threads() is None


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_what_is_no_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CROSSFORGE_THREADS", value)
    with pytest.raises(InputError, match=f"^CROSSFORGE_THREADS is '{value}'; expected a whole number of 1 or more$"):
        threads()


def test_sessions_keep_to_it(monkeypatch: pytest.MonkeyPatch, tiny_onnx: Path) -> None:
    monkeypatch.setenv("CROSSFORGE_THREADS", "3")
    assert Encoder(tiny_onnx)._session.get_session_options().intra_op_num_threads == 3


@pytest.mark.parametrize("backend", ["onnx", "torch", "openvino"])
def test_backends_keep_to_it(
    monkeypatch: pytest.MonkeyPatch, toy_package: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    import torch

    from crossforge import Reranker

    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("CROSSFORGE_THREADS", "1")
    request.addfinalizer(lambda before=torch.get_num_threads(): torch.set_num_threads(before))
    torch.set_num_threads(2)
    found = Reranker(toy_package, backend=backend, verify="off")._parts.backend
    limits = {
        "onnx": lambda: found._session.get_session_options().intra_op_num_threads,
        "torch": torch.get_num_threads,
        "openvino": lambda: found._model.get_property("INFERENCE_NUM_THREADS"),
    }
    assert limits[backend]() == 1
