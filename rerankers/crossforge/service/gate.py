"""`Gate` checks host, key, body size and queue before the app sees a request, and counts the answers."""

from __future__ import annotations

import hmac
import json
import logging
import time
import traceback
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossforge.service.metrics import Metrics
from crossforge.service.settings import KEY_VARIABLE, LOOPBACK, Settings

_logger = logging.getLogger(__name__)

# Open to everybody: the page, which holds nothing of the corpus, and the health check.
_OPEN = ("/", "/health")


class Gate:
    """ASGI middleware.

    Args:
        app: the app behind it.
        settings: key, hosts and limits.
        metrics: counts each request.
        paths: the paths of the app; others are counted together, so that clients cannot fill the metrics with names.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {name for host in (*LOOPBACK, *settings.allowed_hosts) if (name := _host_name(host))}
        self._metrics = metrics
        self._paths = paths
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with the reason."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._count(+1)
        try:
            await self._serve(scope, receive, watched)
        finally:
            self._count(-1)
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.perf_counter() - start)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits, headers = self._settings.limits, dict(scope["headers"])
        if scope["path"] not in _OPEN and (stranger := self._stranger(headers)):
            reason = f"without a key, the service does not answer to {stranger!r}; --allowed-host adds a name"
            await _refuse(send, 403, reason)
        elif scope["path"] not in _OPEN and not self._has_key(headers.get(b"authorization", b"")):
            reason = f"send the key that the service has in {KEY_VARIABLE}, as 'Authorization: Bearer KEY'"
            await _refuse(send, 401, reason, (b"www-authenticate", b"Bearer"))
        elif _declared_length(headers) > limits.body:
            await _refuse(send, 413, _too_large(limits.body))
        elif scope["method"] == "POST" and self._running > limits.requests:
            reason = f"{limits.requests} requests are already waiting; try again later"
            await _refuse(send, 429, reason, (b"retry-after", b"1"))
        else:
            await self._guarded(scope, _bounded(receive, limits.body), send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            # The message of an error may quote the request, so only its kind and place are logged.
            place = traceback.extract_tb(error.__traceback__)[-1]
            _logger.error("%s at %s:%s", type(error).__name__, place.filename, place.lineno)
            if started:
                raise ConnectionError("the response was cut off") from None
            await _refuse(send, 500, "internal error")

    def _stranger(self, headers: dict[bytes, bytes]) -> str:
        """The host or origin that a service without a key must not answer to; empty if there is none."""
        if self._settings.key is not None:  # which no page from elsewhere has
            return ""
        given = [headers[name].decode("latin-1") for name in (b"host", b"origin") if name in headers]
        return next((value or "an empty name" for value in given if _host_name(value) not in self._hosts), "")

    def _has_key(self, header: bytes) -> bool:
        key = self._settings.key
        if key is None:
            return True
        scheme, _, given = header.partition(b" ")
        # In constant time, so that the time taken does not show how much of the key is right.
        return hmac.compare_digest(given.strip(), key.encode()) and scheme.lower() == b"bearer"

    def _count(self, change: int) -> None:
        self._running += change
        self._metrics.running(self._running)


def _host_name(url: str) -> str | None:
    """The lower-case host of a URL or of a name with or without a port; None if there is none."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None


def _declared_length(headers: dict[bytes, bytes]) -> int:
    declared = headers.get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that refuses a body longer than the limit, whatever its header says."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return bounded


def _too_large(limit: int) -> str:
    return f"the body has more than {limit:,} bytes; send fewer or shorter documents per request"


async def _refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    content = json.dumps({"detail": reason}).encode()
    about = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": content})
