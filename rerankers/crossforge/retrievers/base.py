"""The protocol that every first stage fulfils."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossforge.runs import Candidate


class Retriever(Protocol):
    """Finds candidates for queries, cheaply."""

    def search(self, queries: Mapping[str, str], k: int) -> dict[str, list[Candidate]]:
        """The `k` best documents of each query (query id -> text), best first; fewer where fewer match."""
        ...

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """How well each text matches the query by the same measure, shape (texts,); used to choose passages."""
        ...
