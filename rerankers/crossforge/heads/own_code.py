"""Models whose architecture is code in their own repository, which the runtime never runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def own_code(config: Mapping[str, Any]) -> str:
    """What a model needs if transformers lacks its architecture; empty if it has it.

    Args:
        config: the model's `config.json`.
    """
    kind = config.get("model_type")
    if not config.get("auto_map"):
        return ""
    from transformers import CONFIG_MAPPING

    if kind in CONFIG_MAPPING:  # its own class of the same name takes the place of that code
        return ""
    return f"its architecture {kind!r} needs custom code"
