"""What grades pairs of a query and a document, from 0 to 3.

Source: Upadhyay et al., "UMBRELA: UMbrela is the (Open-Source Reproduction of the) Bing RELevance Assessor", 2024.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NamedTuple, Protocol

from crossforge_train.config.judge import JudgeConfig

GRADES: Final = (0, 1, 2, 3)
KEY: Final = "documents.judge"  # in errors

_PLACE = re.compile(r"\{(query|text)\}")


class Pair(NamedTuple):
    """A query, and a document as it is read."""

    query: str
    text: str


class Answer(NamedTuple):
    """What became of a pair.

    Attributes:
        grade: from 0 to 3; None if the answer holds none, or there is no answer.
        calls: requests that it took.
        tokens: of requests and answers.
        refusal: why it was refused; empty if it was not.
        asked: whether it was asked about.
    """

    grade: int | None
    calls: int = 1
    tokens: int = 0
    refusal: str = ""
    asked: bool = True


Answers = Generator[tuple[str, Answer], None, None]  # by the keys of their pairs
Keep = Callable[[str, Answer], None]

NOT_ASKED: Final = Answer(None, 0, asked=False)


class Grader(Protocol):
    """Grades pairs, as far as its budget goes."""

    @property
    def decided_by(self) -> Mapping[str, Any]:
        """What decides its grades, besides query and document."""
        ...

    def answers(self, pairs: Mapping[str, Pair], keep: Keep) -> Answers:
        """What becomes of each pair, in any order; the first ones are asked about first.

        Args:
            pairs: by the keys under which their answers are kept.
            keep: is told each answer at once, and also what a pair has cost that got none; may be called from several
                threads.

        Raises:
            InputError: it cannot be asked.
        """
        ...


def prompt(config: JudgeConfig, pair: Pair) -> str:
    """What the model is asked about a pair."""
    values = {"query": pair.query, "text": pair.text[: config.max_document_characters]}
    return _PLACE.sub(lambda found: values[found[1]], config.prompt)
