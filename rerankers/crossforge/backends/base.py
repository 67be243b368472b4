"""The protocol that every backend fulfils."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """Computes the model's raw output for one padded batch; safe to call from several threads.

    One that may compute elsewhere than on the CPU says where in an attribute `device`: "cpu", "cuda" or "mps".
    """

    name: str

    def logits(self, batch: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Score a batch.

        Args:
            batch: `input_ids`, `attention_mask` and for most models `token_type_ids`, each (pairs, length).

        Returns:
            float32 array of shape (pairs,): no activation applied.
        """
        ...
