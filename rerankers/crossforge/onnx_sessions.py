"""Opens ONNX models with ONNX Runtime, and writes copies of them whose weights several processes share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError
from crossforge.threads import thread_count

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Smaller tensors stay in the model itself.
_LEAST_BYTES = 1024


def open_session(path: Path, providers: Sequence[Any] = (CPU,)) -> Any:
    """ONNX Runtime's session of a model.

    Args:
        path: the model.
        providers: what computes it.

    Raises:
        PackageError: ONNX Runtime cannot load it.
    """
    return _session(path, providers, {})


def write_mapped(source: Path, target: Path) -> None:
    """Write a model as ONNX Runtime computes it on this machine's CPU: fused, its weights in a file beside it.

    Sessions of the copy give the same numbers, but map the weights, so that processes hold them once together. Weights
    are stored as the kernels read them ("prepacked") where ONNX Runtime can do so; otherwise each process repacks some.

    Args:
        source: the model.
        target: the copy; the weights go to a file of its name with `.weights` behind it.

    Raises:
        PackageError: ONNX Runtime cannot load it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _session(
        source, [CPU],
        {
            "session.optimized_model_external_initializers_file_name": f"{target.name}.weights",
            "session.optimized_model_external_initializers_min_size_in_bytes": str(_LEAST_BYTES),
            "session.save_external_prepacked_constant_initializers": "1",
        },
        optimized=target,
    )  # fmt: skip


def _session(path: Path, providers: Sequence[Any], entries: dict[str, str], optimized: Path | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = thread_count() or 0  # 0: one a core
    if optimized:
        options.optimized_model_filepath = str(optimized)
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=list(providers))
    except Exception as error:  # onnxruntime raises its own classes, which are not exported
        raise PackageError(f"{path}: ONNX Runtime cannot load it ({error})") from None
