"""The protocol that every scoring head fulfils."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class ScoringHead(Protocol):
    """One kind of scoring head, known by a model's `config.json`."""

    def claims(self, config: Mapping[str, Any]) -> bool:
        """Whether a model has a head of this kind, usable or not."""
        ...

    def defect(self, config: Mapping[str, Any]) -> str:
        """Why a head of this kind cannot score pairs; empty if it can."""
        ...

    def load(self, folder: Path) -> Any:
        """Load the model with torch, in fp32 on the CPU: token tensors -> `.logits` of shape (pairs, 1).

        Raises:
            PackageError: the folder cannot be loaded, or lacks weights of the head.
        """
        ...
