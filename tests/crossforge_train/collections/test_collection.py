"""`Collection`: what it checks when it is made."""

import pytest

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection, positives

CORPUS = {doc_id: Document(doc_id, f"text of {doc_id}") for doc_id in ("a", "b", "c")}
QUERIES = {"q1": "first", "q2": "second", "q3": "FIRST!"}


def made(**changed: object) -> Collection:
    parts = {"corpus": CORPUS, "queries": QUERIES, "splits": {"train": {"q1": {"a": 1}}, "test": {"q2": {"b": 2}}}}
    return Collection("small", **{**parts, **changed})


def test_a_split_gives_its_qrels_and_its_queries() -> None:
    collection = made()
    assert collection.qrels("test") == {"q2": {"b": 2}}
    assert collection.split_queries("test") == {"q2": "second"}


def test_an_unknown_split_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"no split 'dev'; it has train, test"):
        made().qrels("dev")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"corpus": {}}, "corpus is empty"),
        ({"splits": {"train": {"q9": {"a": 1}}}}, "'q9', which is not among the queries"),
        ({"splits": {"train": {"q1": {"z": 1}}}}, "document 'z' is not in the corpus"),
        ({"queries": {**QUERIES, "q1": "  \n"}}, "query 'q1' is empty"),
        ({"splits": {"train": {"q1": {"a": 1}}, "test": {"q1": {"b": 1}}}}, "two splits, train and test"),
    ],
)
def test_what_cannot_be_used_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(**changed)


def test_positives_come_most_relevant_first_and_without_zeros() -> None:
    assert positives({"a": 1, "b": 0, "c": 3, "d": -1, "e": 2}) == ["c", "e", "a"]
