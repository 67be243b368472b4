"""Puts the service together."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from crossforge import __version__
from crossforge.errors import InputError
from crossforge.pipeline import RetrieveAndRerank
from crossforge.service.batches import SharedReranker
from crossforge.service.gate import Gate
from crossforge.service.judgements import JudgementLog
from crossforge.service.metrics import Metrics
from crossforge.service.routes import Served, make_router
from crossforge.service.schemas import is_tag
from crossforge.service.settings import Settings


class _PlainJson(JSONResponse):
    """ASCII only, so that any text of a corpus can be sent, lone surrogates included."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode("ascii")


def create_app(
    name: str, reranker: SharedReranker, search: RetrieveAndRerank | None = None, settings: Settings | None = None
) -> FastAPI:
    """The service as an ASGI app.

    Args:
        name: of the model, in responses.
        reranker: scores; closed when the app shuts down.
        search: a corpus behind the same reranker, for `/v1/search` and the page; None serves reranking alone.
        settings: limits, key, judgements.
    """
    settings = settings or Settings()
    metrics = Metrics(settings.metrics)
    judgements = JudgementLog(settings.judgements) if settings.judgements else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        reranker.close()

    # Without FastAPI's own pages: they load scripts from elsewhere.
    app = FastAPI(
        title="crossforge", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        default_response_class=_PlainJson,
    )  # fmt: skip
    reranker.batches.observer = metrics.computed
    app.include_router(make_router(Served(name, reranker, search, settings, metrics, judgements)))
    app.add_exception_handler(InputError, _unusable)
    app.add_exception_handler(RequestValidationError, _invalid)
    paths = frozenset({*app.openapi()["paths"], "/", "/openapi.json"})
    app.add_middleware(Gate, settings=settings, metrics=metrics, paths=paths)
    return app


async def _unusable(request: Request, error: Exception) -> JSONResponse:
    return _PlainJson({"detail": str(error)}, 422)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """One line, which does not repeat the request."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- what the handler is registered for
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _PlainJson({"detail": "the body is not valid JSON"}, 422)
    where = ".".join(str(part) for part in first["loc"][1:] if not is_tag(part))  # the first part says "body"
    reason = "there is no such field" if first["type"] == "extra_forbidden" else first["msg"]
    return _PlainJson({"detail": f"{where or 'body'}: {reason}"}, 422)
