"""`Gate` checks host, key, body size and queue before the app sees a request, and counts the answers."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
import traceback
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossforge.service.metrics import Metrics
from crossforge.service.settings import KEY_VARIABLE, LOOPBACK, Settings

_logger = logging.getLogger(__name__)

# Open to everybody: the page, which holds nothing of the corpus, and the health check.
_OPEN = ("/", "/health")


class _Refused(Exception):  # noqa: N818 -- an answer, and no error of the service
    def __init__(self, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
        self.status, self.reason, self.headers = status, reason, headers


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
        self._unfinished = 0  # bytes of bodies that are still arriving

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

        try:
            await self._serve(scope, receive, watched)
        except _Refused as refused:
            await _refuse(watched, refused.status, refused.reason, *refused.headers)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.answered(path, status, time.perf_counter() - start)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits, headers = self._settings.limits, dict(scope["headers"])
        if scope["path"] not in _OPEN:
            self._require_known(headers)
        if _declared_length(headers) > limits.body:
            raise _Refused(413, _too_large(limits.body))
        if scope["method"] != "POST":
            await self._guarded(scope, receive, send)
            return
        body = await self._body(receive)
        if self._running >= limits.requests:
            raise self._busy()
        self._count(+1)
        try:
            await self._guarded(scope, _replayed(body, receive), send)
        finally:
            self._count(-1)

    async def _body(self, receive: Receive) -> bytes:
        """A request's body. Until it is complete, the request takes no place among those in progress.

        Raises:
            _Refused: it does not arrive in time, is too long, or breaks off, or the unfinished ones are too many bytes.
        """
        limits, body = self._settings.limits, bytearray()

        async def read() -> None:
            message: Message = {"more_body": True}
            while message.get("more_body"):
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Refused(400, "the body breaks off")
                chunk = message.get("body", b"")
                body.extend(chunk)
                self._unfinished += len(chunk)
                if len(body) > limits.body:
                    raise _Refused(413, _too_large(limits.body))
                if self._unfinished > limits.body * limits.requests:
                    raise self._busy()

        try:
            await asyncio.wait_for(read(), limits.seconds)
        except asyncio.TimeoutError:
            reason = f"the body did not arrive within {limits.seconds:g} s"
            raise _Refused(408, reason, (b"connection", b"close")) from None
        finally:
            self._unfinished -= len(body)
        return bytes(body)

    def _busy(self) -> _Refused:
        reason = f"{self._settings.limits.requests} requests are already waiting; try again later"
        return _Refused(429, reason, (b"retry-after", b"1"))

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

    def _require_known(self, headers: dict[bytes, bytes]) -> None:
        """Refuse whoever lacks the key; without one, whoever asks for another host, or from a page of one."""
        if (key := self._settings.key) is not None:
            if not _has_key(key, headers.get(b"authorization", b"")):
                reason = f"send the key that the service has in {KEY_VARIABLE}, as 'Authorization: Bearer KEY'"
                raise _Refused(401, reason, (b"www-authenticate", b"Bearer"))
            return
        for name in (b"host", b"origin"):
            given = headers.get(name, b"localhost").decode("latin-1")
            if _host_name(given) not in self._hosts:
                raise _Refused(403, f"without a key, the {name.decode()} {given!r} is refused; --allowed-host adds one")

    def _count(self, change: int) -> None:
        self._running += change
        self._metrics.running(self._running)


def _has_key(key: str, header: bytes) -> bool:
    scheme, _, given = header.partition(b" ")
    # In constant time, so that the time taken does not show how much of the key is right.
    return hmac.compare_digest(given.strip(), key.encode()) and scheme.lower() == b"bearer"


def _host_name(url: str) -> str | None:
    """The lower-case host of a URL or of a name with or without a port; None if there is none."""
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None


def _declared_length(headers: dict[bytes, bytes]) -> int:
    declared = headers.get(b"content-length", b"0")
    return int(declared[:20]) if declared.isdigit() else 0


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` that gives a body which was read already, and then what follows it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _too_large(limit: int) -> str:
    return f"the body has more than {limit:,} bytes; send fewer or shorter documents per request"


async def _refuse(send: Send, status: int, reason: str, *headers: tuple[bytes, bytes]) -> None:
    content = json.dumps({"detail": reason}).encode()
    about = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": content})
