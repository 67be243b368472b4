"""Folds Platt scaling into a packaged model's last layer, so that the sigmoid of any client gives the probability.

A sigmoid of slope · logit + intercept is what the same layer gives with its weight and bias scaled and shifted: nothing
is approximated, and the order of documents stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.model_files import MODEL_FILE
from crossforge.calibration import Calibrator
from crossforge.files import written_atomically

Values = NDArray[np.float32]


class _Layer(NamedTuple):
    """A linear layer with one output: its file, the names of its tensors there, and their values."""

    file: Path
    weight_name: str
    bias_name: str
    weight: Values
    bias: Values


def fold_calibrator(folder: Path, calibrator: Calibrator) -> str:
    """Fold a calibrator into the last layer of a folder's safetensors and ONNX model; both change, or neither does.

    Args:
        folder: a model folder whose weights are fp32.
        calibrator: fitted to the logits of this model.

    Returns:
        Why the model cannot hold it, to be read after "since"; empty if it does now.
    """
    import onnx

    if calibrator.knots:
        return "isotonic regression is no scaling, so no layer can hold it"
    if calibrator.slope <= 0:
        return "on dev, higher logits were no more often relevant, and folding it in would lose their order"
    layers = list(_layers_with_one_output(folder))
    if len(layers) != 1:
        return "its last layer has no bias" if not layers else "several of its layers have one output"
    # Weights beside the model stay there, untouched: those of the last layer are written into the model itself.
    layer, exported = layers[0], onnx.load(folder / MODEL_FILE, load_external_data=False)
    if not (initializers := _initializers(exported.graph, layer, (folder / MODEL_FILE).parent)):
        return "its ONNX model keeps the last layer in another form"
    scaled = _scaled(layer, calibrator)
    for initializer, values in zip(initializers, scaled, strict=True):
        initializer.CopyFrom(onnx.numpy_helper.from_array(values.reshape(initializer.dims), initializer.name))
    _save(layer, *scaled)
    with written_atomically(folder / MODEL_FILE) as beside:
        onnx.save(exported, beside)
    return ""


def _layers_with_one_output(folder: Path) -> Iterator[_Layer]:
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")) + sorted(folder.glob("[0-9]*_*/*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            names = set(tensors.keys())
            for weight in sorted(name for name in names if name.endswith("weight")):
                bias = weight.removesuffix("weight") + "bias"
                shapes = (tensors.get_slice(name).get_shape() for name in (weight, bias) if name in names)
                if [shape[0] if len(shape) < 3 else 0 for shape in shapes] == [1, 1]:
                    yield _Layer(path, weight, bias, tensors.get_tensor(weight), tensors.get_tensor(bias))


def _initializers(graph: Any, layer: _Layer, beside: Path) -> tuple[Any, Any] | None:
    """The weight and bias of the node that gives the logits, if they are the layer's: exporters name them freely."""
    from onnx.numpy_helper import to_array

    by_name = {found.name: found for found in graph.initializer}
    for node in graph.node:
        parts = [by_name.get(name) for name in node.input]
        is_last = node.op_type == "Gemm" and node.output[0] == graph.output[0].name
        if not is_last or len(parts) != 3 or parts[1] is None or parts[2] is None:
            continue
        values = [to_array(part, str(beside)).ravel() for part in parts[1:]]
        if np.array_equal(values[0], layer.weight.ravel()) and np.array_equal(values[1], layer.bias.ravel()):
            return parts[1], parts[2]
    return None


def _scaled(layer: _Layer, calibrator: Calibrator) -> tuple[Values, Values]:
    weight = calibrator.slope * layer.weight.astype(np.float64)
    bias = calibrator.slope * layer.bias.astype(np.float64) + calibrator.intercept
    return weight.astype(np.float32), bias.astype(np.float32)


def _save(layer: _Layer, weight: Values, bias: Values) -> None:
    """Write the layer's file again; its other tensors stay as they are, bit for bit."""
    from safetensors.numpy import load_file, save_file

    tensors = {**load_file(layer.file), layer.weight_name: weight, layer.bias_name: bias}
    with written_atomically(layer.file) as beside:
        save_file(tensors, beside, metadata={"format": "pt"})
