"""The counts of a collection: written, read back, and read where version 0.1 wrote them."""

from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.collections.counts import Counts, read_counts, write_counts
from crossforge_train.collections.leaks import Leakage
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts

OF_VERSION_0_1 = {
    "name": "collection",
    "documents": 72,
    "queries": {"test": 24, "train": 31, "dev": 17},
    "leaks": "drop",
    "leaking_queries": {"train": 2},
    "leakage_left": [
        {"splits": ["test", "dev"], "same query": [1, 2], "nearly the same query": [3, 4], "same relevant text": [8, 7]}
    ],
}
PLAIN = Counts(
    name="collection",
    documents=72,
    queries={"test": 24, "train": 31, "dev": 17},
    leaks="drop",
    leaking_queries={"train": 2},
    leakage_left=[Leakage(["test", "dev"], [1, 2], [3, 4], [8, 7])],
)
OPTIONAL_OF_VERSION_0_1 = {
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
    "training_queries_by_source": {"ours": 8},
}
OPTIONAL = {
    **OPTIONAL_OF_VERSION_0_1,
    "pseudo_queries": {
        "title": PseudoQueryCounts(made=70, twice=1, kept=60),
        "sentence": PseudoQueryCounts(made=60, too_little_left=2, not_brought_back=3, of_several_splits=4, kept=30),
    },
}


def test_counts_of_version_0_1_are_read(tmp_path: Path) -> None:
    write_json(tmp_path / "counts.json", OF_VERSION_0_1)
    assert read_counts(tmp_path / "counts.json") == PLAIN
    write_json(tmp_path / "counts.json", {**OF_VERSION_0_1, **OPTIONAL_OF_VERSION_0_1})
    assert read_counts(tmp_path / "counts.json") == Counts(**{**vars(PLAIN), **OPTIONAL})


@pytest.mark.parametrize("optional", [{}, OPTIONAL])
def test_counts_come_back_as_they_were_written(tmp_path: Path, optional: dict) -> None:
    counts = Counts(**{**vars(PLAIN), **optional})
    write_counts(tmp_path / "counts.json", counts)
    assert read_counts(tmp_path / "counts.json") == counts
    assert set(OPTIONAL) & set(read_json(tmp_path / "counts.json")) == set(optional)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": "c"},
        {**OF_VERSION_0_1, "sails": 3},
        {**OF_VERSION_0_1, "leakage_left": [{"splits": [], "same": []}]},
        {**OF_VERSION_0_1, "pseudo_queries": {"title": {"made": 1, "dropped: for fun": 1}}},
        {**OF_VERSION_0_1, "pseudo_queries": {"title": 1}},
    ],
)
def test_another_file_is_refused_with_a_way_out(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "counts.json", content)
    with pytest.raises(InputError, match=r"counts\.json: not the counts of a collection; delete .* and collect again$"):
        read_counts(tmp_path / "counts.json")
