"""A sequence classifier with one label, as sentence-transformers and transformers save cross-encoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError


class OneLabel:
    """See `ScoringHead`."""

    @staticmethod
    def claims(config: Mapping[str, Any]) -> bool:
        """Whether the model is a sequence classifier."""
        return architecture(config).endswith("ForSequenceClassification")

    @staticmethod
    def defect(config: Mapping[str, Any]) -> str:
        """Which other number of labels it has."""
        # transformers omits id2label if there are two labels.
        labels = len(config["id2label"]) if config.get("id2label") else 2
        return "" if labels == 1 else f"a classifier with {labels} labels; a reranker has exactly one"

    @staticmethod
    def load(folder: Path) -> Any:
        """Load the classifier from its safetensors."""
        import torch
        from transformers import AutoModelForSequenceClassification

        try:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # safetensors and transformers raise many types; all mean "cannot be loaded"
            raise PackageError(f"{folder}: transformers cannot load it ({_first_line(error)})") from None
        if missing := sorted(loading["missing_keys"]):
            # transformers would fill them with random numbers and only warn.
            raise PackageError(f"{folder}: the weights lack {', '.join(missing[:3])}; this is no whole cross-encoder")
        return model


def architecture(config: Mapping[str, Any]) -> str:
    """The class that a model was saved as."""
    return str((config.get("architectures") or ["unknown"])[0])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
