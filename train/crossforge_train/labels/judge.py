"""A language model that grades how relevant documents are to queries, from 0 to 3.

Source: Upadhyay et al., "UMBRELA: UMbrela is the (Open-Source Reproduction of the) Bing RELevance Assessor", 2024.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from crossforge.errors import InputError
from crossforge_train.asking.allowance import Allowance
from crossforge_train.asking.answers import AnswerFile, digest, file_for
from crossforge_train.compute.base import Engine
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.chat_grader import ChatGrader
from crossforge_train.labels.estimate import estimate, in_words
from crossforge_train.labels.grading import KEY, Answer, Grader, Pair
from crossforge_train.labels.local_grader import LocalGrader
from crossforge_train.reporting import Reporter

_PATIENCE = 20  # answers without a single grade, after which no more is asked


class Grade(NamedTuple):
    """What the judge says of a pair.

    Attributes:
        grade: from 0 to 3; None if its answer holds none, or it was not asked.
        asked: whether it was asked.
    """

    grade: int | None
    asked: bool = True


class Judge:
    """Grades pairs, each of them once: grades are kept in a file that survives kills and serves other runs.

    Args:
        config: whom to ask, and how much that may cost.
        reporter: is told what it will cost before anything is asked, may say no, and shows progress.
        may_ask: whether the model may be asked; if not, only what is known is told.
        engine: where a model works that is no endpoint's; None is this process.

    Raises:
        InputError: there is no such model on this machine, where it is to run here.
    """

    def __init__(
        self, config: JudgeConfig, reporter: Reporter, *, may_ask: bool = True, engine: Engine | None = None
    ) -> None:
        self._config = config
        self._reporter = reporter
        self._may_ask = may_ask
        self._allowance = Allowance(config.max_calls, config.max_tokens)
        self._grader: Grader = (
            LocalGrader(config, self._allowance, engine) if config.local else ChatGrader(config, self._allowance)
        )
        self._answers = AnswerFile(file_for(config.cache, self._grader.decided_by))
        self._counted: set[str] = set()
        self._refused: set[str] = set()

    @property
    def spent(self) -> int:
        """Requests so far, those of a killed run for the same pairs included."""
        return self._allowance.calls

    def announce(self, pairs: Iterable[Pair]) -> None:
        """Say what grading these pairs takes, and ask whether to go on if requests are paid for, before the first one.

        Raises:
            InputError: the answer is no.
        """
        all_of_them = {self._key(pair): pair for pair in pairs}
        if not self._may_ask:
            return
        self._count_known(all_of_them)
        new = [pair for key, pair in all_of_them.items() if key not in self._answers]
        found = estimate(self._config, new, self._allowance)
        if not found.pairs:
            return
        text = f"{KEY}: {in_words(self._config, found, len(new), len(all_of_them) - len(new))}"
        if self._config.local:
            self._reporter.note(text)
        elif not self._reporter.confirm(text):
            raise InputError(
                f"{KEY}: no request was sent, because you declined; to pay less, lower judge.max_calls, judge.depth or "
                "log.queries"
            )

    def grade(self, pairs: Sequence[Pair]) -> list[Grade]:
        """The grade of each pair, in their order; the first ones are asked about first, as far as the allowance goes.

        Raises:
            InputError: the model cannot be asked, or nothing that it answers holds a grade.
        """
        keys = [self._key(pair) for pair in pairs]
        self._count_known(keys)
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if not self._known(key).asked}
        answers_well = any(self._known(key).grade is not None for key in keys)
        if new and self._may_ask:
            self._ask(new, answers_well)
        return [self._known(key) for key in keys]

    def _ask(self, new: Mapping[str, Pair], answers_well: bool) -> None:
        """Ask about pairs, and keep their answers; what is refused is not asked about again before the next run."""
        done, problem = 0, ""
        # Closed at once if anything fails, so that no more is asked.
        with (
            self._reporter.bar(f"grading with {self._config.model}", len(new)) as advance,
            closing(self._grader.answers(new, self._keep)) as answers,
        ):
            for key, answer in answers:
                done += 1
                if answer.refusal:
                    self._refused.add(key)
                answers_well, problem = answers_well or answer.grade is not None, answer.refusal or problem
                if answer.asked and not answers_well and done >= min(_PATIENCE, len(new)):
                    raise InputError(_no_grades(done, problem))
                advance()

    def _keep(self, key: str, answer: Answer) -> None:
        self._counted.add(key)
        if answer.asked and not answer.refusal:
            self._answers.add({key: [answer.grade, answer.calls, answer.tokens]})
        elif answer.calls:
            calls, tokens = self._wasted(key)
            self._answers.add({_waste(key): [calls + answer.calls, tokens + answer.tokens]})

    def _wasted(self, key: str) -> tuple[int, int]:
        """Requests and tokens of earlier attempts at a pair that got no answer."""
        if _waste(key) not in self._answers:
            return 0, 0
        calls, tokens = self._answers[_waste(key)]
        return calls, tokens

    def _key(self, pair: Pair) -> str:
        return digest(json.dumps([pair.query, pair.text]))

    def _known(self, key: str) -> Grade:
        if key in self._answers:
            return Grade(self._answers[key][0])
        return Grade(None, asked=key in self._refused)

    def _count_known(self, keys: Iterable[str]) -> None:
        """Let the allowance know what these pairs have cost already, answered or not, once for each."""
        for key in set(keys) - self._counted:
            self._allowance.start_with(*self._wasted(key))
            if key in self._answers:
                _, calls, tokens = self._answers[key]
                self._allowance.start_with(calls, tokens)
            self._counted.add(key)


def _waste(key: str) -> str:
    """Under which key it is kept what a pair has cost that got no answer."""
    return f"{key} without an answer"


def _no_grades(asked: int, problem: str) -> str:
    if problem:
        return problem
    return (
        f"{KEY}: none of the first {asked} answers holds a grade; try another judge.format, or raise "
        "judge.max_new_tokens if the model thinks before it answers"
    )
