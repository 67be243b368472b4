"""Which texts are the same query, and which only look like it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge_train.collections.query_key import id_of_query, query_key, signed_words
from crossforge_train.collections.splits import normalized


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wi-fi", "Wi Fi"),
        ("(c++) tutorial?", "C++ tutorial"),
        ("bed & breakfast", "bed breakfast"),
        ("what's 'new'", "what s new"),
        ("node.js", "node js"),
        ("2020-2021", "2020 2021"),
        ("Zoë", unicodedata.normalize("NFD", "Zoë")),
        ("love \u2764\ufe0f", "love"),
    ],
)
def test_punctuation_that_says_nothing_makes_no_difference(one: str, other: str) -> None:
    assert query_key(one) == query_key(other)
    assert id_of_query("log", one) == id_of_query("log", other)


@pytest.mark.parametrize(
    "texts",
    [
        ["c++ tutorial", "c# tutorial", "c tutorial"],
        ["c# or f", "c or f#"],
        [".net", "net"],
        ["at -5 degrees", "at 5 degrees"],
        ["5%", "$5", "5€", "5"],
        ["at&t", "at t"],
        ["दिल", "दाल"],
    ],
)
def test_signs_that_belong_to_a_word_tell_queries_apart(texts: list[str]) -> None:
    assert len({query_key(text) for text in texts}) == len({id_of_query("log", text) for text in texts}) == len(texts)


def test_vowel_signs_are_no_signs() -> None:
    assert signed_words("दिल की c++") == ["c++"]


@given(st.text("aB5 .-?'+#", max_size=12))
def test_a_key_has_the_signed_words_of_its_text_and_no_others(text: str) -> None:
    assert signed_words(query_key(text)) == signed_words(text)
    if not signed_words(text):
        assert query_key(text) == normalized(text)
