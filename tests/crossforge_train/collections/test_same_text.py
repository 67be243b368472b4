"""What queries of the same text know of each other."""

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.same_text import judged_by_text, spared_documents

COLLECTION = Collection(
    "any",
    {key: Document(key, f"text {key}") for key in "abcd"},
    {"one": "renew passport", "two": "Renew, passport!", "other": "new passport", "elsewhere": "renew passport"},
    {
        "train": {"one": {"a": 1, "b": 0}, "two": {"b": 2, "c": 0}, "other": {"c": 1}},
        "dev": {"elsewhere": {"d": 1}},
    },
    own_documents={"two": "d", "other": "c"},
)


def test_judgements_of_the_same_text_are_merged_within_a_split() -> None:
    judged = judged_by_text(COLLECTION, "train")
    assert judged["one"] == judged["two"] == {"a": 1, "b": 2, "c": 0}
    assert judged["other"] == {"c": 1}
    assert judged_by_text(COLLECTION, "dev") == {"elsewhere": {"d": 1}}


def test_what_is_relevant_to_the_same_text_is_spared_and_so_is_the_querys_own_document() -> None:
    assert spared_documents(COLLECTION, "train") == {"one": ["b"], "two": ["a", "d"], "other": ["c"]}
    assert spared_documents(COLLECTION, "dev") == {}
