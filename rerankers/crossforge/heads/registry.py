"""The scoring heads by name. To add one: a file, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from crossforge.heads.base import ScoringHead

# The first that claims a folder is taken.
HEADS: Registry[ScoringHead] = Registry(
    "heads",
    "scoring head",
    {
        "modular": Plugin("crossforge.heads.modular:Modular", "modules behind an encoder: pooling, dense layers"),
        "decoder": Plugin("crossforge.heads.decoder:Decoder", "a causal language model that answers yes or no"),
        "one_label": Plugin("crossforge.heads.one_label:OneLabel", "a classifier with one label"),
    },
)
