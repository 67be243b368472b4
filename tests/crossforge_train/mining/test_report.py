"""The report of mining: written, read back, and read where version 0.1 wrote it."""

from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge.files import write_json
from crossforge_train.mining.counts import ABOVE_MARGIN, COPY, KNOWN_POSITIVE, MiningCounts
from crossforge_train.mining.groups import Group
from crossforge_train.mining.report import (
    MiningReport,
    RankBand,
    mining_report,
    read_mining_report,
    write_mining_report,
)

OF_VERSION_0_1 = {
    "analyzer": "Analyzer(kind='word', language='english', ngram=2)",
    "groups": 31,
    "queries": 30,
    "candidates_seen": 102,
    "share_of_queries_without_a_candidate": 0.1,
    "counts": {
        "groups": 31,
        "negatives: first stage": 70,
        "negatives: run bm25.trec": 11,
        "dropped: known positive": 9,
        "dropped: copy of a positive": 2,
        "dropped: above the teacher's margin": 10,
        "queries without a candidate": 3,
        "groups filled up with random negatives": 4,
        "groups with too few negatives: the corpus is too small": 7,
        "groups left out: query too long for the teacher": 5,
        "relabelled: above the teacher's margin": 6,
    },
    "ranks": {"1–10": 60, "11–20": 8, "21–50": 2, "51–100": 1, "101 and below": 7, "not retrieved": 3},
    "suspects": 12,
}


def group(query_id: str, ranks: list[int]) -> Group:
    """A positive at rank 1, and negatives at `ranks`."""
    places = range(len(ranks) + 1)
    return Group(query_id, [f"d{n}" for n in places], [1, *[0] * len(ranks)], [1, *ranks], ["" for _ in places])


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    counts = MiningCounts(2, {"first stage": 5, "dense": 1}, {COPY: 3}, 1, 2, 3, 4, 5)
    written = mining_report([group("q1", [2, 10, 11]), group("q2", [0, 100, 101])], counts, "word", 7)
    write_mining_report(tmp_path / "report.json", written)
    assert read_mining_report(tmp_path / "report.json") == written
    assert [(band.first, band.last, band.negatives) for band in written.ranks] == [
        (1, 10, 2), (11, 20, 1), (21, 50, 0), (51, 100, 1), (101, None, 1)
    ]  # fmt: skip
    assert (written.groups, written.queries, written.not_retrieved, written.suspects) == (2, 2, 1, 7)
    assert written.share_without_candidate == 0.5


def test_counts_that_version_0_1_left_out_are_0(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {**OF_VERSION_0_1, "counts": {"groups": 31, "negatives: first stage": 93}})
    assert read_mining_report(tmp_path / "report.json").counts == MiningCounts(
        groups=31, negatives={"first stage": 93}, dropped={KNOWN_POSITIVE: 0, COPY: 0, ABOVE_MARGIN: 0}
    )


def test_a_report_of_version_0_1_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", OF_VERSION_0_1)
    found = read_mining_report(tmp_path / "report.json")
    assert found == MiningReport(
        analyzer="Analyzer(kind='word', language='english', ngram=2)",
        groups=31,
        queries=30,
        counts=MiningCounts(
            groups=31,
            negatives={"first stage": 70, "run bm25.trec": 11},
            dropped={KNOWN_POSITIVE: 9, COPY: 2, ABOVE_MARGIN: 10},
            queries_without_candidate=3,
            filled_up=4,
            too_few=7,
            unreadable=5,
            relabelled=6,
        ),
        ranks=[
            RankBand(1, 10, 60), RankBand(11, 20, 8), RankBand(21, 50, 2), RankBand(51, 100, 1), RankBand(101, None, 7)
        ],
        not_retrieved=3,
        suspects=12,
    )  # fmt: skip
    assert found.counts.candidates_seen == OF_VERSION_0_1["candidates_seen"]
    assert found.share_without_candidate == OF_VERSION_0_1["share_of_queries_without_a_candidate"]


@pytest.mark.parametrize(
    "content", [{}, [], {"ranks": []}, {"ranks": {}}, {**OF_VERSION_0_1, "ranks": {"1–10": 1}}, {"ranks": [{"a": 1}]}]
)
def test_another_file_is_refused_with_a_way_out(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "report.json", content)
    with pytest.raises(InputError, match=r"report\.json: not a mining report; delete .* and mine again$"):
        read_mining_report(tmp_path / "report.json")


def test_counts_of_two_parts_add_up() -> None:
    total = MiningCounts(1, {"a": 1}, {COPY: 1}, 1, 1, 1, 1, 1)
    total.add(MiningCounts(2, {"a": 2, "b": 3}, {KNOWN_POSITIVE: 4}, 3, 4, 5, 6, 7))
    assert total == MiningCounts(3, {"a": 3, "b": 3}, {COPY: 1, KNOWN_POSITIVE: 4}, 4, 5, 6, 7, 8)
    assert total.candidates_seen == 11
