"""Leaks between splits: what is dropped, moved, kept and counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.leaks import Leakage, leakage, settle_leaks
from crossforge_train.collections.splits import carve, group_values, normalized

DOCUMENTS = {"d1": "first", "d2": "second", "d3": "First!", "d4": "fourth"}


def made(splits: dict[str, dict[str, tuple[str, str]]], groups: dict[str, object] | None = None) -> Collection:
    """Split -> query id -> (text, relevant document)."""
    return Collection(
        "any",
        {doc_id: Document(doc_id, text) for doc_id, text in DOCUMENTS.items()},
        {query_id: text for found in splits.values() for query_id, (text, _) in found.items()},
        {split: {query_id: {doc_id: 1} for query_id, (_, doc_id) in found.items()} for split, found in splits.items()},
        {query_id: {"thread": value} for query_id, value in (groups or {}).items()},
    )


LEAKING = {
    "train": {"q1": ("Red car", "d1"), "q2": ("blue boat", "d1"), "q5": ("old house", "d2")},
    "test": {"q3": ("red  CAR?", "d2")},
    "other": {"q4": ("tree", "d3"), "q6": ("Red car!", "d3")},
}


def settled(collection: Collection, policy: str, group_by: str | None = None) -> tuple[dict[str, list[str]], int]:
    found = settle_leaks(collection, source="train", held_out=["test", "other"], policy=policy, group_by=group_by)
    return {split: list(qrels) for split, qrels in found.collection.splits.items()}, found.leaking


@pytest.mark.parametrize(
    ("policy", "train", "test"),
    [("drop", ["q2", "q5"], ["q3"]), ("move", ["q2", "q5"], ["q3", "q1"]), ("keep", ["q1", "q2", "q5"], ["q3"])],
)
def test_queries_with_the_text_of_a_held_out_one_are_dropped_moved_or_kept(
    policy: str, train: list[str], test: list[str]
) -> None:
    splits, leaking = settled(made(LEAKING), policy)
    assert splits == {"train": train, "test": test, "other": ["q4", "q6"]}
    assert leaking == 1


def test_queries_of_the_group_of_a_held_out_one_leak_too() -> None:
    groups = {"q2": "a", "q5": ["b", "c"], "q3": "z", "q4": ["c", "d"]}
    assert settled(made(LEAKING, groups), "drop", "thread") == (
        {"train": ["q2"], "test": ["q3"], "other": ["q4", "q6"]},
        2,
    )
    assert settled(made(LEAKING, groups), "drop")[1] == 1, "a field that is not named plays no part"


def test_a_moved_query_takes_its_group_with_it() -> None:
    collection = made(LEAKING, {"q1": "a", "q2": "a"})
    splits, leaking = settled(collection, "move", "thread")
    assert splits == {"train": ["q5"], "test": ["q3", "q1", "q2"], "other": ["q4", "q6"]}
    assert leaking == 2


@pytest.mark.parametrize("policy", ["drop", "move"])
def test_a_source_split_that_leaks_completely_is_refused(policy: str) -> None:
    collection = made({"train": {"q1": ("a b", "d1")}, "test": {"q2": ("A, b", "d1")}, "other": {"q3": ("c", "d1")}})
    with pytest.raises(InputError, match="every query of split train also occurs in test or other"):
        settled(collection, policy)


def test_leakage_counts_equal_and_similar_queries_and_shared_answers() -> None:
    splits = {
        "train": {
            "q1": ("Red car", "d1"),
            "q2": ("how do i make a sourdough starter", "d2"),
            "q3": ("how do i make a sourdough starter!", "d4"),
        },
        "test": {"q4": ("red CAR", "d3"), "q5": ("how do i make a sourdogh starter", "d4"), "q6": ("tree", "d3")},
    }
    assert leakage(made(splits)) == [
        Leakage(splits=["train", "test"], same_query=[1, 1], nearly_the_same_query=[2, 1], same_relevant_text=[2, 3])
    ]


QUERY_IDS = [f"q{number}" for number in range(12)]
TWELVE = {"min_size": 12, "max_size": 12}
GROUPED = st.tuples(
    st.lists(st.sampled_from(["red car", "Red  car!", "blue boat", "a", "b", "c"]), **TWELVE),
    st.lists(st.sampled_from(sorted(DOCUMENTS)), **TWELVE),
    st.lists(st.none() | st.sampled_from("xyz") | st.lists(st.sampled_from("xyzuv"), max_size=2), **TWELVE),
    st.lists(st.sampled_from(["train", "test"]), **TWELVE),
)  # fmt: skip


def grouped(drawn: tuple[list[str], list[str], list, list[str]], splits: bool) -> Collection:
    texts, documents, groups, homes = drawn
    found: dict[str, dict] = {"train": {}, "test": {}} if splits else {"train": {}}
    for query_id, text, doc_id, home in zip(QUERY_IDS, texts, documents, homes, strict=True):
        found[home if splits else "train"][query_id] = (text, doc_id)
    return made(found, {key: value for key, value in zip(QUERY_IDS, groups, strict=True) if value is not None})


def marks(collection: Collection, split: str) -> set[str]:
    return {
        mark
        for query_id in collection.qrels(split)
        for mark in (
            f"text {normalized(collection.queries[query_id])}",
            *group_values(collection, query_id, "thread"),
        )
    }


@given(GROUPED, st.sampled_from(["drop", "move"]))
def test_what_was_settled_has_no_text_and_no_group_in_two_splits(drawn: tuple, policy: str) -> None:
    collection = grouped(drawn, splits=True)
    try:
        found = settle_leaks(collection, source="train", held_out=["test"], policy=policy, group_by="thread")
    except InputError:
        return
    assert not marks(found.collection, "train") & marks(found.collection, "test")
    left = sum(len(qrels) for qrels in found.collection.splits.values())
    assert left == len(QUERY_IDS) - (found.leaking if policy == "drop" else 0)
    assert set(found.collection.qrels("test")) >= set(collection.qrels("test"))


@given(GROUPED, st.integers(0, 20))
def test_a_carved_split_shares_no_text_document_or_group_with_the_rest(drawn: tuple, seed: int) -> None:
    collection = grouped(drawn, splits=False)
    try:
        found = carve(collection, 0.4, seed, group_by="thread")
    except InputError:
        return
    assert not marks(found, "train") & marks(found, "dev")
    answers = {split: {doc_id for judged in found.qrels(split).values() for doc_id in judged} for split in found.splits}
    assert not answers["train"] & answers["dev"]
    assert {**found.qrels("train"), **found.qrels("dev")} == collection.qrels("train")
