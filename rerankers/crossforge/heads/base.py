"""The protocol that every scoring head fulfils."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from crossforge.templates import PairTemplate


class ScoringHead(Protocol):
    """One kind of scoring model, known by the files of its folder."""

    kind: str
    readers: str  # what reads a package with such a head
    native: bool  # whether sentence-transformers' CrossEncoder trains such a folder as this loads it

    def claims(self, folder: Path) -> bool:
        """Whether a folder's model has a head of this kind, usable or not.

        Raises:
            PackageError: the folder has no readable `config.json`.
        """
        ...

    def defect(self, folder: Path) -> str:
        """Why a head of this kind cannot score pairs; empty if it can."""
        ...

    def template(self, folder: Path) -> PairTemplate | None:
        """The texts around query and document; None if the tokenizer joins the two by itself."""
        ...

    def load(self, folder: Path) -> Any:
        """Load the model with torch, in fp32 on the CPU: token tensors -> `.logits` of shape (pairs, 1).

        Raises:
            PackageError: the folder cannot be loaded, or lacks weights of the head.
        """
        ...

    def drafted(self, folder: Path, config: Any) -> Any:
        """An untrained model of the folder's kind, to try out whether it can be exported.

        Args:
            folder: the model's folder.
            config: its transformers config, with which it is made.
        """
        ...

    def made(self, model: Any) -> bool:
        """Whether a loaded model has a head of this kind."""
        ...

    def save(self, model: Any, folder: Path, max_length: int) -> None:
        """Write weights and settings, such that sentence-transformers reads the folder; the tokenizer is not written.

        Args:
            model: what `load` returned, trained or not.
            folder: output folder, which exists.
            max_length: maximum tokens of query and document together.
        """
        ...
