"""PyTorch: for folders without an ONNX model, and for a model that is still being trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.devices import AUTO_DEVICE, torch_device
from crossforge.backends.last_layer import shorten_last_layer
from crossforge.errors import PackageError
from crossforge.heads.choice import scoring_head
from crossforge.threads import thread_count

if TYPE_CHECKING:
    import torch


class TorchBackend:
    """Runs a `transformers` one-label sequence classifier on the device where it is.

    Args:
        model: the model; it is put into evaluation mode for each batch and left in the mode it was in.
        autocast: compute matrix products in bf16. Faster on hardware that has it, and no longer exact fp32.
        name: which backend it is.
    """

    def __init__(self, model: Any, *, autocast: bool = False, name: str = "torch") -> None:
        self.name = name
        self._model = model
        self._autocast = autocast
        self._process = os.getpid()

    @classmethod
    def load(cls, folder: Path, device: str = AUTO_DEVICE, half: str = "") -> TorchBackend:
        """Load the folder's safetensors.

        Args:
            folder: the model's folder.
            device: "cpu", "cuda", "cuda:1", "mps"; "auto": a CUDA GPU where there is one.
            half: "bfloat16" or "float16" to compute in; empty: fp32.

        Raises:
            PackageError: torch is not installed, or the folder holds no one-label classifier.
            InputError: there is no such device.
        """
        try:
            import torch
            import transformers  # noqa: F401 - every head needs it
        except ImportError:
            raise PackageError(
                f'{folder}: this folder needs the torch backend: pip install "crossforge[torch]"'
            ) from None
        if (limit := thread_count()) is not None:
            torch.set_num_threads(limit)
        place = torch_device(device)
        model = scoring_head(folder).load(folder)
        shorten_last_layer(model)
        model = model.to(place, getattr(torch, half or "float32")).eval()
        return cls(model, name={"": "torch", "bfloat16": "torch-bf16", "float16": "torch-fp16"}[half])

    @property
    def device(self) -> str:
        """The kind of device that the model is on."""
        return str(self._model.device.type)

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `Backend.logits`."""
        import torch

        if os.getpid() != self._process:
            # OpenMP's threads do not live on in a forked process, and waiting for them would never end.
            torch.set_num_threads(1)
            self._process = os.getpid()
        model = self._model
        was_training = model.training
        if was_training:
            model.eval()
        try:
            with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=self._autocast):
                output = model(**self._tensors(batch)).logits
        finally:
            if was_training:
                model.train()
        return np.asarray(output.float().cpu().numpy()[:, 0], dtype=np.float32)

    def _tensors(self, batch: Mapping[str, NDArray[np.int64]]) -> dict[str, torch.Tensor]:
        import torch

        return {name: torch.from_numpy(array).to(self._model.device) for name, array in batch.items()}


open_fp32 = TorchBackend.load


def open_bf16(folder: Path, device: str = AUTO_DEVICE) -> TorchBackend:
    """The backend `torch-bf16` of a folder."""
    return TorchBackend.load(folder, device, "bfloat16")


def open_fp16(folder: Path, device: str = AUTO_DEVICE) -> TorchBackend:
    """The backend `torch-fp16` of a folder."""
    return TorchBackend.load(folder, device, "float16")
