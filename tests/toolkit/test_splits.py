"""Splits by query: nothing that belongs together is ever separated."""

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.splits import (
    carve_dev,
    connected,
    drawn_shares,
    drop_leaking_queries,
    near_copies,
    normalized,
)

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
        return carve_dev(collection, 0.4, seed)
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
    first, second = (set(carve_dev(collection, 0.3, seed).qrels("dev")) for seed in (1, 2))
    assert first != second
    assert all(30 < len(dev) < 90 for dev in (first, second))


def test_a_split_that_is_one_cluster_cannot_be_carved() -> None:
    collection = collection_of({"q1": "same", "q2": "Same."}, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    with pytest.raises(InputError, match="too few"):
        carve_dev(collection, 0.5, 0)


def test_queries_that_also_stand_in_a_held_out_split_are_dropped() -> None:
    queries = {"q1": "Red car", "q2": "blue boat", "q3": "red  CAR?", "q4": "tree"}
    collection = collection_of(
        queries, {"q1": {"d1": 1}, "q2": {"d1": 1}}, test={"q3": {"d2": 1}}, other={"q4": {"d3": 1}}
    )
    kept, dropped = drop_leaking_queries(collection, source="train", held_out=["test", "other"])
    assert dropped == 1
    assert kept.qrels("train") == {"q2": {"d1": 1}}
    assert kept.qrels("test") == collection.qrels("test")


def test_a_source_split_that_leaks_completely_is_refused() -> None:
    collection = collection_of({"q1": "a b", "q2": "A, b"}, {"q1": {"d1": 1}}, test={"q2": {"d1": 1}})
    with pytest.raises(InputError, match="every query of split train also stands in test"):
        drop_leaking_queries(collection, source="train", held_out=["test"])


@pytest.mark.parametrize(("left", "right"), [("Straße  1", "STRASSE-1"), (" a\tb\n", "a, b"), ("x_y", "X y")])
def test_normalized_texts_differ_in_nothing_but_case_space_and_punctuation(left: str, right: str) -> None:
    assert normalized(left) == normalized(right)
    assert normalized("red car") != normalized("red cars")


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


def test_near_copies_are_pairs_whose_word_trigrams_overlap() -> None:
    text = "returns the sum of all the elements along the given axis of the array"
    edited = text.replace("array", "matrix")
    other = "opens a file for reading and gives back a stream of bytes to the caller"
    assert sorted(near_copies([text, other, edited, text.upper()], 0.8)) == [(0, 2), (0, 3), (2, 3)]
    assert near_copies([text, other, edited, text.upper()], 0.999) == [(0, 3)]


def test_near_copies_are_found_across_blocks() -> None:
    texts = [f"alpha{number} beta{number} gamma{number} delta{number}" for number in range(600)]
    texts[590] = texts[3]
    assert near_copies(texts, 0.9) == [(3, 590)]
