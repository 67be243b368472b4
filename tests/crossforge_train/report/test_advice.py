"""What to use in place of what does not win."""

from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.verdict import Comparison, SystemResult, Verdict, overall_verdict
from crossforge_train.report.advice import use_instead

MEANS = {"old": 0.5, "new1": 0.7, "new2": 0.3, "new3": 0.5}


def against_old(**verdicts: Verdict) -> SplitReport:
    systems = [SystemResult(name, {"nDCG@10": mean}, (mean, mean)) for name, mean in MEANS.items()]
    comparisons = [
        Comparison(name, "old", True, MEANS[name] - MEANS["old"], None, 1.0, (0.0, 0.0), 0.01, 1, 0, verdict)
        for name, verdict in verdicts.items()
    ]
    return SplitReport(
        "test", 100, 0, 0, systems, comparisons, overall_verdict(verdicts.values()), ceiling={}, subject="new1",
        baseline="old", gains=(), best=(), worst=(), details=None,
    )  # fmt: skip


def test_each_of_several_systems_that_does_not_win_is_named() -> None:
    assert use_instead(against_old(new1="WIN", new2="REGRESSION", new3="TIE"), "nDCG@10") == [
        "use old instead of new2: it is better",
        "use old instead of new3: it is the baseline and does as well",
    ]
    assert use_instead(against_old(new1="WIN", new3="WIN"), "nDCG@10") == []


def test_one_system_alone_needs_no_name() -> None:
    assert use_instead(against_old(new2="REGRESSION"), "nDCG@10") == ["use old instead: it is better"]
