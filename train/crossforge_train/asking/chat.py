"""Asks what answers behind an OpenAI-compatible endpoint. Nothing of requests or answers is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from crossforge_train.asking.endpoint import Endpoint, RefusedError
from crossforge_train.config.chat import ChatConfig

Message = Mapping[str, str]  # "role" and "content"

# The longest answer, as nearly every endpoint calls it, and as OpenAI's models that think before they answer do.
_LIMIT, _NEWER_LIMIT = "max_tokens", "max_completion_tokens"


class Completion(NamedTuple):
    """What was answered.

    Attributes:
        text: the answer.
        tokens: of request and answer together; None if the endpoint does not say.
    """

    text: str
    tokens: int | None


class ChatEndpoint:
    """Asks for chat completions. May be called from several threads.

    Args, and what is raised: as for `Endpoint`, whose address the config holds.
    """

    def __init__(self, config: ChatConfig, key: str) -> None:
        self._config = config
        self._key = key
        self._limit = _LIMIT
        self._endpoint = Endpoint(config, config.url.rstrip("/") + "/chat/completions", key)

    def ask(
        self, messages: Sequence[Message], before: Callable[[], None] = lambda: None, **settings: Any
    ) -> Completion:
        """The answer to a conversation.

        Args:
            messages: the conversation.
            before: called before each request that is sent, tries included; what it raises ends the asking.
            settings: what else the request says, such as a temperature; None leaves it out.

        Raises:
            RefusedError: this request is refused.
            InputError: the endpoint cannot be asked, or its answer has another shape.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        limit = self._limit
        try:
            return self._ask(messages, before, {limit: self._config.max_new_tokens, **given})
        except RefusedError as error:
            if limit == _NEWER_LIMIT or _NEWER_LIMIT not in error.said:
                raise self._with_way_out(error, given) from None
        self._limit = _NEWER_LIMIT  # in later requests at once
        return self.ask(messages, before, **settings)

    def _ask(self, messages: Sequence[Message], before: Callable[[], None], settings: Mapping[str, Any]) -> Completion:
        body = {"model": self._config.model, "messages": list(messages), **settings}
        said, _ = self._endpoint.ask(body, (message["content"] for message in messages), _completion, before)
        return said

    def _with_way_out(self, error: RefusedError, settings: Mapping[str, Any]) -> RefusedError:
        said = error.said.casefold()
        if "temperature" in settings and "temperature" in said and "unsupported" in said:
            return RefusedError(f"{error}; {self._key}.temperature: null leaves it out")
        return error


def _completion(answer: Any) -> Completion:
    try:
        text = str(answer["choices"][0]["message"]["content"] or "")
    except (KeyError, IndexError, TypeError):
        raise ValueError("the answer holds no choices[0].message.content") from None
    return Completion(text, _tokens(answer))


def _tokens(answer: Mapping[str, Any]) -> int | None:
    usage = answer.get("usage")
    found = usage.get("total_tokens") if isinstance(usage, dict) else None
    return found if isinstance(found, int) else None
