"""Questions that a definition in a document answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.adaptation.pseudo_queries import PseudoQuery, of_text
from crossforge_train.adaptation.texts import sentences
from crossforge_train.config.documents import DocumentsSource

_SUBJECT = r"(?:(?:the|an?)\s+)?(?P<subject>[^\W_][\w ()/'’-]{2,70}?)"
_FEWEST_LEFT = 4  # words behind the definition's verb
_MOST_WORDS = 7  # of a subject
_NO_SUBJECT = re.compile(
    r"^(it|its|he|she|they|their|we|our|you|your|i|my|this|that|these|those|there|here|what|which|who|how|why|when|where"
    r"|one|some|many|most|all|each|both|such|if|in|on|at|for|from|with|as|by|but|and|or|to|another|other)\b"
    r"|\b(that|which|who|when|if|was|were|is|are|has|have|had)\b",
    re.IGNORECASE,
)


class _Template(NamedTuple):
    sentence: re.Pattern[str]
    question: str


def _template(verb: str, question: str) -> _Template:
    return _Template(
        re.compile(rf"^{_SUBJECT}\s+(?P<verb>{verb})\s+(?P<rest>\S.*)$", re.IGNORECASE | re.DOTALL), question
    )


# The first that fits a sentence makes its question.
_TEMPLATES = (
    _template(r"(?:is|are)\s+(?:usually\s+|often\s+|mainly\s+)?caused\s+by", "What causes {subject}?"),
    _template(r"(?:is|are)\s+used\s+(?:to|for)", "What {be} {subject} used for?"),
    _template(r"(?:refers?\s+to|means|stands\s+for)", "What does {subject} mean?"),
    _template(r"(?:is|are)(?=\s+(?:an?|the|any|one\s+of|defined\s+as)\s)", "What {be} {subject}?"),
)


class QuestionMaker:
    """Fills templates from sentences such as "X is a ...". What is lifted out is the subject with its verb.

    English only: the templates are.

    Args:
        analyzer: of the corpus; says its language.
    """

    kind = "question"

    def __init__(self, analyzer: Analyzer) -> None:
        self._applies = analyzer.kind == "word" and analyzer.language == "english"

    def make(self, documents: Sequence[Document]) -> Iterator[list[PseudoQuery]]:
        """See `QueryMaker`."""
        return (list(self._of(document)) if self._applies else [] for document in documents)

    def _of(self, document: Document) -> Iterator[PseudoQuery]:
        for start, end in sentences(document.text):
            found = _question(document.text[start:end])
            if found:
                text, lifted = found
                yield of_text(self.kind, text, document, start, start + lifted)


def _question(sentence: str) -> tuple[str, int] | None:
    """The question, and how much of the sentence's beginning goes into it."""
    for template in _TEMPLATES:
        found = template.sentence.match(sentence)
        if found is None:
            continue
        subject = " ".join(found["subject"].split())
        few_left = len(found["rest"].split()) < _FEWEST_LEFT
        if few_left or len(subject.split()) > _MOST_WORDS or _NO_SUBJECT.search(subject):
            return None
        be = "are" if found["verb"].lower().startswith("are") else "is"
        return template.question.format(subject=subject, be=be), found.end("verb")
    return None


def maker(corpus: Mapping[str, Document], analyzer: Analyzer, source: DocumentsSource) -> QuestionMaker:
    """See `MakerFactory`."""
    return QuestionMaker(analyzer)
