"""Asks an endpoint over HTTP, in JSON. Nothing of requests or answers is logged."""

from __future__ import annotations

import json
import math
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import tenacity

from crossforge.errors import InputError
from crossforge_train.config.asking import AskingConfig

Answer = TypeVar("Answer")

_TRY_AGAIN = (408, 409, 425, 429)  # and every 5xx
_REFUSED = (400, 413, 422)  # says something about this request, not about the endpoint
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds
_LONGEST_ASKED_WAIT = 300.0  # seconds; who asks for more is not waited for
_READ = 800  # characters of what the endpoint complains of
_SHOWN = 200  # as many of them stand in a message
_QUOTE = 16  # as many characters of a request in a complaint are a quotation


class RefusedError(InputError):
    """The endpoint refuses this one request; others may pass.

    Attributes:
        too_large: whether it says that the request is too large.
        said: the beginning of its answer; it may quote the request, and belongs into no message.
    """

    def __init__(self, problem: str, *, too_large: bool = False, said: str = "") -> None:
        super().__init__(problem)
        self.too_large = too_large
        self.said = said


class PassingError(Exception):
    """What may pass by itself; `asked_wait` says for how many seconds the endpoint asks to wait."""

    def __init__(self, problem: str, asked_wait: float = 0.0) -> None:
        super().__init__(problem)
        self.asked_wait = asked_wait


class Endpoint:
    """Posts JSON, and tries again what may pass by itself. May be called from several threads.

    Args:
        config: how to ask.
        url: where.
        key: the section's name in a config, for errors.

    Raises:
        InputError: the environment variable that is to hold the API key holds something else.
    """

    def __init__(self, config: AskingConfig, url: str, key: str) -> None:
        self._config = config
        self._url = url
        self._key = key
        # The API key is for this host: nothing is redirected.
        headers = {"Content-Type": "application/json", **_authorization(config.key_variable, key)}
        # The system's certificates, among which a company has its own; httpx would take those of certifi.
        trusted = ssl.create_default_context()
        self._client = httpx.Client(timeout=config.timeout, headers=headers, verify=trusted)

    def ask(
        self, body: Mapping[str, Any], texts: Iterable[str], read: Callable[[Any], Answer], before: Callable[[], None]
    ) -> tuple[Answer, int]:
        """What is read from the answer, and how many tries it took.

        Args:
            body: what is sent.
            texts: of the body, what no message may quote.
            read: takes the answer's JSON; raises `ValueError` where it has another shape, and `PassingError` where
                asking again may help.
            before: called before each request that is sent, tries included; what it raises ends the asking.

        Raises:
            RefusedError: this request is refused.
            InputError: the endpoint cannot be asked, or its answer has another shape.
        """
        tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._config.retries + 1),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(PassingError),
            sleep=time.sleep,
            reraise=True,
        )
        # In ASCII: a text may hold half a surrogate pair, which has no UTF-8.
        content, sent = json.dumps(body), " ".join(" ".join(text.split()) for text in texts)
        try:
            return tries(lambda: read(self._post(content, sent, before))), tries.statistics["attempt_number"]
        except PassingError as error:
            raise InputError(self._failed(str(error))) from None
        except ValueError as error:
            raise InputError(f"{self._url}: {error}") from None

    def _post(self, content: str, sent: str, before: Callable[[], None]) -> Any:
        before()
        try:
            answer = self._client.post(self._url, content=content)
        except httpx.TransportError as error:
            raise PassingError(str(error) or type(error).__name__) from None
        except httpx.InvalidURL as error:
            raise InputError(self._failed(str(error))) from None
        if not answer.is_success:
            raise self._problem(answer, sent)
        try:
            return answer.json()
        except ValueError:
            raise PassingError("the answer is no JSON") from None

    def _problem(self, answer: httpx.Response, sent: str) -> Exception:
        status = answer.status_code
        problem = f"HTTP {status}{_complaint(answer, sent)}"
        if status in _REFUSED:
            too_large = status == httpx.codes.REQUEST_ENTITY_TOO_LARGE
            return RefusedError(self._failed(problem), too_large=too_large, said=answer.text[:_READ])
        if status < 500 and status not in _TRY_AGAIN:
            return InputError(self._failed(problem))
        wait = _asked_wait(answer.headers.get("Retry-After", ""))
        if wait > _LONGEST_ASKED_WAIT:
            return InputError(self._failed(f"{problem} (it asks to wait {wait:,.0f} s)"))
        return PassingError(problem, wait)

    def _failed(self, problem: str) -> str:
        return f"{self._key}: {self._url}: {problem}; answers so far are kept"


def _authorization(variable: str, key: str) -> dict[str, str]:
    found = os.environ.get(variable, "").strip()
    if not (found.isascii() and found.isprintable()):
        raise InputError(f"{key}: the environment variable {variable} holds no API key: it has signs that none has")
    return {"Authorization": f"Bearer {found}"} if found else {}


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds before the next try: twice as long after each failure, or as long as the endpoint asks for."""
    error = state.outcome.exception() if state.outcome else None
    backoff = tenacity.wait_exponential(_FIRST_WAIT, _LONGEST_WAIT)(state)
    return max(backoff, error.asked_wait if isinstance(error, PassingError) else 0.0)


def _complaint(answer: httpx.Response, sent: str) -> str:
    """What the endpoint says is wrong, unless that quotes what was sent: texts belong into no message."""
    said = " ".join(answer.text[:_READ].split())[:_SHOWN] or answer.reason_phrase
    quotes = any(said[start : start + _QUOTE] in sent for start in range(len(said) - _QUOTE + 1))
    return "" if quotes else f": {said}"


def _asked_wait(value: str) -> float:
    """Seconds that the endpoint asks to wait for, or until when; 0 if it asks for nothing."""
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
