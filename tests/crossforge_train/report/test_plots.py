"""The report's plots."""

from crossforge_train.evaluation.curves import LatencyPoint
from crossforge_train.report.plots import latency_plot


def test_a_name_with_an_underscore_stands_in_the_legend() -> None:
    points = [LatencyPoint("first stage", 0, 1.0, 0.4), LatencyPoint("_new", 10, 5.0, 0.5)]
    assert "_new</text>" in latency_plot(points, "nDCG@10")
