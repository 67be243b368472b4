"""Finds the scoring head of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError
from crossforge.heads.base import ScoringHead
from crossforge.heads.one_label import OneLabel, architecture
from crossforge.heads.registry import HEADS
from crossforge.package_files import read_package_json


def named_head(folder: Path) -> ScoringHead | None:
    """The head that a model's files name, usable or not; None if they name none, as an encoder's do.

    Raises:
        PackageError: `config.json` cannot be read.
    """
    return next((head for head in _heads() if head.claims(folder)), None)


def scoring_head(folder: Path) -> ScoringHead:
    """The usable head of a model folder.

    Raises:
        PackageError: `config.json` cannot be read, or the files name no head, or one that cannot score pairs.
    """
    head = named_head(folder)
    if head is None:
        raise PackageError(f"{folder}: {without_head(folder)}")
    if defect := head.defect(folder):
        raise PackageError(f"{folder}: {defect}")
    return head


def without_head(folder: Path) -> str:
    """Says of a model that names no head what it is, and what a reranker is."""
    kind = architecture(read_package_json(folder / "config.json"))
    return (
        f"{kind} has no scoring head; a reranker is a …ForSequenceClassification, or a …ForCausalLM with a chat "
        'template for the roles "query" and "document" (chat_template.jinja)'
    )


def head_of(model: Any) -> ScoringHead:
    """The head of a loaded model; a model that `transformers` made anew has one label."""
    return next((head for head in _heads() if head.made(model)), OneLabel())


def _heads() -> Iterator[ScoringHead]:
    return (HEADS.load(name) for name in HEADS.plugins())
