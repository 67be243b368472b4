"""The report of mining as version 0.1 wrote it, and as it is written now."""

import json
from pathlib import Path

from crossforge_train.mining.counts import MiningCounts
from crossforge_train.mining.report import MiningReport, RankBand, read_mining_report, write_mining_report

OF_VERSION_0_1 = {
    "analyzer": "Analyzer(kind='word', language='english', ngram=2)",
    "groups": 31,
    "queries": 30,
    "candidates_seen": 99,
    "share_of_queries_without_a_candidate": 0.1,
    "counts": {
        "groups": 31,
        "negatives: first stage": 80,
        "negatives: run other.trec": 13,
        "dropped: known positive": 1,
        "dropped: copy of a positive": 2,
        "dropped: above the teacher's margin": 3,
        "queries without a candidate": 3,
        "groups filled up with random negatives": 4,
        "groups with too few negatives: the corpus is too small": 5,
        "groups left out: query too long for the teacher": 6,
        "relabelled: above the teacher's margin": 7,
    },
    "ranks": {"1–10": 86, "11–20": 7, "21–50": 2, "51–100": 1, "101 and below": 9, "not retrieved": 8},
    "suspects": 93,
}
REPORT = MiningReport(
    analyzer="Analyzer(kind='word', language='english', ngram=2)",
    groups=31,
    queries=30,
    counts=MiningCounts(
        groups=31,
        negatives={"first stage": 80, "run other.trec": 13},
        dropped={"known_positive": 1, "copy_of_a_positive": 2, "above_margin": 3},
        queries_without_candidate=3,
        filled_up=4,
        too_few=5,
        unreadable=6,
        relabelled=7,
    ),
    ranks=[RankBand(1, 10, 86), RankBand(11, 20, 7), RankBand(21, 50, 2), RankBand(51, 100, 1), RankBand(101, None, 9)],
    not_retrieved=8,
    suspects=93,
)


def test_a_report_of_version_0_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(OF_VERSION_0_1))
    found = read_mining_report(tmp_path / "report.json")
    assert found == REPORT
    assert found.counts.candidates_seen == OF_VERSION_0_1["candidates_seen"]
    assert found.share_without_candidate == OF_VERSION_0_1["share_of_queries_without_a_candidate"]


def test_a_report_is_written_and_read_again(tmp_path: Path) -> None:
    write_mining_report(tmp_path / "report.json", REPORT)
    assert read_mining_report(tmp_path / "report.json") == REPORT
