"""Copies are the same text but for case, spacing, punctuation and small edits."""

import pytest

from crossforge.documents import Document
from crossforge_train.mining.copies import CopyDetector

TEXT = "Bread is baked from dough that was left to rise for some hours in a warm place near the oven."


def detector(threshold: float = 0.8, **texts: str) -> CopyDetector:
    return CopyDetector(
        {name: Document(name, text, title=f"Title of {name}") for name, text in texts.items()}, threshold
    )


@pytest.mark.parametrize(
    "copy", [TEXT.upper(), TEXT.replace(" ", "\n\t "), TEXT.replace(" ", ", "), TEXT + " Really."], ids=repr
)
def test_a_changed_copy_is_recognised_under_another_title(copy: str) -> None:
    assert detector(a=TEXT, b=copy).is_copy("b", ["a"])


def test_another_text_about_the_same_thing_is_no_copy() -> None:
    other = "Dough has to rise in a warm place before the baker puts the bread into the oven."
    assert not detector(a=TEXT, b=other).is_copy("b", ["a"])


def test_the_threshold_decides_how_much_may_be_edited() -> None:
    edited = TEXT.replace("baked", "prepared").replace("hours", "days").replace("warm", "shady")
    assert detector(0.3, a=TEXT, b=edited).is_copy("b", ["a"])
    assert not detector(0.95, a=TEXT, b=edited).is_copy("b", ["a"])


def test_one_of_several_is_enough_and_none_is_never_enough() -> None:
    found = detector(a=TEXT, b="something else altogether here", c=TEXT.lower())
    assert found.is_copy("c", ["b", "a"])
    assert not found.is_copy("c", [])


@pytest.mark.parametrize(("left", "right", "copy"), [("Red car", "red, CAR", True), ("red car", "red bus", False)])
def test_texts_shorter_than_a_shingle_are_compared_whole(left: str, right: str, copy: bool) -> None:
    assert detector(a=left, b=right).is_copy("b", ["a"]) is copy


def test_documents_that_have_only_a_title_are_told_apart_by_it() -> None:
    corpus = {
        "a": Document("a", "", title="How do I bake bread?"),
        "b": Document("b", "", title="Where is the harbour?"),
        "c": Document("c", "", title="how do I bake bread"),
    }
    found = CopyDetector(corpus, 0.8)
    assert found.is_copy("c", ["a"])
    assert not found.is_copy("b", ["a"]), "two empty texts are no copies where the titles say different things"


@pytest.mark.parametrize(
    ("left", "right", "copy"),
    [
        ("How do I reset my password?", "how do i reset my pasword", True),  # no 3-gram but one in common
        (f"{TEXT} It was 1999.", f"{TEXT} It was 2004.", False),  # nor in a long text
        ("Error 404 on the login page", "Error 403 on the login page", False),  # a number is no small edit
        ("How do I enable two factor login?", "How do I disable two factor login?", False),
        ("東京は日本の首都であり、人口が最も多い都市である。", "東京は日本の首都であり人口が最も多い都市である", True),
        ("東京は日本の首都であり、人口が最も多い都市である。", "大阪は日本の都市であり、食べ物がおいしい。", False),
    ],
)
def test_small_edits_are_seen_in_short_texts_too(left: str, right: str, copy: bool) -> None:
    assert detector(a=left, b=right).is_copy("b", ["a"]) is copy


def test_a_text_that_stands_within_a_longer_one_is_a_copy_of_it() -> None:
    passage = " ".join(f"word{number}" for number in range(40))
    longer = " ".join(f"other{number}" for number in range(200)) + " " + passage
    found = detector(a=passage, b=longer, c=longer.replace("word", "term"))
    assert found.is_copy("b", ["a"])
    assert found.is_copy("a", ["b"])
    assert not found.is_copy("c", ["a"])


def test_the_same_template_about_something_else_is_no_copy() -> None:
    template = "The {0} is a rare thing. " + " ".join(f"sign{n} of {{0}}" for n in range(30))
    found = detector(
        a=template.format("hernia"), b=template.format("agenesis") + " and more about the agenesis of lungs"
    )
    assert not found.is_copy("b", ["a"])
