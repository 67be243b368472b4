"""How text becomes terms."""

import pytest

from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer, choose_analyzer

JAPANESE = ["猫が窓のそばで眠っている", "東京の天気は晴れです"]
THAI = ["แมวนอนอยู่ข้างหน้าต่าง"]
ENGLISH = ["The cat sleeps by the window", "Sunny weather in London"]


def test_words_are_lowered_stemmed_and_freed_of_stop_words():
    assert Analyzer().terms("The Boats, and SAILING boats!") == ["boat", "sail", "boat"]


def test_without_a_language_words_stay_as_they_are():
    assert Analyzer(language="none").terms("The Boats and boats") == ["the", "boats", "and", "boats"]


def test_another_language_has_its_own_stemmer_and_no_english_stop_words():
    assert Analyzer(language="german").terms("The Häuser") == ["the", "haus"]


def test_character_terms_are_overlapping_and_stay_inside_words():
    assert Analyzer("char").terms("東京都 X, ab") == ["東京", "京都", "x", "ab"]
    assert Analyzer("char", ngram=3).terms("abcd ef") == ["abc", "bcd", "ef"]


@pytest.mark.parametrize("kind", ["word", "char"])
def test_text_without_letters_has_no_terms(kind):
    assert Analyzer(kind).terms(" …!? 🥖") == []


def test_an_unknown_language_is_an_input_error_that_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no stemmer for the language 'klingon'.*english"):
        Analyzer(language="klingon")


@pytest.mark.parametrize("texts", [JAPANESE, THAI, [*JAPANESE, "with some English"]])
def test_scripts_without_spaces_are_read_by_character(texts):
    assert choose_analyzer(texts).kind == "char"


def test_english_is_read_by_stemmed_word():
    assert choose_analyzer(ENGLISH) == Analyzer("word", "english")


def test_a_few_foreign_names_do_not_change_the_choice():
    assert choose_analyzer([*ENGLISH * 5, "Tokyo (東京)"]) == Analyzer("word", "english")


@pytest.mark.parametrize("text", ["Кошка спит у окна", "η γάτα κοιμάται", ""])
def test_other_scripts_are_read_by_unstemmed_word(text):
    assert choose_analyzer([text]) == Analyzer("word", "none")


def test_only_the_first_thousand_texts_are_looked_at():
    def texts():
        yield from ["plain English"] * 1000
        raise AssertionError("read on")

    assert choose_analyzer(texts()).kind == "word"


@pytest.mark.parametrize("words", [["हिन्दी", "भाषा"], ["cafe\u0301s", "ouverts"]])
def test_combining_marks_do_not_cut_a_word(words):
    assert len(Analyzer(language="none").terms(" ".join(words))) == 2
