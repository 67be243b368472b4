"""Counting of whole corpora against scikit-learn, however many processes work at it."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from crossforge.documents import Document
from crossforge.retrievers import counting
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.counting import count_corpus, count_known

WORDS = [
    "boat",
    "boats",
    "sailing",
    "sail",
    "the",
    "wind",
    "東京の天気",
    "Σίσυφος",
    "ΟΔΟΣ",
    "cafe\u0301s",
    "x1",
    "don't",
]


def make_corpus(size, seed=0):
    draw = np.random.default_rng(seed)
    return [
        Document(str(n), " ".join(draw.choice(WORDS, draw.integers(0, 9))), " ".join(draw.choice(WORDS, n % 3)))
        for n in range(size)
    ]


@pytest.mark.parametrize(
    "analyzer", [Analyzer(), Analyzer("char"), Analyzer(language="none"), Analyzer("char", "none", 3)]
)
def test_counts_are_those_of_the_whole_texts(analyzer, monkeypatch):
    monkeypatch.setattr(counting, "_CHUNK", 30)
    documents = make_corpus(100)
    terms, counts = count_corpus(documents, analyzer, processes=1)
    vectorizer = CountVectorizer(analyzer=analyzer.terms)
    expected = vectorizer.fit_transform(document.full_text for document in documents)
    assert terms == vectorizer.get_feature_names_out().tolist()
    assert (counts != expected).nnz == 0
    assert counts.dtype == np.float32
    assert counts.has_sorted_indices


def test_processes_and_chunks_change_nothing(monkeypatch):
    documents = make_corpus(100)
    expected_terms, expected = count_corpus(documents, Analyzer())
    monkeypatch.setattr(counting, "_CHUNK", 30)
    terms, counts = count_corpus(documents, Analyzer(), processes=2)
    assert terms == expected_terms
    for name in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(counts, name), getattr(expected, name))


def test_counting_known_terms_passes_over_the_others():
    counts = count_known(["sail the boats, sail", "unheardof", ""], Analyzer(), {"boat": 0, "sail": 1})
    assert counts.toarray().tolist() == [[1, 2], [0, 0], [0, 0]]
    assert counts.has_sorted_indices
