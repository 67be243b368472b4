"""Loads a finished package as its users will, and compares logits between backends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.choice import EXACT
from crossforge.calibration import Calibrator
from crossforge.errors import PackageError
from crossforge.reranker import Reranker
from crossforge_train.libraries import quieten

_PAIRS = (
    ("short", "A short document."),
    ("how long may a document be", "words " * 400),
    ("Ünïcode, 漢字 and emoji 🙂", "Ünïcode, 漢字 and emoji 🙂 stand in this document."),
    ("q", ""),
)
SAMPLE = 16


def measure_agreement(
    folder: Path, pairs: Iterable[tuple[str, str]] = (), folded: Calibrator | None = None
) -> dict[str, float]:
    """Largest absolute difference of each backend's logits from fp32 torch; unavailable backends are left out.

    Args:
        folder: a package or checkpoint folder with an ONNX model.
        pairs: (query, document) pairs to compare on, in addition to a few built-in ones; the first 16 that the model
            can read.
        folded: what was folded into the model: its slope multiplies rounding errors, too.

    Raises:
        PackageError: ONNX differs by more than rounding error.
    """
    quieten()
    torch = Reranker(folder, backend="torch", verify="off")
    readable = (pair for pair in chain(_PAIRS, pairs) if torch.tokenizer.fits(pair[0]))
    compared = list(islice(readable, len(_PAIRS) + SAMPLE))

    def difference(backend: str) -> float:
        return float(np.abs(exact - Reranker(folder, backend=backend, verify="off").score_pairs(compared).logits).max())

    exact = torch.score_pairs(compared).logits
    found = {"torch": 0.0, "onnx": difference("onnx")}
    most = _rounding(exact, folded)
    if not found["onnx"] < most:
        raise PackageError(
            f"{folder}: ONNX logits differ from torch by {found['onnx']:.2g} (at most {most:.1g}); not packaged"
        )
    others: tuple[str, ...] = ("onnx-int8", "openvino", "openvino-bf16")
    for backend in others:
        with suppress(PackageError):
            found[backend] = difference(backend)
    return found


def require_same_scores(
    measured: Path, shipped: Path, pairs: Iterable[tuple[str, str]], folded: Calibrator | None
) -> None:
    """Raise `PackageError` unless a package scores as the model that was measured, but for the folded calibration.

    Args:
        measured: the model's folder.
        shipped: the package's.
        pairs: (query, document) pairs to compare on, in addition to a few built-in ones.
        folded: what was folded into the package.
    """
    before, after = (Reranker(folder, backend="onnx", verify="off") for folder in (measured, shipped))
    compared = [pair for pair in chain(_PAIRS, pairs) if before.tokenizer.fits(pair[0])]
    expected = before.score_pairs(compared).logits
    if folded:
        expected = (folded.slope * expected + folded.intercept).astype(np.float32)
    found = after.score_pairs(compared).logits
    difference = float(np.abs(found - expected).max())
    if not difference < _rounding(expected, folded):
        raise PackageError(f"{shipped}: logits differ by {difference:.2g} from what was measured; not packaged")


def _rounding(logits: NDArray[np.float32], folded: Calibrator | None) -> float:
    """The most by which two exact fp32 computations differ: their rounding error grows with the logits."""
    scale, shift = (folded.slope, folded.intercept) if folded else (1.0, 0.0)
    return EXACT * max(1.0, scale, float(np.abs(logits - shift).max()))
