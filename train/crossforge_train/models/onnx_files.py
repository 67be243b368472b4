"""Tidies ONNX files that exporters write; no such file may exceed 2 GiB, so a large model's weights lie beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossforge.package_files import weights_beside

# Weights of more bytes lie beside the model, as torch's exporter decides by itself.
MOST_WITHIN = 1536 << 20


def is_large(module: Any) -> bool:
    """Whether the weights of a torch module are to lie beside its ONNX model."""
    tensors = (*module.parameters(), *module.buffers())
    return sum(int(tensor.nbytes) for tensor in tensors) > MOST_WITHIN


def drop_traces(path: Path) -> None:
    """Take out where in the code each node was made: stack traces with the paths of the machine that exported it."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for holder in (model.graph, *model.functions):
        del holder.metadata_props[:]
        for node in holder.node:
            del node.metadata_props[:]
    for value in model.graph.value_info:
        del value.metadata_props[:]
    onnx.save(model, path)


def name_weights(path: Path) -> None:
    """Give the file beside a model, if it was written with one, the name that clients look for."""
    import onnx

    written, wanted = path.with_name(f"{path.name}.data"), weights_beside(path)
    if not written.is_file():
        return
    model = onnx.load(path, load_external_data=False)
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = wanted.name
    onnx.save(model, path)
    written.replace(wanted)


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))
