"""Where relevant documents are lost, and which unjudged ones look relevant."""

import numpy as np
import pytest
from support import Recorder

from crossforge.calibration import Calibrator
from crossforge.documents import Document
from crossforge.runs import Candidate
from crossforge_train.evaluation import diagnostics
from crossforge_train.evaluation.diagnostics import Subject, diagnose
from crossforge_train.evaluation.scoring import ScoredQuery
from crossforge_train.report.causes import not_read_in_words
from crossforge_train.reporting import SilentReporter

FILLERS = [f"d{number}" for number in range(12)]
SENTENCE = "the quick brown fox jumps over the lazy dog and runs far away into the deep dark wood "


def corpus(**texts: str) -> dict[str, Document]:
    ids = [*FILLERS, "wanted", "other"]
    return {doc_id: Document(doc_id, texts.get(doc_id, f"text {doc_id} says {doc_id} {doc_id}")) for doc_id in ids}


def outcome(order: list[str], *, reranked: int, cut: bool = False, full: float = 0.0, **texts: str) -> str:
    """The cause for the document "wanted" in a list that the first stage and the reranker order alike."""
    logits = -np.arange(reranked, dtype=np.float32)
    cuts = np.array([cut and doc_id == "wanted" for doc_id in order[:reranked]])
    scored = {"q": ScoredQuery(order[:reranked], np.array(logits, dtype=float), logits, cuts)}
    run = {"q": [Candidate(doc_id, -float(rank)) for rank, doc_id in enumerate(order)]}
    subject = Subject(scored, {"q": order}, 0.0, Calibrator(), 0.5, lambda query_id, doc_id: full)
    found = diagnose(subject, run, {"q": {"wanted": 1}}, corpus(**texts), 0, SilentReporter())
    (cause,) = [cause for cause, count in found.causes.items() if count]
    assert len(found.lost) == (cause != diagnostics.FOUND)
    return cause


LAST = [*FILLERS, "wanted"]


def test_a_document_at_the_top_is_not_lost() -> None:
    assert outcome(["d0", "wanted"], reranked=2) == diagnostics.FOUND


def test_a_document_that_was_not_retrieved_is_missed() -> None:
    assert outcome(FILLERS, reranked=12) == diagnostics.MISSED


def test_a_document_below_the_depth_is_too_deep() -> None:
    assert outcome(LAST, reranked=12) == diagnostics.TOO_DEEP


def test_a_near_copy_ahead_is_the_cause_even_if_the_document_was_cut() -> None:
    texts = {"d3": SENTENCE * 3, "wanted": SENTENCE * 3 + "tonight"}
    assert outcome(LAST, reranked=13, cut=True, full=99.0, **texts) == diagnostics.NEAR_COPY


@pytest.mark.parametrize(
    ("cut", "full", "cause"),
    [(True, 1.0, diagnostics.CUT), (True, -11.5, diagnostics.OUTRANKED), (False, 1.0, diagnostics.OUTRANKED)],
)
def test_cut_is_the_cause_only_if_reading_all_would_have_helped(cut: bool, full: float, cause: str) -> None:
    assert outcome(LAST, reranked=13, cut=cut, full=full) == cause


def test_a_draw_of_what_was_cut_is_read_in_full_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "_MOST_READ", 3)
    logits = -np.arange(13, dtype=np.float32)
    scored = ScoredQuery(LAST, np.array(logits, dtype=float), logits, np.array([doc_id == "wanted" for doc_id in LAST]))
    query_ids, read, reporter = [f"q{number}" for number in range(5)], [], Recorder()

    def in_full(query_id: str, doc_id: str) -> float:
        read.append(query_id)
        return 1.0

    subject = Subject(dict.fromkeys(query_ids, scored), dict.fromkeys(query_ids, LAST), 0.0, Calibrator(), 0.5, in_full)
    run = {query_id: [Candidate(doc_id, 0.0) for doc_id in LAST] for query_id in query_ids}
    found = diagnose(subject, run, {query_id: {"wanted": 1} for query_id in query_ids}, corpus(), 0, reporter)
    assert (found.causes[diagnostics.CUT], found.causes[diagnostics.OUTRANKED], found.not_read) == (3, 2, 2)
    assert {lost.query_id for lost in found.lost if lost.cause == diagnostics.CUT} == set(read)
    assert (reporter.bars, len(reporter.advances)) == ([("reading what was cut", 3)], 3)
    assert not_read_in_words(found).startswith("2 of those outranked by other documents were cut as well")


def test_unjudged_documents_at_the_top_with_a_high_probability_are_listed() -> None:
    order = ["other", "wanted", "d0", "d1"]
    logits = np.array([3.0, 2.0, -3.0, 5.0], dtype=np.float32)
    scored = {"q": ScoredQuery(order, np.zeros(4), logits, np.zeros(4, bool))}
    subject = Subject(scored, {"q": order}, 0.5, Calibrator(), 0.6, lambda query_id, doc_id: 0.0)
    run = {"q": [Candidate(doc_id, 1.0) for doc_id in order]}
    (found,) = diagnose(subject, run, {"q": {"wanted": 1}}, corpus(), 0, SilentReporter()).unjudged
    # d0 is too improbable, d1 stands too low, and the wanted one is judged.
    assert (found.doc_id, found.rank) == ("other", 1)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-3)))
