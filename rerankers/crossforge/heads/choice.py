"""Finds the scoring head of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError
from crossforge.heads.base import ScoringHead
from crossforge.heads.one_label import architecture
from crossforge.heads.registry import HEADS
from crossforge.package_files import read_package_json


def named_head(config: Mapping[str, Any]) -> ScoringHead | None:
    """The head that a model's `config.json` names, usable or not; None if it names none, as an encoder's does."""
    heads = (HEADS.load(name) for name in HEADS.plugins())
    return next((head for head in heads if head.claims(config)), None)


def scoring_head(folder: Path) -> ScoringHead:
    """The usable head of a model folder.

    Raises:
        PackageError: `config.json` cannot be read, or names no head, or one that cannot score pairs.
    """
    config = read_package_json(folder / "config.json")
    head = named_head(config)
    if head is None:
        raise PackageError(
            f"{folder}: {architecture(config)} has no scoring head; a reranker is a …ForSequenceClassification"
        )
    if defect := head.defect(config):
        raise PackageError(f"{folder}: {defect}")
    return head
