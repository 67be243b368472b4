"""How far a machine's grades agree with people's: kappa, its interval, and when it decides."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from crossforge_train.collections.agreement import Agreement, JudgedTwice
from crossforge_train.collections.counts import Counts, read_counts, write_counts
from crossforge_train.labels.agreement import _kappas, agreement, expected_error, in_words
from crossforge_train.report.tables import agreement_header, agreement_line, agreement_rows


def judged(*pairs: tuple[int, int], queries: int = 10) -> list[JudgedTwice]:
    """Pairs of people's and the machine's judgement, dealt out to queries."""
    return [JudgedTwice(f"q{n % queries}", f"d{n}", people, machine) for n, (people, machine) in enumerate(pairs)]


def found(*pairs: tuple[int, int], relevant: int = 2, least: float | None = 0.3, queries: int = 10) -> Agreement:
    return agreement("the model", judged(*pairs, queries=queries), relevant, least)


def weighted_kappa(confusion: np.ndarray) -> float:
    """Cohen's formula (1968), written out."""
    share = confusion / confusion.sum()
    expected = np.outer(share.sum(axis=1), share.sum(axis=0))
    distance = np.abs(np.subtract.outer(np.arange(len(share)), np.arange(len(share))))
    return float(1 - (distance * share).sum() / (distance * expected).sum())


def test_grades_are_compared_by_how_far_they_are_apart() -> None:
    near = found(*[(0, 0), (1, 2), (2, 1), (3, 3)] * 10)
    far = found(*[(0, 3), (1, 1), (2, 2), (3, 0)] * 10)
    assert near.levels == ["0", "1", "2", "3"]
    assert near.confusion == [[10, 0, 0, 0], [0, 0, 10, 0], [0, 10, 0, 0], [0, 0, 0, 10]]
    for one in (near, far):
        assert one.kappa == pytest.approx(weighted_kappa(np.array(one.confusion)))
    assert near.kappa > 0.5 > 0 > far.kappa
    assert (near.used, far.used) == (True, False)


def test_resamples_are_measured_like_the_whole() -> None:
    confusions = np.random.default_rng(0).integers(0, 9, (20, 4, 4))
    assert _kappas(confusions) == pytest.approx([weighted_kappa(one) for one in confusions])
    assert np.isnan(_kappas(np.array([[[5, 0], [0, 0]]]))).all()


@pytest.mark.parametrize("people", [1, 4])
def test_people_with_another_scale_are_compared_as_relevant_or_not(people: int) -> None:
    one = found(*[(people, 3), (people, 2), (0, 1), (0, 0), (people, 1)] * 8)
    assert one.levels == ["not relevant", "relevant"]
    assert one.confusion == [[16, 0], [8, 16]]
    assert found(*[(people, 1), (0, 0)] * 20, relevant=1).kappa == 1


def test_the_interval_holds_kappa_and_narrows_with_queries() -> None:
    draw = np.random.default_rng(1)

    def width(count: int) -> float:
        people = draw.integers(0, 2, count)
        machine = np.where(draw.random(count) < 0.8, people, 1 - people) * 3
        one = found(*zip(people.tolist(), machine.tolist(), strict=True), queries=count // 4)
        assert one.interval is not None and one.kappa is not None
        assert one.interval[0] < one.kappa < one.interval[1]
        return one.interval[1] - one.interval[0]

    assert width(1000) < 0.5 * width(60)


def test_few_pairs_decide_nothing_and_say_so() -> None:
    wrong = [(0, 3), (1, 0)]
    few, enough = found(*wrong * 14), found(*wrong * 15)
    assert few.kappa == enough.kappa == -1
    assert (few.used, enough.used) == (True, False)
    assert few.interval is not None and few.interval[0] == -1, "their uncertainty is told as well"
    assert in_words(replace(few, interval=(-1.0, -0.5))) == (
        "the model agrees with people on 28 pairs of 10 queries to a weighted kappa of -1.00 [-1.00, -0.50]; fewer "
        "than 30 pairs say little and decide nothing: judge more (`crossforge judge`)"
    )
    assert in_words(replace(enough, interval=None)) == (
        "the model agrees with people on 30 pairs of 10 queries to a weighted kappa of -1.00, below "
        "judge.least_kappa (0.3): its labels are not trained on, and words and vectors label the log instead; try "
        "another judge.model or judge.prompt, or lower judge.least_kappa"
    )
    assert found(*wrong * 15, least=None).used


def test_judgements_that_are_all_the_same_tell_nothing() -> None:
    one = found(*[(0, 0)] * 40)
    assert (one.kappa, one.interval, one.used) == (None, None, True)
    assert "cannot be compared on 40 pairs of 10 queries: both always say the same" in in_words(one)
    assert found(*[(0, 3), (1, 0)] * 20, queries=2).interval is None, "too few queries"


def test_nobody_to_compare_with_is_told() -> None:
    nobody = found()
    assert (nobody.pairs, nobody.kappa, nobody.used) == (0, None, True)
    assert in_words(nobody) == (
        "how far the grades of the model can be trusted is not known: people judged none of the same documents; "
        "`crossforge judge` asks them"
    )
    assert agreement_rows(nobody) == []


def test_counts_keep_it(tmp_path: Path) -> None:
    one = found(*[(0, 0), (1, 3)] * 20)
    counts = Counts("any", 1, {}, "drop", {}, [], agreement=one)
    write_counts(tmp_path / "counts.json", counts)
    kept = read_counts(tmp_path / "counts.json").agreement
    assert json.dumps(asdict(kept)) == json.dumps(asdict(one))  # type: ignore[arg-type]
    write_counts(tmp_path / "counts.json", replace(counts, agreement=None))
    assert read_counts(tmp_path / "counts.json").agreement is None


def test_the_table_has_a_row_for_what_people_said() -> None:
    one = found(*[(0, 0), (0, 3), (1, 3)] * 20)
    assert agreement_header(one) == ["people / model", "not relevant", "relevant"]
    assert agreement_rows(one) == [["not relevant", "20", "20"], ["relevant", "0", "20"]]
    line = agreement_line(one)
    assert line.startswith("The model agrees with people on 60 pairs of 10 queries to a weighted kappa ")
    left_out = agreement_line(replace(one, graded=1200, left_out=31))
    assert left_out == f"{line}; 31 of its 1,200 labels are probably wrong by these pairs, and left out"


@pytest.mark.parametrize(("queries", "share"), [(40, 0.66), (80, 0.82), (160, 0.94)])
def test_the_expected_error_is_that_of_the_measured_draws(queries: int, share: float) -> None:
    deviation = expected_error(queries) / 1.96
    assert math.erf(0.05 / deviation / math.sqrt(2)) == pytest.approx(share, abs=0.02)
