"""Why relevant documents are lost, in words."""

from __future__ import annotations

from collections.abc import Mapping

from crossforge_train.evaluation.diagnostics import (
    CUT,
    FOUND,
    MISSED,
    NEAR_COPY,
    OUTRANKED,
    TOO_DEEP,
    TOP,
    Cause,
    Diagnosis,
    Lost,
)

_WORDS: Mapping[Cause, str] = {
    FOUND: f"among the first {TOP}",
    MISSED: "missed by the first stage",
    TOO_DEEP: "below the depth that is reranked",
    NEAR_COPY: "outranked by a near-copy of itself",
    CUT: "cut by max_length",
    OUTRANKED: "outranked by other documents",
}


def cause_in_words(cause: Cause) -> str:
    """A cause as it stands in tables and sentences."""
    return _WORDS[cause]


def not_read_in_words(diagnosis: Diagnosis) -> str:
    """How many of the outranked documents were cut and not read in full; empty if none."""
    if not diagnosis.not_read:
        return ""
    return (
        f"{diagnosis.not_read:,} of those outranked by other documents were cut as well; they were too many to be read "
        "in full, so the cut may be the cause"
    )


def loss_in_words(lost: Lost) -> str:
    """Why one document is lost, and to which other one if it is a near-copy."""
    return cause_in_words(lost.cause) + (f", {lost.behind}" if lost.behind else "")
