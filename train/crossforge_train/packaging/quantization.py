"""Adds an int8 model next to the fp32 one, and keeps it only if it ranks as well."""

from __future__ import annotations

import logging
from pathlib import Path

from crossforge.backends.model_files import INT8_FILE, MODEL_FILE
from crossforge.files import remove
from crossforge.package_files import weights_beside
from crossforge.reranker import Reranker
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.evaluation.systems import RERANKER, Bench, reranker_system
from crossforge_train.models.onnx_files import name_weights

MOST_LOST = 0.002  # largest acceptable loss in the deciding metric on dev


def quantize(folder: Path) -> None:
    """Write `onnx/model_int8.onnx`: per-channel int8 weights, dynamically quantized activations."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger("root").setLevel(logging.ERROR)  # it recommends a step that breaks dynamic shapes
    quantize_dynamic(
        folder / MODEL_FILE,
        folder / INT8_FILE,
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=weights_beside(folder / MODEL_FILE).is_file(),
    )
    name_weights(folder / INT8_FILE)


def pack_int8(folder: Path, dev: Bench) -> str:
    """Quantize a package's model, and remove the int8 model again if it loses too much on dev.

    Returns:
        A note with the result, for the user.
    """
    quantize(folder)
    exact, quick = (_quality(dev, Reranker(folder, backend=name, verify="off")) for name in ("onnx", "onnx-int8"))
    lost = f"{dev.config.metric} on dev {quick:.4f} with int8, {exact:.4f} with fp32"
    if exact - quick <= MOST_LOST:
        return f"int8 packed: {lost}"
    for path in (folder / INT8_FILE, weights_beside(folder / INT8_FILE)):
        remove(path)
    return f"int8 left out: {lost}"


def _quality(bench: Bench, reranker: Reranker) -> float:
    metric, system = bench.config.metric, reranker_system(bench, RERANKER, reranker, 0.0)
    return mean(measure_rankings([metric], bench.qrels, system.rankings)[metric])
