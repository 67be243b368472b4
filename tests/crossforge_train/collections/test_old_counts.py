"""`counts.json` as version 0.1 wrote it, and as it is written now."""

import json
from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge_train.collections.counts import Counts, read_counts, write_counts
from crossforge_train.collections.leaks import Leakage
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts

OF_VERSION_0_1 = {
    "name": "docs",
    "documents": 90,
    "queries": {"train": 50, "dev": 20, "test": 20},
    "leaks": "drop",
    "leaking_queries": {"dev": 0, "train": 3},
    "leakage_left": [
        {
            "splits": ["train", "dev"],
            "same query": [1, 2],
            "nearly the same query": [3, 4],
            "same relevant text": [5, 6],
        }
    ],
    "pseudo_queries": {
        "title": {"made": 70, "dropped: made twice": 1, "kept": 60},
        "sentence": {
            "made": 60,
            "dropped: too little of the document would be left": 2,
            "dropped: its document does not come back": 3,
            "dropped: of documents of several splits": 4,
            "kept": 30,
        },
    },
    "judged_by_people": ["dev"],
}
COUNTS = Counts(
    name="docs",
    documents=90,
    queries={"train": 50, "dev": 20, "test": 20},
    leaks="drop",
    leaking_queries={"dev": 0, "train": 3},
    leakage_left=[
        Leakage(["train", "dev"], same_query=[1, 2], nearly_the_same_query=[3, 4], same_relevant_text=[5, 6])
    ],
    pseudo_queries={
        "title": PseudoQueryCounts(made=70, twice=1, kept=60),
        "sentence": PseudoQueryCounts(made=60, too_little_left=2, not_brought_back=3, of_several_splits=4, kept=30),
    },
    judged_by_people=["dev"],
)


def test_counts_of_version_0_1_are_read(tmp_path: Path) -> None:
    (tmp_path / "counts.json").write_text(json.dumps(OF_VERSION_0_1))
    assert read_counts(tmp_path / "counts.json") == COUNTS


def test_counts_are_written_with_names_and_read_again(tmp_path: Path) -> None:
    write_counts(tmp_path / "counts.json", COUNTS)
    written = json.loads((tmp_path / "counts.json").read_text())
    assert written["pseudo_queries"]["title"] == {
        "made": 70, "twice": 1, "too_little_left": 0, "not_brought_back": 0, "of_several_splits": 0, "kept": 60,
    }  # fmt: skip
    assert "training_queries_by_source" not in written
    assert read_counts(tmp_path / "counts.json") == COUNTS


@pytest.mark.parametrize(
    "damage",
    [
        {"leakage_left": [{"splits": ["train", "dev"]}]},
        {"pseudo_queries": {"title": {"made": 1, "dropped: for fun": 1}}},
        {"pseudo_queries": {"title": 1}},
    ],
)
def test_what_is_no_counts_is_refused_by_name(tmp_path: Path, damage: dict) -> None:
    (tmp_path / "counts.json").write_text(json.dumps({**OF_VERSION_0_1, **damage}))
    with pytest.raises(InputError, match=r"counts\.json: not the counts of a collection"):
        read_counts(tmp_path / "counts.json")
