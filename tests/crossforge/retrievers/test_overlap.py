"""The choice of passages by common words, without an index."""

import json

import numpy as np
import pytest

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.overlap import Overlap
from crossforge.retrievers.tfidf import TfidfRetriever

TEXTS = ["the boat sails in the wind", "bread from the oven", "wind and wind and a sail", "a harbour for boats"]


def test_the_values_are_those_of_an_index_of_the_same_texts() -> None:
    overlap = Overlap(Analyzer())
    index = TfidfRetriever.fit([Document(str(n), text) for n, text in enumerate(TEXTS)], Analyzer())
    assert overlap.similarities("sails in wind", TEXTS) == pytest.approx(index.similarities("sails in wind", TEXTS))


def test_words_that_every_text_holds_count_less() -> None:
    texts = ["oven bread", "oven yeast", "oven oven oven"]
    found = Overlap(Analyzer()).similarities("oven yeast", texts)
    assert found.argmax() == 1
    assert found.dtype == np.float32


@pytest.mark.parametrize("texts", [[], [""], ["", "the of"]])
def test_nothing_in_common_is_nothing(texts: list[str]) -> None:
    assert Overlap(Analyzer()).similarities("wind", texts).tolist() == [0] * len(texts)


def test_a_query_without_words_matches_nothing() -> None:
    assert not Overlap(Analyzer()).similarities("?!", TEXTS).any()


def test_the_analyzer_is_chosen_by_the_corpus_or_named() -> None:
    japanese = [Document("a", "船が風の中を進む。帆を上げて港へ向かう。")]
    assert Overlap.choose(japanese).analyzer.kind == "char"
    assert Overlap.choose(japanese, "word", "none").analyzer == Analyzer("word", "none")
    with pytest.raises(InputError, match="no analyzer 'words'; have auto, word, char"):
        Overlap.choose(japanese, "words")


def test_settings_come_back_from_json() -> None:
    overlap = Overlap(Analyzer("char", ngram=3))
    assert Overlap.read(json.loads(json.dumps(overlap.settings()))) == overlap
