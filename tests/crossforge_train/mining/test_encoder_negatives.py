"""Hard negatives for tuning an encoder: near, not known to be relevant, and not likely to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.runs import Candidate
from crossforge_train.collections.collection import Collection
from crossforge_train.mining.encoder_negatives import encoder_negatives

DOCUMENTS = 60


class Searcher:
    """As much of a `VectorRetriever` as is asked, over given cosines of shape (documents,)."""

    def __init__(self, cosines: Sequence[float]) -> None:
        self.cosines = {f"d{row:02}": cosine for row, cosine in enumerate(cosines)}

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        best = sorted(self.cosines.items(), key=lambda found: (-found[1], found[0]))[:k]
        return {query_id: [Candidate(*found) for found in best] for query_id in queries}

    def scores(self, queries: Mapping[str, str], doc_ids: Mapping[str, Sequence[str]]) -> dict[str, NDArray[Any]]:
        return {query_id: np.array([self.cosines[doc_id] for doc_id in doc_ids[query_id]]) for query_id in queries}


def negatives(
    cosines: Sequence[float], relevant: Sequence[str], own: Mapping[str, str] | None = None, others: Sequence[str] = ()
) -> list[str]:
    searcher: Any = Searcher(cosines)
    corpus = {doc_id: Document(doc_id, "text") for doc_id in searcher.cosines}
    judged = {"q": {**dict.fromkeys(relevant, 1), **dict.fromkeys(others, 0)}}
    (found,) = encoder_negatives(searcher, Collection("any", corpus, {"q": "?"}, {"train": judged}, own_documents=own),
                                 judged)  # fmt: skip
    return found


def test_the_nearest_are_taken_but_for_what_may_be_relevant() -> None:
    cosines = [0.9 - 0.01 * row for row in range(DOCUMENTS)]
    found = negatives(cosines, ["d02", "d30"])  # .88 is the cosine of the nearest relevant one, and .836 the limit
    assert found == [f"d{row:02}" for row in range(7, 27)]


def test_what_was_judged_not_relevant_may_be_as_near_as_it_is() -> None:
    cosines = [0.9 - 0.01 * row for row in range(DOCUMENTS)]
    assert negatives(cosines, ["d02"], others=["d00", "d04"])[:3] == ["d00", "d04", "d07"]


def test_the_limit_of_a_negative_cosine_is_below_it() -> None:
    cosines = [-0.1, -0.102, *([-0.2] * (DOCUMENTS - 2))]
    assert "d01" not in negatives(cosines, ["d00"])


def test_a_querys_own_document_is_left_out() -> None:
    cosines = [0.9 - 0.01 * row for row in range(DOCUMENTS)]
    assert "d08" in negatives(cosines, ["d02"])
    assert "d08" not in negatives(cosines, ["d02"], {"q": "d08"})


def test_no_document_is_left_where_the_relevant_one_is_farther_than_what_is_found() -> None:
    assert negatives([0.9] * (DOCUMENTS - 1) + [0.1], ["d59"]) == []


@given(
    st.lists(st.floats(-1, 1), min_size=DOCUMENTS, max_size=DOCUMENTS),
    st.sets(st.integers(0, DOCUMENTS - 1), min_size=1, max_size=5),
)
def test_none_is_relevant_or_nearer_than_the_limit(cosines: list[float], relevant: set[int]) -> None:
    ids = [f"d{row:02}" for row in relevant]
    found = negatives(cosines, ids)
    assert len(found) <= 20
    assert found == sorted(set(found) - set(ids))
    nearest = max(cosines[row] for row in relevant)
    assert all(cosines[int(doc_id[1:])] <= nearest - 0.05 * abs(nearest) + 1e-12 for doc_id in found)
