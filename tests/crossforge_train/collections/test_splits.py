"""Splits by query: nothing that belongs together is ever separated."""

import random
import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.splits import carve, connected, drawn_shares, normalized

DOC_IDS = [f"d{number}" for number in range(8)]
QUERY_IDS = [f"q{number}" for number in range(14)]
TEXTS = ["red car", "Red  car!", "blue boat", "green tree", "what?", "old house", "new house", "tall ship"]

collections = st.builds(
    lambda texts, judged: collection_of(
        {query_id: texts[number] for number, query_id in enumerate(QUERY_IDS)},
        dict(zip(QUERY_IDS, judged, strict=True)),
    ),
    st.lists(st.sampled_from(TEXTS) | st.text("abcdefg", min_size=4, max_size=6), min_size=14, max_size=14),
    st.lists(
        st.dictionaries(st.sampled_from(DOC_IDS), st.integers(0, 2), min_size=1, max_size=2), min_size=14, max_size=14
    ),
)


def collection_of(queries: dict[str, str], qrels: dict[str, dict[str, int]], **splits: dict) -> Collection:
    corpus = {doc_id: Document(doc_id, f"text {doc_id}") for doc_id in DOC_IDS}
    return Collection("any", corpus, queries, {"train": qrels, **splits})


def carved(collection: Collection, seed: int = 0) -> Collection:
    try:
        return carve(collection, 0.4, seed)
    except InputError:  # one big cluster, or no cluster was drawn
        assume(False)
        raise


@given(collections, st.integers(0, 50))
def test_carving_dev_partitions_the_queries(collection: Collection, seed: int) -> None:
    found = carved(collection, seed)
    train, dev = found.qrels("train"), found.qrels("dev")
    assert train
    assert dev
    assert not train.keys() & dev.keys()
    assert {**train, **dev} == collection.qrels("train")


@given(collections, st.integers(0, 50), st.randoms(use_true_random=False))
def test_the_same_seed_carves_the_same_dev_whatever_the_order(
    collection: Collection, seed: int, shuffle: random.Random
) -> None:
    items = list(collection.qrels("train").items())
    shuffle.shuffle(items)
    shuffled = Collection("any", collection.corpus, dict(reversed(collection.queries.items())), {"train": dict(items)})
    assert carved(collection, seed).splits == carved(shuffled, seed).splits


@given(collections, st.integers(0, 50))
def test_queries_of_one_text_or_one_relevant_document_stay_together(collection: Collection, seed: int) -> None:
    found = carved(collection, seed)

    def marks(split: str) -> set[str]:
        qrels = found.qrels(split)
        texts = {f"text {normalized(collection.queries[query_id])}" for query_id in qrels}
        return texts | {doc_id for judged in qrels.values() for doc_id, label in judged.items() if label > 0}

    assert not marks("train") & marks("dev")


def test_another_seed_carves_another_dev() -> None:
    queries = {f"q{number}": f"text {number}" for number in range(200)}
    collection = collection_of(queries, {query_id: {"d0": 0} for query_id in queries})
    first, second = (set(carve(collection, 0.3, seed).qrels("dev")) for seed in (1, 2))
    assert first != second
    assert all(30 < len(dev) < 90 for dev in (first, second))


def test_a_split_that_is_one_cluster_cannot_be_carved() -> None:
    collection = collection_of({"q1": "same", "q2": "Same."}, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    with pytest.raises(InputError, match="too few"):
        carve(collection, 0.5, 0)


@pytest.mark.parametrize(("left", "right"), [("Straße  1", "STRASSE-1"), (" a\tb\n", "a, b"), ("x_y", "X y")])
def test_normalized_texts_differ_in_nothing_but_case_space_and_punctuation(left: str, right: str) -> None:
    assert normalized(left) == normalized(right)
    assert normalized("red car") != normalized("red cars")


@pytest.mark.parametrize("text", ["café", "ΐ", "Ångström ǰ", "दाल क़", "Việt", "が"])
def test_normalized_texts_do_not_tell_composed_letters_from_decomposed_ones(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert normalized(composed) == normalized(decomposed) == normalized(decomposed.upper())


@pytest.mark.parametrize(("left", "right"), [("दिल", "दाल"), ("ที่", "ทำ"), ("கல்", "கால்"), ("10⁵", "105")])
def test_normalized_texts_keep_vowel_signs(left: str, right: str) -> None:
    assert normalized(left) != normalized(right)
    assert normalized(f"({left}) 😀\ufe0f") == left


@given(st.text(st.characters(codec="ascii")))
def test_normalized_texts_of_ascii_stay_as_they_were_because_ids_are_made_of_them(text: str) -> None:
    assert normalized(text) == re.sub(r"[\W_]+", " ", text.casefold()).strip()


@given(st.lists(st.tuples(st.sampled_from(QUERY_IDS), st.sampled_from(QUERY_IDS)), max_size=12))
def test_connected_gives_the_smallest_key_of_each_component(links: list[tuple[str, str]]) -> None:
    component = {key: {key} for key in QUERY_IDS}
    for left, right in links:
        merged = component[left] | component[right]
        for key in merged:
            component[key] = merged
    assert connected(QUERY_IDS, links) == {key: min(component[key]) for key in QUERY_IDS}


@given(st.dictionaries(st.sampled_from(QUERY_IDS), st.sampled_from(["x", "y", "z"]), min_size=1), st.integers())
def test_a_share_depends_on_cluster_and_seed_alone(clusters: dict[str, str], seed: int) -> None:
    shares = drawn_shares(clusters, seed)
    for key, cluster in clusters.items():
        assert shares[key] == drawn_shares({"only": cluster}, seed)["only"]
        assert 0 <= shares[key] < 1
