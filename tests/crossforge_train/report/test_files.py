"""`report.json` as version 0.1 wrote it, with sentences for the causes, and as it is written now."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossforge.errors import InputError
from crossforge_train.collections.agreement import JudgedTwice
from crossforge_train.evaluation.diagnostics import CAUSES
from crossforge_train.evaluation.outcome import TrainingCurves
from crossforge_train.labels.agreement import agreement
from crossforge_train.report.files import read_report, write_report

SENTENCES = [
    "among the first 10",
    "missed by the first stage",
    "below the depth that is reranked",
    "outranked by a near-copy of itself",
    "cut by max_length",
    "outranked by other documents",
]
OF_VERSION_0_1: dict[str, Any] = {
    "title": "old", "collection": "toy", "metric": "nDCG@10", "depth": 20, "backend": "onnx",
    "counting_rule": "queries without a relevant document are left out", "verdict": "WIN",
    "splits": [
        {
            "split": "test", "queries": 2, "left_out": 0, "retrieved_nothing": 0,
            "systems": [
                {"name": "first stage", "means": {"nDCG@10": 0.5}, "interval": [0.4, 0.6]},
                {"name": "as shipped", "means": {"nDCG@10": 0.75}, "interval": [0.7, 0.8]},
            ],
            "comparisons": [
                {"system": "as shipped", "baseline": "first stage", "decisive": True, "difference": 0.25,
                 "relative": 0.5, "effect_size": 1.5, "interval": [0.1, 0.4], "p_value": 0.01, "wins": 2,
                 "losses": 0, "verdict": "WIN"},
            ],
            "verdict": "WIN", "ceiling": {"nDCG@10": 1.0}, "subject": "as shipped", "baseline": "first stage",
            "gains": [0.2, 0.3], "best": [], "worst": [],
            "details": {
                "depth_curve": {
                    "queries": 2, "depths": [10, 20],
                    "values": {"first stage": [0.5, 0.5], "as shipped": [0.7, 0.75], "perfect reranker": [0.9, 1.0]},
                },
                "latency": [],
                "reliability": {
                    "method": "platt", "ece": 0.02, "log_loss": 0.3, "base_log_loss": 0.31,
                    "bins": [{"documents": 40, "probability": 0.1, "relevant": 0.1}],
                    "histogram": {"edges": [-1.0, 0.0, 1.0], "relevant": [0, 4], "others": [30, 6]},
                },
                "threshold": None,
                "diagnosis": {
                    "causes": dict(zip(SENTENCES, [10, 5, 4, 3, 2, 1], strict=True)),
                    "lost": [
                        {"query_id": f"q{number}", "doc_id": f"d{number}", "cause": sentence,
                         "first_stage_rank": 12, "rank": 11, "behind": "copy" if "copy" in sentence else None}
                        for number, sentence in enumerate(SENTENCES[1:])
                    ],
                    "unjudged": [{"query_id": "q1", "doc_id": "d9", "rank": 1, "probability": 0.9}],
                },
            },
        },
    ],
    "tuned": None, "training": None,
}  # fmt: skip


def test_a_report_of_version_0_1_is_read_with_names_for_causes(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(OF_VERSION_0_1))
    (split,) = read_report(tmp_path).splits
    assert split.details.diagnosis.causes == dict(zip(CAUSES, [10, 5, 4, 3, 2, 1], strict=True))
    assert [lost.cause for lost in split.details.diagnosis.lost] == list(CAUSES[1:])
    assert [lost.behind for lost in split.details.diagnosis.lost] == [None, None, "copy", None, None]


def test_causes_are_written_as_names_and_shown_in_words(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(OF_VERSION_0_1))
    report = read_report(tmp_path)
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    diagnosis = json.loads((tmp_path / "report.json").read_text())["splits"][0]["details"]["diagnosis"]
    assert list(diagnosis["causes"]) == list(CAUSES)
    assert [lost["cause"] for lost in diagnosis["lost"]] == list(CAUSES[1:])
    card, html = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    assert "Relevant documents: 10 among the first 10, 5 missed by the first stage, 4 below" in card
    assert '<td class="words">outranked by a near-copy of itself, copy</td>' in html
    for sentence in SENTENCES[1:]:
        assert html.count(f'<td class="words">{sentence}') == 2, "in the counts, and for the document"


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.0, "was kept."),
        (0.5, "was kept, with 50% of the weights that training started from mixed in again."),
        (
            1.0,
            "was kept, but all of the weights that training started from were mixed in again: none of it is left.",
        ),
    ],
)
def test_the_page_says_what_is_left_of_the_kept_checkpoint(tmp_path: Path, share: float, kept: str) -> None:
    (tmp_path / "report.json").write_text(json.dumps({**OF_VERSION_0_1, "splits": []}))
    curves = TrainingCurves([1, 2], [0.7, 0.5], [2], [0.6], 0.5, 2, share, [0.65])
    write_report(tmp_path, replace(read_report(tmp_path), training=curves))
    assert read_report(tmp_path).training == curves
    page = (tmp_path / "report.html").read_text()
    assert f"The checkpoint of step 2, the best on dev with the first stage's score, {kept}" in page


def test_a_training_that_an_earlier_version_began_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({**OF_VERSION_0_1, "splits": []}))
    curves = TrainingCurves([1, 2, 3], [0.7, 0.5, 0.4], [1, 2, 3], [0.6, 0.6, 0.7], 0.5, 3, 0.0, [None, 0.65, 0.7])
    write_report(tmp_path, replace(read_report(tmp_path), training=curves))
    assert read_report(tmp_path).training == curves
    assert "fused, dev" in (tmp_path / "report.html").read_text()


def test_a_report_without_details_is_read(tmp_path: Path) -> None:
    found = copy.deepcopy(OF_VERSION_0_1)
    found["splits"][0]["details"] = None
    (tmp_path / "report.json").write_text(json.dumps(found))
    assert read_report(tmp_path).splits[0].details is None


@pytest.mark.parametrize("damage", ["a cause of its own", None])
def test_a_cause_that_nobody_knows_is_refused(tmp_path: Path, damage: str | None) -> None:
    found = copy.deepcopy(OF_VERSION_0_1)
    found["splits"][0]["details"]["diagnosis"]["lost"][0]["cause"] = damage
    (tmp_path / "report.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match=r"report\.json: not a report that this version reads"):
        read_report(tmp_path)


def test_how_far_a_machine_agrees_with_people_stands_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(OF_VERSION_0_1))
    found = agreement(
        "the model <b>", [JudgedTwice(f"q{n % 7}", f"d{n}", n % 2, 3 * (n % 3 > 0)) for n in range(42)], 2, 0.3
    )
    write_report(tmp_path, replace(read_report(tmp_path), agreement=found))
    assert read_report(tmp_path).agreement == replace(found, confusion=[[7, 14], [7, 14]])
    assert read_report(tmp_path).agreement.used is False
    card, html = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    said = "agrees with people on 42 pairs of 7 queries to a weighted kappa of 0.00"
    assert r"The model \<b\> " + said in card
    assert "| people / model | not relevant | relevant |\n| --- | --- | --- |\n| not relevant | 7 | 14 |" in card
    assert "The model &lt;b&gt; " + said in html
    assert '<td class="words">not relevant</td><td>7</td><td>14</td>' in html
    write_report(tmp_path, replace(read_report(tmp_path), agreement=agreement("the model", [], 2, 0.3)))
    card, html = ((tmp_path / name).read_text() for name in ("report.md", "report.html"))
    assert "How far the grades of the model can be trusted is not known" in card
    assert "people / model" not in card + html
