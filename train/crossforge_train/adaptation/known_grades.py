"""Grades that a judge gave earlier, for people who judge the same documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.adaptation.graded_log import as_read
from crossforge_train.adaptation.people import JudgedPair
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.judge import Judge
from crossforge_train.reporting import SilentReporter


def known_grades(
    pairs: Iterable[JudgedPair], corpus: Mapping[str, Document], config: JudgeConfig
) -> dict[JudgedPair, int]:
    """Pair -> grade from 0 to 3, of those that were graded before; nothing is asked, and no key is needed.

    Args:
        pairs: of a query and a document of the corpus.
        corpus: the documents.
        config: the judge.
    """
    asked = list(pairs)
    try:
        judge = Judge(config, SilentReporter(), may_ask=False)
    except InputError:  # a model that is not on this machine yet has graded nothing here
        return {}
    found = judge.grade([as_read(pair.query, corpus[pair.doc_id], config) for pair in asked])
    return {pair: grade.grade for pair, grade in zip(asked, found, strict=True) if grade.grade is not None}
