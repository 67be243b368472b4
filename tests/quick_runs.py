"""Runs without what takes long and is not what is tested: the export to ONNX, and cards of checkpoints.

As a script it runs a module so: `python -m quick_runs crossforge_train.finetune CONFIG`.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def quick_runs() -> Iterator[None]:
    """Until the end of the block, torch's former exporter is used, whose files have the same inputs and logits.

    Nor does sentence-transformers write a card of each checkpoint; they are deleted anyway.
    """
    import torch
    from sentence_transformers.base.model import BaseModel

    export = torch.onnx.export

    def former(
        model: Any, example: Any, path: str, *, input_names: Sequence[str], output_names: Sequence[str], **_: Any
    ) -> None:
        axes = {name: {0: "batch", 1: "length"} for name in input_names}
        names = {"input_names": input_names, "output_names": output_names}
        export(model, example, path, dynamo=False, dynamic_axes=axes, **names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", former)
        patch.setattr(BaseModel, "_create_model_card", lambda self, *_, **__: None)
        yield


if __name__ == "__main__":
    del sys.argv[0]
    with quick_runs():
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
