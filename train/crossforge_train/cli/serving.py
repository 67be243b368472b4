"""The command `serve`: a package behind HTTP. It needs the runtime and `crossforge[serve]` only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossforge.backends.choice import AUTO
from crossforge.backends.devices import AUTO_DEVICE
from crossforge.errors import InputError
from crossforge.files import require_writable
from crossforge.manifest import FIRST_STAGE_FOLDER
from crossforge.pipeline import holds_documents
from crossforge_train.cli.display import error_console
from crossforge_train.cli.options import BackendOption, DeviceOption, PackageArgument, refuse
from crossforge_train.cli.searching import EMBEDS, DepthOption, PassagesOption, has_encoder

if TYPE_CHECKING:
    from crossforge.service.plan import Plan

# Seconds in which requests that are under way may end after the service was told to stop.
_GRACE = 30


def serve(
    context: typer.Context,
    package: PackageArgument,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Documents: JSONL, or text with one per line. Default: the package's own, if any."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 accepts connections from other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one.", min=0, max=65535)] = 8080,
    depth: DepthOption = None,
    passages: PassagesOption = None,
    backend: BackendOption = AUTO,
    device: DeviceOption = AUTO_DEVICE,
    judgements: Annotated[
        Path | None,
        typer.Option(help="File for judgements made on the page. Default: judgements.tsv of the package's run."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Without a key: a name to answer to, besides localhost and --host; may be repeated."),
    ] = None,
    max_documents: Annotated[int, typer.Option(help="Documents per request.", min=1)] = 1000,
    max_body: Annotated[int, typer.Option(help="Bytes per request.", min=1)] = 16 * 1024 * 1024,
    max_requests: Annotated[int, typer.Option(help="Requests in progress or waiting, of all workers.", min=1)] = 64,
    workers: Annotated[int, typer.Option(help="Processes that share the address and the cores.", min=1)] = 1,
) -> None:
    """Serve reranking and search over HTTP. With CROSSFORGE_API_KEY set, clients must send that key."""
    searches = corpus is not None or holds_documents(Path(package) / FIRST_STAGE_FOLDER)
    if not searches:
        refuse(context, f"needs documents; {package} holds none, so name them with --corpus", "depth", "judgements")
    if judgements is not None:
        require_writable(judgements, "a table of judgements")
    try:
        import uvicorn

        from crossforge.service.judgements import judgements_of_run
        from crossforge.service.plan import Plan
        from crossforge.service.settings import KEY_VARIABLE, Limits, Settings
    except ModuleNotFoundError as error:
        raise InputError(
            f'{error.name} is not installed, and serving needs it: pip install "crossforge[serve]"'
        ) from None

    key = os.environ.get(KEY_VARIABLE)
    if key is not None and not key.strip():
        raise InputError(f"{KEY_VARIABLE} is empty; set it to a key, or unset it to serve without one")
    limits = Limits(body=max_body, documents=max_documents, requests=max_requests)
    hosts = (f"[{host}]" if ":" in host else host, *(allowed_host or ()))
    settings = Settings(limits, key, judgements or judgements_of_run(Path(package)), hosts)
    if corpus is not None and has_encoder(package):
        error_console.print(f"indexing {corpus}; {EMBEDS}", markup=False, soft_wrap=True)
    plan = Plan(_name(package), package, searches, corpus, backend, depth, passages, settings, device)
    options: dict[str, Any] = {
        "log_config": None,  # its own set-up closes the handlers of every library in the process
        "log_level": "warning",
        "access_log": False,
        "timeout_graceful_shutdown": _GRACE,
        "server_header": False,
    }

    def listening() -> socket.socket:
        listener = _listening(host, port)
        where = f"http://{hosts[0]}:{listener.getsockname()[1]}"
        error_console.print(f"serving {package} on {where} (Ctrl-C ends)", markup=False, soft_wrap=True)
        return listener

    if workers > 1:
        _serve_with_workers(plan, workers, listening, options)
        return
    server = uvicorn.Server(uvicorn.Config(plan.app(), **options))
    with contextlib.suppress(KeyboardInterrupt), listening() as listener:
        # uvicorn raises the signal that ended it once more: this one, too, has then done all that it should.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.run(sockets=[listener])
        finally:
            signal.signal(signal.SIGTERM, before)


def _serve_with_workers(
    plan: Plan, workers: int, listening: Callable[[], socket.socket], options: dict[str, Any]
) -> None:
    from crossforge.service.copies import temporary_folder
    from crossforge.service.sharing import shared
    from crossforge.service.workers import for_workers, run_workers

    with temporary_folder() as folder:
        metrics = folder / "metrics"
        metrics.mkdir()
        told_to_end = True
        planned = replace(shared(plan, folder), settings=for_workers(plan.settings, workers, metrics))
        with contextlib.suppress(KeyboardInterrupt), listening() as listener:
            told_to_end = run_workers(planned, workers, listener, **options)
    if not told_to_end:
        raise typer.Exit(1)


COMMANDS: dict[str, Callable[..., Any]] = {"serve": serve}


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port") from None


def _name(package: str) -> str:
    """What the service calls its model: the run's name for `runs/NAME/package`, else the folder's or the hub id."""
    folder = Path(package).resolve()
    if not folder.is_dir():
        return package
    return folder.parent.name if folder.name == "package" else folder.name
