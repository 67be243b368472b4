"""What dev says of a reranker while it trains, alone and beside the first stage."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from crossforge.runs import Candidate
from crossforge_train.evaluation.scoring import ScoredQuery
from crossforge_train.reporting import SilentReporter
from crossforge_train.training import dev_evaluator
from crossforge_train.training.dev_evaluator import DevEvaluator, DevSet

DOC_IDS = ["a", "b", "c"]


def scored(first_stage: list[float], logits: list[float]) -> ScoredQuery:
    return ScoredQuery(DOC_IDS, np.array(first_stage), np.array(logits, np.float32), np.zeros(3, bool))


def test_a_reranker_that_errs_alone_may_be_right_beside_the_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    # The relevant document, b, is second for both, behind different ones.
    found = {key: scored([3.0, 2.9, 0.0], [0.0, 2.9, 3.0]) for key in ("q1", "q2")}
    monkeypatch.setattr(dev_evaluator, "score_queries", lambda *_: found)
    run = {key: [Candidate(*pair) for pair in zip(DOC_IDS, [3.0, 2.9, 0.0], strict=True)] for key in found}
    dev = DevSet(dict.fromkeys(found, "text"), {key: {"b": 1} for key in found}, run, 3, "RR@10", 0, False, False)
    by_query = DevEvaluator(cast("Any", None), dev, SilentReporter()).by_query()
    assert by_query.alone == [0.5, 0.5]
    assert by_query.fused == [1.0, 1.0]
