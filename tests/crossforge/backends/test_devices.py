"""Where a backend computes, as far as a machine without a GPU can show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossforge import Reranker
from crossforge.backends import onnx
from crossforge.backends.base import Backend
from crossforge.backends.devices import onnx_providers, require_device, torch_device
from crossforge.backends.registry import BACKENDS
from crossforge.errors import CrossforgeError, InputError, PackageError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
TEXTS = ["bread oven yeast", "a boat", "old bread " * 30]


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", 1, None])
def test_what_is_no_device_is_told_in_one_line(device: object) -> None:
    with pytest.raises(InputError, match="expected auto, cpu, cuda, cuda:NUMBER or mps"):
        require_device(device)  # type: ignore[arg-type]


def test_torch_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for count in (0, 2):
        monkeypatch.setattr(torch.cuda, "is_available", lambda count=count: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert torch_device("auto") == ("cuda" if count else "cpu")
        assert torch_device("cpu") == "cpu"
        with pytest.raises(InputError, match=f"torch finds {count} CUDA GPUs"):
            torch_device("cuda:2")
    assert torch_device("cuda:1") == "cuda:1"


def test_onnx_runtime_takes_cuda_where_it_is_installed() -> None:
    assert onnx_providers("auto", [CPU]) == onnx_providers("cpu", [CUDA, CPU]) == [CPU]
    for device, number in (("auto", 0), ("cuda", 0), ("cuda:1", 1)):
        (name, options), last = onnx_providers(device, [CUDA, CPU])
        assert (name, last) == (CUDA, CPU)
        assert options == {"device_id": number, "use_tf32": 0}
    for device, why in (("cuda", "no CUDA provider: pip uninstall onnxruntime"), ("mps", "does not compute on mps")):
        with pytest.raises(CrossforgeError, match=why):
            onnx_providers(device, [CPU])


def test_a_gpu_that_is_named_is_used_or_missed_in_one_line(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened_with(*used: str) -> Callable[..., Any]:
        session = SimpleNamespace(get_inputs=list, get_providers=lambda: list(used))
        return lambda path, providers: session

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnx, "open_session", opened_with(CUDA, CPU))
    assert onnx.open_fp32(toy_package, "cuda:1").device == "cuda"
    monkeypatch.setattr(onnx, "open_session", opened_with(CPU))  # as where cuDNN is missing
    assert onnx.open_fp32(toy_package, "auto").device == "cpu"
    with pytest.raises(PackageError, match=r"device='cuda:1': .* CUDA and cuDNN") as caught:
        onnx.open_fp32(toy_package, "cuda:1")
    assert "\n" not in str(caught.value)


def test_half_precision_is_near_fp32(toy_package: Path) -> None:
    exact = Reranker(toy_package, backend="torch", device="cpu").score("bread", TEXTS)
    half = Reranker(toy_package, backend="torch-bf16", device="cpu")
    assert half.backend_name == "torch-bf16"
    found = half.score("bread", TEXTS)
    assert found.dtype == exact.dtype
    assert found == pytest.approx(exact, abs=0.2)
    assert abs(found - exact).max() > 1e-5, "it was not computed in fp32"


def test_a_backend_of_the_cpu_refuses_a_gpu(toy_package: Path) -> None:
    assert Reranker(toy_package, device="cpu").backend_name == "onnx"
    with pytest.raises(InputError, match="onnx-int8 computes on the CPU"):
        Reranker(toy_package, backend="onnx-int8", device="cuda")
    with pytest.raises(InputError, match="expected auto"):
        Reranker(toy_package, device="tpu")


def test_a_backend_is_told_the_device_if_it_takes_one(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    opens = BACKENDS.load("torch")

    def anywhere(folder: Path, device: str) -> Backend:
        told.append(device)
        return opens(folder, device)

    monkeypatch.setattr(BACKENDS, "load", lambda name: anywhere)
    assert Reranker(toy_package, backend="torch", device="cpu").score("bread", TEXTS).shape == (len(TEXTS),)
    assert told == ["cpu"]
    monkeypatch.setattr(BACKENDS, "load", lambda name: lambda folder: opens(folder, "cpu"))
    assert Reranker(toy_package, backend="torch", device="cpu").score("bread", TEXTS).shape == (len(TEXTS),)
