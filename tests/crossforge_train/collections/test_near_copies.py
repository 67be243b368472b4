"""Near-copies: the same pairs as comparing every text with every other one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge_train.collections import near_copies as module
from crossforge_train.collections.near_copies import Shingles, near_copies


def cosine(left: str, right: str, shingles: Shingles) -> float:
    def runs(text: str) -> set:
        items = text.lower().split() if shingles == "words" else text.lower()
        return {tuple(items[at : at + 3]) for at in range(len(items) - 2)}

    first, second = runs(left), runs(right)
    return len(first & second) / np.sqrt(len(first) * len(second)) if first and second else 0.0


WORDS = st.lists(st.sampled_from(["ab", "bc", "cd", "de", "ef"]), max_size=9).map(" ".join)
LETTERS = st.text("abc ", max_size=12).map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize("block", [1, 7, 2_000_000])
@settings(deadline=None)  # the first call imports scikit-learn
@given(st.data(), st.sampled_from([0.3, 0.5, 0.8, 0.9, 1.0]), st.sampled_from(["words", "characters"]))
def test_the_pairs_are_those_of_comparing_all_with_all(
    block: int, data: st.DataObject, threshold: float, shingles: Shingles
) -> None:
    texts = data.draw(st.lists(WORDS if shingles == "words" else LETTERS, max_size=14))
    expected = [
        (left, right)
        for left in range(len(texts))
        for right in range(left + 1, len(texts))
        if cosine(texts[left], texts[right], shingles) >= threshold - 1e-9
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_PAIRS", block)
        assert near_copies(texts, threshold, shingles) == expected


def test_near_copies_are_pairs_whose_word_trigrams_overlap() -> None:
    text = "returns the sum of all the elements along the given axis of the array"
    edited = text.replace("array", "matrix")
    other = "opens a file for reading and gives back a stream of bytes to the caller"
    assert near_copies([text, other, edited, text.upper()], 0.8) == [(0, 2), (0, 3), (2, 3)]
    assert near_copies([text, other, edited, text.upper()], 0.999) == [(0, 3)]


def test_a_typing_error_in_a_query_is_found_by_its_characters() -> None:
    queries = ["how do i make a sourdough starter", "how do i make a sourdogh starter", "how do i sail a boat"]
    assert near_copies(queries, 0.9, "characters") == [(0, 1)]
    assert near_copies(["日本で一番高い山は何ですか", "日本で一番高い山は何でしょうか"], 0.7, "characters") == [(0, 1)]


def test_one_copy_among_many_texts_is_found() -> None:
    texts = [f"alpha{number} beta{number} gamma{number} delta{number}" for number in range(600)]
    texts[590] = texts[3]
    assert near_copies(texts, 0.9) == [(3, 590)]


@pytest.mark.parametrize("texts", [[], [""], ["a", "b"], ["", " "]])
def test_texts_too_short_for_a_shingle_are_near_to_nothing(texts: list[str]) -> None:
    assert near_copies(texts, 0.5) == []
    assert near_copies(texts, 0.5, "characters") == []
