"""A language model that grades how relevant documents are to queries, from 0 to 3.

Source: Upadhyay et al., "UMBRELA: UMbrela is the (Open-Source Reproduction of the) Bing RELevance Assessor", 2024.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from crossforge.errors import InputError
from crossforge_train.answers import AnswerFile, digest, file_for
from crossforge_train.budget import Budget, BudgetSpentError
from crossforge_train.chat import ChatEndpoint, Completion, Message
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.endpoint import RefusedError
from crossforge_train.reporting import Reporter

GRADES: Final = (0, 1, 2, 3)

_KEY = "documents.judge"
_REPAIR = 'That is no answer in the right form. Answer with JSON alone: {"grade": N}, where N is 0, 1, 2 or 3.'
_SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "integer", "enum": list(GRADES)}},
    "required": ["grade"],
    "additionalProperties": False,
}
_FORMATS: dict[str | None, dict[str, Any]] = {
    None: {},
    "json_object": {"response_format": {"type": "json_object"}},
    "json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "grade", "strict": True, "schema": _SCHEMA},
        }
    },
}
_OBJECT = re.compile(r"\{[^{}]*\}")
_PLACE = re.compile(r"\{(query|text)\}")
_PATIENCE = 20  # answers without a single grade, after which no more is asked
_CHARACTERS = 4  # of a token, roughly, for estimates


class Pair(NamedTuple):
    """A query, and a document as it is read."""

    query: str
    text: str


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
        reporter: is told what it will cost before anything is asked, and shows progress.
        may_ask: whether the endpoint may be asked; if not, only what is known is told.
    """

    def __init__(self, config: JudgeConfig, reporter: Reporter, *, may_ask: bool = True) -> None:
        asked_with = {"model", "prompt", "format", "temperature", "max_document_characters", "max_new_tokens"}
        self._config = config
        self._reporter = reporter
        self._may_ask = may_ask
        self._answers = AnswerFile(file_for(config.cache, config.model_dump(mode="json", include=asked_with)))
        self._budget = Budget(config.max_calls, config.max_tokens)
        self._chat = ChatEndpoint(config, _KEY, self._budget.take)
        self._counted: set[str] = set()

    @property
    def spent(self) -> int:
        """Requests so far, those of a killed run for the same pairs included."""
        return self._budget.calls

    def announce(self, pairs: Iterable[Pair]) -> None:
        """Say how many requests grading these pairs takes, and how many tokens, before the first one is sent."""
        all_of_them = {self._key(pair): pair for pair in pairs}
        new = [pair for key, pair in all_of_them.items() if key not in self._answers]
        if not new or not self._may_ask:
            return
        config = self._config
        tokens = sum(len(self._prompt(pair)) // _CHARACTERS for pair in new)
        price = "" if config.price is None else f" ({tokens * config.price / 1e6:,.2f} at {config.price:g} a million)"
        limit = "" if config.max_tokens is None else f" or {config.max_tokens:,} tokens (max_tokens)"
        self._reporter.note(
            f"{_KEY}: {config.model} grades {len(new):,} pairs, {len(all_of_them) - len(new):,} more are known: "
            f"{len(new):,} requests, about {tokens:,} tokens{price}; it stops at {config.max_calls:,} requests "
            f"(max_calls){limit}"
        )

    def grade(self, pairs: Sequence[Pair]) -> list[Grade]:
        """The grade of each pair, in their order; the first ones are asked about first, as far as the budget goes.

        Raises:
            InputError: the endpoint cannot be asked, or nothing that it answers holds a grade.
        """
        keys = [self._key(pair) for pair in pairs]
        self._count_known(keys)
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._answers}
        answers_well = any(self._known(key).grade is not None for key in keys)
        found = self._asked(new, answers_well) if new and self._may_ask else {}
        return [found.get(key) or self._known(key) for key in keys]

    def _asked(self, new: dict[str, Pair], answers_well: bool) -> dict[str, Grade]:
        found: dict[str, Grade] = {}
        problem = ""
        with (
            self._reporter.bar(f"grading with {self._config.model}", len(new)) as advance,
            ThreadPoolExecutor(self._config.concurrency) as pool,
        ):
            for key, (grade, refusal) in zip(new, pool.map(self._ask, new, new.values()), strict=True):
                found[key] = grade
                answers_well, problem = answers_well or grade.grade is not None, refusal or problem
                if grade.asked and not answers_well and len(found) >= min(_PATIENCE, len(new)):
                    raise InputError(_no_grades(len(found), problem))
                advance()
        return found

    def _ask(self, key: str, pair: Pair) -> tuple[Grade, str]:
        """The grade of a pair, which is kept; and why it was refused, if it was."""
        messages: list[Message] = [{"role": "user", "content": self._prompt(pair)}]
        try:
            said = self._completion(messages)
            grade, calls, tokens = grade_of(said.text), said.calls, said.tokens or 0
            if grade is None:
                messages += [{"role": "assistant", "content": said.text}, {"role": "user", "content": _REPAIR}]
                said = self._completion(messages)
                grade, calls, tokens = grade_of(said.text), calls + said.calls, tokens + (said.tokens or 0)
        except BudgetSpentError:
            return Grade(None, asked=False), ""
        except RefusedError as error:
            return Grade(None), str(error)
        self._answers.add({key: [grade, calls, tokens]})
        self._counted.add(key)
        return Grade(grade), ""

    def _completion(self, messages: Sequence[Message]) -> Completion:
        said = self._chat.ask(messages, temperature=self._config.temperature, **_FORMATS[self._config.format])
        if said.tokens is None:
            written = sum(len(message["content"]) for message in messages) + len(said.text)
            said = said._replace(tokens=written // _CHARACTERS)
        self._budget.add_tokens(said.tokens or 0)
        return said

    def _prompt(self, pair: Pair) -> str:
        values = {"query": pair.query, "text": pair.text[: self._config.max_document_characters]}
        return _PLACE.sub(lambda found: values[found[1]], self._config.prompt)

    def _key(self, pair: Pair) -> str:
        return digest(json.dumps([pair.query, pair.text]))

    def _known(self, key: str) -> Grade:
        return Grade(self._answers[key][0]) if key in self._answers else Grade(None, asked=False)

    def _count_known(self, keys: Iterable[str]) -> None:
        """Let the budget know what the answers to these pairs have cost already, once for each."""
        for key in dict.fromkeys(keys):
            if key in self._answers and key not in self._counted:
                _, calls, tokens = self._answers[key]
                self._budget.start_with(calls, tokens)
                self._counted.add(key)


def grade_of(answer: str) -> int | None:
    """The grade in an answer, which may have more around its JSON; None if there is none from 0 to 3."""
    for found in reversed(_OBJECT.findall(answer)):
        try:
            grade = json.loads(found).get("grade")
        except ValueError:
            continue
        if str(grade).strip() in map(str, GRADES):
            return int(grade)
    return None


def _no_grades(asked: int, problem: str) -> str:
    if problem:
        return problem
    return (
        f"{_KEY}: none of the first {asked} answers holds a grade; try another judge.format, or raise "
        "judge.max_new_tokens if the model thinks before it answers"
    )
