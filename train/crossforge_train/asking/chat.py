"""Asks what answers behind an OpenAI-compatible endpoint. Nothing of requests or answers is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from crossforge_train.asking.endpoint import Endpoint
from crossforge_train.config.chat import ChatConfig

Message = Mapping[str, str]  # "role" and "content"


class Completion(NamedTuple):
    """What was answered.

    Attributes:
        text: the answer.
        tokens: of request and answer together; None if the endpoint does not say.
        calls: requests that it took.
    """

    text: str
    tokens: int | None
    calls: int = 1


class ChatEndpoint:
    """Asks for chat completions. May be called from several threads.

    Args, and what is raised: as for `Endpoint`, whose address the config holds.
    """

    def __init__(self, config: ChatConfig, key: str, before: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._endpoint = Endpoint(config, config.url.rstrip("/") + "/chat/completions", key, before)

    def ask(self, messages: Sequence[Message], **settings: Any) -> Completion:
        """The answer to a conversation.

        Args:
            messages: the conversation.
            settings: what else the request says, such as a temperature.

        Raises:
            RefusedError: this request is refused.
            InputError: the endpoint cannot be asked, or its answer has another shape.
        """
        config = self._config
        body = {"model": config.model, "messages": list(messages), "max_tokens": config.max_new_tokens, **settings}
        said, calls = self._endpoint.ask(body, (message["content"] for message in messages), _completion)
        return said._replace(calls=calls)


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
