"""Export to ONNX by torch's former exporter, a matter of a moment, where the export is not what is tested.

As a script it runs a module so: `python -m quick_export crossforge_train.finetune CONFIG`.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def quick_export() -> Iterator[None]:
    """Until the end of the block, files have the same inputs and logits as those of the exporter that is in use."""
    import torch

    export = torch.onnx.export

    def former(
        model: Any, example: Any, path: str, *, input_names: Sequence[str], output_names: Sequence[str], **_: Any
    ) -> None:
        axes = {name: {0: "batch", 1: "length"} for name in input_names}
        names = {"input_names": input_names, "output_names": output_names}
        export(model, example, path, dynamo=False, dynamic_axes=axes, **names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", former)
        yield


if __name__ == "__main__":
    del sys.argv[0]
    with quick_export():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
