"""The scoring heads by name. To add one: a file, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from crossforge.heads.base import ScoringHead

HEADS: Registry[ScoringHead] = Registry(
    "heads", "scoring head", {"one_label": Plugin("crossforge.heads.one_label:OneLabel", "a classifier with one label")}
)
