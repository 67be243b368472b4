"""The TF-IDF first stage against scikit-learn and brute force."""

import json
import math
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import ValuesView
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from crossforge.documents import Document, as_documents
from crossforge.errors import InputError, PackageError
from crossforge.pipeline import save_first_stage
from crossforge.retrievers import counting
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.tfidf import TfidfRetriever

# Few words, so that small corpora are full of ties and duplicates; "the" is a stop word.
TEXTS = st.lists(st.sampled_from(["boat", "boats", "sail", "wind", "tide", "the", "!"]), max_size=6).map(" ".join)
CORPORA = st.lists(TEXTS, min_size=1, max_size=12)
DOCUMENTS = as_documents(
    [
        {"_id": "a", "title": "Boats", "text": "a boat with a sail"},
        {"_id": "b", "text": "wind and tide"},
        {"_id": "c", "text": "sail sail sail wind"},
        {"_id": "d", "text": "bread"},
    ]
)


def brute_force(texts, queries, analyzer):
    """Cosine of each query and text, shape (queries, texts), by scikit-learn in float64."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=analyzer.terms)
    documents = vectorizer.fit_transform(texts)
    return (vectorizer.transform(queries) @ documents.T).toarray()


def fit_or_skip(texts):
    assume(any(Analyzer().terms(text) for text in texts))
    return TfidfRetriever.fit(as_documents(texts), Analyzer())


@settings(max_examples=60)
@given(CORPORA, TEXTS)
def test_scores_equal_scikit_learn(texts, query):
    found = fit_or_skip(texts).search({"q": query}, len(texts))["q"]
    expected = brute_force(texts, [query], Analyzer())[0]
    assert {int(candidate.doc_id) for candidate in found} == set(np.flatnonzero(expected))
    for candidate in found:
        assert candidate.score == pytest.approx(expected[int(candidate.doc_id)], abs=1e-6)


@settings(max_examples=60)
@given(CORPORA, TEXTS, st.integers(1, 15))
def test_the_k_best_are_exact_and_ties_stand_in_corpus_order(texts, query, k):
    found = fit_or_skip(texts).search({"q": query}, k)["q"]
    expected = brute_force(texts, [query], Analyzer())[0]
    assert len(found) == min(k, np.count_nonzero(expected))
    for first, second in pairwise(found):
        assert (-first.score, int(first.doc_id)) < (-second.score, int(second.doc_id))
    # Nobody who was left out is better than the last one, and no copy of a chosen text before it was left out.
    chosen = {int(candidate.doc_id) for candidate in found}
    for position in set(range(len(texts))) - chosen:
        assert not chosen or expected[position] <= found[-1].score + 1e-6
        assert not any(texts[position] == texts[other] and position < other for other in chosen)


@settings(max_examples=40)
@given(CORPORA, TEXTS, st.integers(1, 15))
def test_a_smaller_k_gives_the_beginning_of_a_larger(texts, query, k):
    retriever = fit_or_skip(texts)
    assert retriever.search({"q": query}, k)["q"] == retriever.search({"q": query}, 100)["q"][:k]


def test_titles_are_searched_too():
    assert TfidfRetriever.fit(DOCUMENTS).search({"q": "boats"}, 5)["q"][0].doc_id == "a"


def test_a_larger_k_than_there_are_matches_gives_the_matches():
    assert [found.doc_id for found in TfidfRetriever.fit(DOCUMENTS).search({"q": "sail"}, 100)["q"]] == ["c", "a"]


def test_k_of_zero_gives_nothing():
    assert TfidfRetriever.fit(DOCUMENTS).search({"q": "sail wind"}, 0) == {"q": []}


@pytest.mark.parametrize("query", ["unheardof", "", "the", "!?", "\ud800"])
def test_a_query_without_a_known_term_finds_nothing(query):
    assert TfidfRetriever.fit(DOCUMENTS).search({"q": query, "r": "bread"}, 5)["q"] == []


def test_queries_keep_their_ids_and_order_over_many_blocks():
    words = ["boat", "wind", "bread", "unheardof"]
    queries = {f"q{n}": words[n % 4] for n in range(600)}
    run = TfidfRetriever.fit(DOCUMENTS).search(queries, 1)
    assert list(run) == list(queries)
    assert [[found.doc_id for found in run[f"q{n}"]] for n in range(596, 600)] == [["a"], ["b"], ["d"], []]


def test_no_queries_give_an_empty_run():
    assert TfidfRetriever.fit(DOCUMENTS).search({}, 5) == {}


def test_similarities_are_the_search_scores_for_texts_of_the_corpus():
    retriever = TfidfRetriever.fit(DOCUMENTS)
    scores = retriever.similarities("sail in the wind", [document.full_text for document in DOCUMENTS])
    by_id = dict(retriever.search({"q": "sail in the wind"}, 5)["q"])
    assert scores == pytest.approx([by_id.get(document.doc_id, 0) for document in DOCUMENTS], abs=1e-6)
    assert scores.dtype == np.float32


def test_similarities_of_new_texts_use_the_weights_of_the_corpus():
    texts = [document.full_text for document in DOCUMENTS]
    vectorizer = TfidfVectorizer(sublinear_tf=True, analyzer=Analyzer().terms).fit(texts)
    new = ["sail sail bread", "unheardof", ""]
    expected = (vectorizer.transform(new) @ vectorizer.transform(["sail"]).T).toarray()[:, 0]
    assert TfidfRetriever.fit(DOCUMENTS).similarities("sail", new) == pytest.approx(expected, abs=1e-6)


def test_japanese_is_found_by_parts_of_a_sentence():
    documents = as_documents(["猫が窓のそばで眠っている", "東京の天気は晴れです"])
    retriever = TfidfRetriever.fit(documents)
    assert retriever.analyzer.kind == "char"
    assert [found.doc_id for found in retriever.search({"q": "東京の天気"}, 1)["q"]] == ["1"]


@pytest.mark.parametrize("documents", [[], [Document("1", "")], [Document("1", "the"), Document("2", "…")]])
def test_a_corpus_without_words_is_an_input_error(documents):
    with pytest.raises(InputError):
        TfidfRetriever.fit(documents)


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
@pytest.mark.parametrize("analyzer", [Analyzer(), Analyzer("char", ngram=3), Analyzer(language="none")])
def test_a_loaded_index_gives_identical_results(tmp_path, analyzer, weighting):
    retriever = TfidfRetriever.fit(DOCUMENTS, analyzer, weighting=weighting)
    retriever.save(tmp_path / "index")
    loaded = TfidfRetriever.load(tmp_path / "index")
    queries = {"q": "a boat in the wind", "r": "sail", "s": "unheardof"}
    assert loaded.search(queries, 3) == retriever.search(queries, 3)
    assert loaded.similarities("sail", ["wind sail", "x"]).tolist() == [
        *retriever.similarities("sail", ["wind sail", "x"])
    ]
    assert loaded.analyzer == analyzer


def test_a_loaded_index_can_be_saved_over_itself(tmp_path):
    TfidfRetriever.fit(DOCUMENTS).save(tmp_path / "index")
    TfidfRetriever.load(tmp_path / "index").save(tmp_path / "index")
    assert TfidfRetriever.load(tmp_path / "index").search({"q": "bread"}, 1)["q"][0].doc_id == "d"


def test_an_index_on_disk_holds_no_pickle(tmp_path):
    TfidfRetriever.fit(DOCUMENTS).save(tmp_path / "index")
    files = sorted(path.name for path in (tmp_path / "index").iterdir())
    assert files == ["data.npy", "idf.npy", "index.json", "indices.npy", "indptr.npy"]
    for path in (tmp_path / "index").glob("*.npy"):
        assert not np.load(path, allow_pickle=False).dtype.hasobject


class Evil:
    def __reduce__(self):
        return exit, ()


def shorten(path):
    path.write_bytes(path.read_bytes()[:-4])


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def spoil(folder, name, value):
    """Put a value first in an array, which may thereby come to hold another kind of values."""
    array = np.load(folder / name)
    spoilt = array.astype(np.result_type(array, type(value)) if not isinstance(value, str) else "U9")
    spoilt[0] = value
    np.save(folder / name, spoilt)


def twice(folder, key):
    values = json.loads((folder / "index.json").read_text())[key]
    change(folder / "index.json", **{key: [values[0], *values[:-1]]})


DAMAGE = {
    "index.json is missing": lambda folder: (folder / "index.json").unlink(),
    "index.json is no JSON": lambda folder: (folder / "index.json").write_text("{"),
    "index.json is a list": lambda folder: (folder / "index.json").write_text("[]"),
    "index.json is of another format": lambda folder: (folder / "index.json").write_text('{"format": "other-1"}'),
    "index.json has no terms": lambda folder: (folder / "index.json").write_text('{"format": "crossforge-tfidf-3"}'),
    "its weighting is no object": lambda folder: change(folder / "index.json", weighting="tfidf"),
    "its weighting is unknown": lambda folder: change(folder / "index.json", weighting={"name": "bm42"}),
    "its weighting lacks k1": lambda folder: change(folder / "index.json", weighting={"name": "bm25", "b": 0.4}),
    "an array is missing": lambda folder: (folder / "idf.npy").unlink(),
    "an array is empty": lambda folder: (folder / "data.npy").write_bytes(b""),
    "an array is cut": lambda folder: shorten(folder / "data.npy"),
    "an array is a pickle": lambda folder: np.save(folder / "idf.npy", np.array([Evil()], dtype=object)),
    "indptr is of another size": lambda folder: np.save(folder / "indptr.npy", np.zeros(2, dtype=np.int32)),
    "idf is of another size": lambda folder: np.save(folder / "idf.npy", np.ones(1, dtype=np.float32)),
    **{
        f"{name} holds {value}": partial(spoil, name=f"{name}.npy", value=value)
        for name in ("data", "idf")
        for value in (math.nan, math.inf, -1.0, 1j, "x")
    },
    "indices are no whole numbers": partial(spoil, name="indices.npy", value=0.5),
    "a document stands twice at a term": lambda folder: np.save(
        folder / "indices.npy", np.zeros_like(np.load(folder / "indices.npy"))
    ),
    "a term stands twice": partial(twice, key="terms"),
    "an id stands twice": partial(twice, key="doc_ids"),
    "an id is a number": lambda folder: change(folder / "index.json", doc_ids=[*range(len(DOCUMENTS))]),
    "the title weight is NaN": lambda folder: change(folder / "index.json", title_weight=math.nan),
    "the analyzer is unknown": lambda folder: change(folder / "index.json", analyzer={"kind": "sound"}),
    "an n-gram has no length": lambda folder: change(folder / "index.json", analyzer={"kind": "char", "ngram": 0}),
    "the average length is 0": lambda folder: change(
        folder / "index.json", weighting={"name": "bm25", "average_length": 0, "k1": 0.9, "b": 0.4}
    ),
    "b is above 1": lambda folder: change(
        folder / "index.json", weighting={"name": "bm25", "average_length": 9, "k1": 0.9, "b": 2}
    ),
    "the folder is missing": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_a_package_error(tmp_path, damage):
    folder = tmp_path / "index"
    TfidfRetriever.fit(DOCUMENTS).save(folder)
    DAMAGE[damage](folder)
    with pytest.raises(PackageError, match="index") as caught:
        TfidfRetriever.load(folder)
    assert "\n" not in str(caught.value)


def test_an_index_that_points_outside_its_arrays_does_not_crash_the_process(tmp_path):
    TfidfRetriever.fit(DOCUMENTS).save(tmp_path / "index")
    indices = np.load(tmp_path / "index" / "indices.npy")
    np.save(tmp_path / "index" / "indices.npy", np.full_like(indices, 10**8))
    code = (
        "import sys; from pathlib import Path; from crossforge import PackageError, TfidfRetriever\n"
        "try: TfidfRetriever.load(Path(sys.argv[1]))\n"
        "except PackageError: sys.exit(7)"
    )
    finished = subprocess.run([sys.executable, "-c", code, str(tmp_path / "index")], check=False)
    assert finished.returncode == 7


def bm25_by_the_formula(texts, query, k1=0.9, b=0.4):
    """Lucene's BM25 of a query and each text, shape (texts,), one term of one text at a time."""
    counts = [Counter(Analyzer().terms(text)) for text in texts]
    average = sum(count.total() for count in counts) / len(texts)
    scores = np.zeros(len(texts))
    for term in Analyzer().terms(query):
        holders = sum(term in count for count in counts)
        idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
        for position, count in enumerate(counts):
            scores[position] += idf * count[term] / (count[term] + k1 * (1 - b + b * count.total() / average))
    return scores


@settings(max_examples=60)
@given(CORPORA, TEXTS)
def test_bm25_scores_equal_the_formula(texts, query):
    assume(any(Analyzer().terms(text) for text in texts))
    retriever = TfidfRetriever.fit(as_documents(texts), Analyzer(), weighting="bm25")
    expected = bm25_by_the_formula(texts, query)
    assert retriever.similarities(query, texts) == pytest.approx(expected, abs=1e-5)
    found = retriever.search({"q": query}, len(texts))["q"]
    assert {int(candidate.doc_id) for candidate in found} == set(np.flatnonzero(expected))
    for candidate in found:
        assert candidate.score == pytest.approx(expected[int(candidate.doc_id)], abs=1e-5)


def test_bm25_of_a_new_text_counts_its_own_length_against_the_corpus():
    retriever = TfidfRetriever.fit(as_documents(["boat sail", "boat wind tide bread"]), weighting="bm25")
    # One holder of two documents: idf = log(1 + 1.5 / 1.5); six words against an average of three.
    expected = math.log(2) * 2 / (2 + 0.9 * (1 - 0.4 + 0.4 * 6 / 3))
    score = retriever.similarities("sail", ["sail sail x1 boat boat wind tide"])
    assert score == pytest.approx([expected], abs=1e-6)


def test_an_unknown_weighting_is_an_input_error_that_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'bm42'; have tfidf, bm25"):
        TfidfRetriever.fit(DOCUMENTS, weighting="bm42")


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
@pytest.mark.parametrize("weight", [2, 3])
def test_a_title_weight_counts_the_words_of_titles_so_often(weighting, weight):
    weighted = TfidfRetriever.fit(DOCUMENTS, weighting=weighting, title_weight=weight)
    repeated = [Document(found.doc_id, f"{f'{found.title} ' * weight}{found.text}") for found in DOCUMENTS]
    queries = {"q": "boat sail", "r": "wind"}
    assert weighted.search(queries, 5) == TfidfRetriever.fit(repeated, weighting=weighting).search(queries, 5)


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_titles_that_count_for_nothing_are_not_indexed(weighting):
    documents = [Document("a", "wind", "boat"), Document("b", "sail", "tide")]
    retriever = TfidfRetriever.fit(documents, weighting=weighting, title_weight=0)
    bare = [Document("a", "wind"), Document("b", "sail")]
    assert retriever.search({"q": "boat wind tide"}, 5) == TfidfRetriever.fit(bare, weighting=weighting).search(
        {"q": "boat wind tide"}, 5
    )


def test_a_word_of_a_title_that_weighs_little_counts_less_than_one_of_the_text():
    documents = [Document("a", "wind", "boat"), Document("b", "boat", "wind")]
    for weighting in ("tfidf", "bm25"):
        retriever = TfidfRetriever.fit(documents, weighting=weighting, title_weight=0.1)
        found = retriever.search({"q": "boat"}, 5)["q"]
        assert [candidate.doc_id for candidate in found] == ["b", "a"]
        assert all(candidate.score > 0 for candidate in found)


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf])
def test_a_title_weight_below_0_is_an_input_error(weight):
    with pytest.raises(InputError, match="title_weight"):
        TfidfRetriever.fit(DOCUMENTS, title_weight=weight)


def test_the_title_weight_is_saved_with_the_index(tmp_path):
    TfidfRetriever.fit(DOCUMENTS, title_weight=2.5).save(tmp_path / "index")
    assert TfidfRetriever.load(tmp_path / "index").title_weight == 2.5


def test_a_loaded_index_is_read_from_its_files(tmp_path):
    TfidfRetriever.fit(DOCUMENTS).save(tmp_path / "index")
    postings = TfidfRetriever.load(tmp_path / "index")._postings
    for array in (postings.data, postings.indices, postings.indptr):
        while isinstance(array.base, np.ndarray):
            array = array.base
        assert isinstance(array, np.memmap)


class LongDocuments(ValuesView):
    """Documents that are made when they are read: 40 MB of text, if they were all there."""

    def __init__(self):
        super().__init__({})

    def __len__(self):
        return 400

    def __iter__(self):
        return (Document(str(number), f"boat{number} " * 3_000) for number in range(len(self)))


def test_documents_are_read_and_never_held(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "_CHUNK", 10)
    # Worker processes are given chunks as small as these several at a time.
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    tracemalloc.start()
    try:
        retriever = TfidfRetriever.fit(LongDocuments(), Analyzer())
        save_first_stage(tmp_path / "first_stage", LongDocuments(), retriever)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [found.doc_id for found in retriever.search({"q": "boat123"}, 5)["q"]] == ["123"]
    assert peak < 2e6, "the texts are 9 MB"


@given(CORPORA, st.lists(TEXTS, min_size=1, max_size=3), st.integers(1, 6), st.randoms(use_true_random=False))
def test_with_ties_by_id_the_order_of_documents_decides_nothing(texts, asked, k, shuffle):
    assume(any(Analyzer().terms(text) for text in texts))
    documents = as_documents(texts)
    shuffled = list(documents)
    shuffle.shuffle(shuffled)
    queries = {str(number): text for number, text in enumerate(asked)}
    found, other = (
        TfidfRetriever.fit(some, Analyzer()).search(queries, k, ties_by_id=True) for some in (documents, shuffled)
    )
    assert found == other
    for best in found.values():
        assert best == sorted(best, key=lambda one: (-one.score, one.doc_id))


@pytest.mark.parametrize("weighting, name", [("tfidf", "TF-IDF"), ("bm25", "BM25")])
def test_it_is_called_by_its_weighting(weighting, name, tmp_path):
    retriever = TfidfRetriever.fit([Document("a", "bread"), Document("b", "boat")], weighting=weighting)
    retriever.save(tmp_path / "index")
    assert retriever.name == TfidfRetriever.load(tmp_path / "index").name == name
