"""Asks what answers behind an OpenAI-compatible endpoint. Nothing of requests or answers is logged."""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from crossforge.errors import InputError
from crossforge_train.config.chat import ChatConfig

Message = Mapping[str, str]  # "role" and "content"

_TRY_AGAIN = (408, 409, 425, 429)  # and every 5xx
_REFUSED = (400, 413, 422)  # says something about this request, not about the endpoint
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds
_LONGEST_ASKED_WAIT = 300.0  # seconds; who asks for more is not waited for
_SHOWN = 200  # characters of what the endpoint complains of
_QUOTE = 16  # as many characters of a request in a complaint are a quotation


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


class RefusedError(InputError):
    """The endpoint refuses this one request; others may pass."""


class ChatEndpoint:
    """Asks for chat completions, and tries again what may pass by itself. May be called from several threads.

    Args:
        config: where and how to ask.
        key: the section's name in a config, for errors.
        before: called before each request that is sent, tries included; what it raises ends the asking.
    """

    def __init__(self, config: ChatConfig, key: str, before: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._key = key
        self._before = before
        self._url = config.url.rstrip("/") + "/chat/completions"

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
        answer, calls = self._tried(
            {"model": config.model, "messages": list(messages), "max_tokens": config.max_new_tokens, **settings}
        )
        try:
            text = str(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise InputError(f"{self._url}: the answer holds no choices[0].message.content") from None
        return Completion(text, _tokens(answer), calls)

    def _tried(self, body: dict[str, Any]) -> tuple[Any, int]:
        """The answer, and how many tries it took; what may pass by itself is tried again, after ever longer waits."""
        sent = json.dumps(body).encode()
        wait, asked_wait, problem = _FIRST_WAIT, 0.0, ""
        for attempt in range(self._config.retries + 1):
            if attempt:
                time.sleep(max(wait, asked_wait))
                wait, asked_wait = min(2 * wait, _LONGEST_WAIT), 0.0
            try:
                self._before()
                return self._post(sent), attempt + 1
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}{_complaint(error, body['messages'])}"
                if error.code in _REFUSED:
                    raise RefusedError(self._failed(problem)) from None
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    break
                asked_wait = _asked_wait(error)
                if asked_wait > _LONGEST_ASKED_WAIT:
                    problem += f" (it asks to wait {asked_wait:,.0f} s)"
                    break
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            except ValueError:
                problem = "the answer is no JSON"
        raise InputError(self._failed(problem))

    def _failed(self, problem: str) -> str:
        return f"{self._key}: {self._url}: {problem}; answers so far are kept"

    def _post(self, sent: bytes) -> Any:
        key = os.environ.get(self._config.key_variable)
        # The config admits http and https alone.
        request = urllib.request.Request(self._url, sent, {"Content-Type": "application/json"})  # noqa: S310
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")  # it is for this host and no other
        with urllib.request.urlopen(request, timeout=self._config.timeout) as answer:  # noqa: S310
            return json.load(answer)


def _tokens(answer: Mapping[str, Any]) -> int | None:
    usage = answer.get("usage")
    found = usage.get("total_tokens") if isinstance(usage, dict) else None
    return found if isinstance(found, int) else None


def _complaint(error: urllib.error.HTTPError, messages: Sequence[Message]) -> str:
    """What the endpoint says is wrong, unless that quotes what was sent: texts belong into no message."""
    said = " ".join(error.read(4 * _SHOWN).decode("utf-8", "replace").split())[:_SHOWN] or str(error.reason)
    sent = " ".join(" ".join(message["content"].split()) for message in messages)
    quotes = any(said[start : start + _QUOTE] in sent for start in range(len(said) - _QUOTE + 1))
    return "" if quotes else f": {said}"


def _asked_wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the endpoint asks to wait for, or until when; 0 if it asks for nothing."""
    value = error.headers.get("Retry-After") or ""
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _seconds_until(date: str) -> float:
    try:
        found = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp() - time.time()
