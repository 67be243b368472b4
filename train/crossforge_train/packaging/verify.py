"""Loads a finished package as its users will, and compares logits between backends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from crossforge.backends.choice import EXACT
from crossforge.errors import PackageError
from crossforge.reranker import Reranker
from crossforge_train.libraries import quieten

_PAIRS = (
    ("short", "A short document."),
    ("how long may a document be", "words " * 400),
    ("Ünïcode, 漢字 and emoji 🙂", "Ünïcode, 漢字 and emoji 🙂 stand in this document."),
    ("q", ""),
)


def measure_agreement(folder: Path, pairs: Sequence[tuple[str, str]] = ()) -> dict[str, float]:
    """Largest absolute difference of each backend's logits from fp32 torch; unavailable backends are left out.

    Args:
        folder: a package or checkpoint folder with an ONNX model.
        pairs: (query, document) pairs to compare on, in addition to a few built-in ones.

    Raises:
        PackageError: ONNX differs by more than rounding error.
    """
    quieten()
    compared = [*_PAIRS, *pairs]

    def difference(backend: str) -> float:
        return float(np.abs(exact - Reranker(folder, backend=backend, verify="off").score_pairs(compared).logits).max())

    exact = Reranker(folder, backend="torch", verify="off").score_pairs(compared).logits
    found = {"torch": 0.0, "onnx": difference("onnx")}
    most = EXACT * max(1.0, float(np.abs(exact).max()))  # rounding error grows with the logits
    if not found["onnx"] < most:
        raise PackageError(
            f"{folder}: ONNX logits differ from torch by {found['onnx']:.2g} (at most {most:.1g}); not packaged"
        )
    others: tuple[str, ...] = ("onnx-int8", "openvino", "openvino-bf16")
    for backend in others:
        with suppress(PackageError):
            found[backend] = difference(backend)
    return found
