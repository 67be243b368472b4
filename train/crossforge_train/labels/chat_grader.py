"""A language model behind an endpoint that grades pairs, one in a request."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crossforge_train.asking.allowance import CHARACTERS_OF_A_TOKEN, Allowance, AllowanceSpentError
from crossforge_train.asking.chat import ChatEndpoint, Message
from crossforge_train.asking.endpoint import RefusedError
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import GRADES, KEY, NOT_ASKED, Answer, Answers, Keep, Pair, prompt

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


class ChatGrader:
    """A `Grader` that asks an endpoint; a wrong answer may be repaired once.

    Args:
        config: whom to ask.
        allowance: counts requests and tokens.
    """

    def __init__(self, config: JudgeConfig, allowance: Allowance) -> None:
        self._config = config
        self._allowance = allowance
        self._chat = ChatEndpoint(config, KEY)

    @property
    def decided_by(self) -> Mapping[str, Any]:
        """See `Grader`."""
        keys = {"model", "prompt", "format", "temperature", "max_document_characters", "max_new_tokens"}
        return self._config.model_dump(mode="json", include=keys)

    def answers(self, pairs: Mapping[str, Pair], keep: Keep) -> Answers:
        """See `Grader`; so many requests at a time as the config says."""
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            yield from pool.map(lambda key: (key, self._ask(key, pairs[key], keep)), pairs)

    def _ask(self, key: str, pair: Pair, keep: Keep) -> Answer:
        cost, answer = _Cost(self._allowance), NOT_ASKED
        try:
            answer = Answer(self._grade(pair, cost))
        except AllowanceSpentError:
            pass
        except RefusedError as error:
            answer = Answer(None, refusal=str(error))
        finally:  # it is paid for, whatever came of it
            answer = answer._replace(calls=cost.calls, tokens=cost.tokens)
            keep(key, answer)
        return answer

    def _grade(self, pair: Pair, cost: _Cost) -> int | None:
        messages: list[Message] = [{"role": "user", "content": prompt(self._config, pair)}]
        said = self._said(messages, cost)
        grade = grade_of(said)
        if grade is not None:
            return grade
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": _REPAIR}]
        return grade_of(self._said(messages, cost))

    def _said(self, messages: Sequence[Message], cost: _Cost) -> str:
        config = self._config
        said = self._chat.ask(messages, cost.take, temperature=config.temperature, **_FORMATS[config.format])
        tokens = said.tokens
        if tokens is None:
            written = sum(len(message["content"]) for message in messages) + len(said.text)
            tokens = written // CHARACTERS_OF_A_TOKEN
        cost.add_tokens(tokens)
        return said.text


class _Cost:
    """Counts what a pair takes of the allowance."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.calls = self.tokens = 0

    def take(self) -> None:
        """Count one more request; see `Allowance`."""
        self._allowance.take()
        self.calls += 1

    def add_tokens(self, tokens: int) -> None:
        """Count tokens."""
        self._allowance.add_tokens(tokens)
        self.tokens += tokens


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
