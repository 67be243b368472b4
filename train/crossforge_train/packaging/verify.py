"""Loads a finished package the way its users will and compares the logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossforge.errors import PackageError
from crossforge.reranker import Reranker
from crossforge_train.libraries import quieten

# Two exact fp32 backends differ by rounding only.
TOLERANCE = 1e-4

_PAIRS = (
    ("short", "A short document."),
    ("how long may a document be", "words " * 400),
    ("Ünïcode, 漢字 and emoji 🙂", "Ünïcode, 漢字 and emoji 🙂 stand in this document."),
    ("q", ""),
)


def measure_agreement(folder: Path, pairs: Sequence[tuple[str, str]] = ()) -> dict[str, float]:
    """Largest absolute difference of each backend's logits from fp32 torch.

    Args:
        folder: a package or checkpoint folder with an ONNX model.
        pairs: (query, document) pairs to compare on, besides a few built-in ones.

    Raises:
        PackageError: a backend differs by more than rounding.
    """
    quieten()
    compared = [*_PAIRS, *pairs]
    exact = Reranker(folder, backend="torch", verify="off").score_pairs(compared).logits
    onnx = Reranker(folder, backend="onnx", verify="off").score_pairs(compared).logits
    difference = float(np.abs(exact - onnx).max())
    if not difference < TOLERANCE:
        raise PackageError(
            f"{folder}: ONNX logits differ from torch by {difference:.2g} (at most {TOLERANCE:.0e}); not packaged"
        )
    return {"torch": 0.0, "onnx": difference}
