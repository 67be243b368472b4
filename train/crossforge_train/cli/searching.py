"""The commands that use a reranker: search, rerank, inspect. They need the runtime only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from crossforge import Document, InputError, Reranker, RetrieveAndRerank, TfidfRetriever
from crossforge.documents import parse_documents, read_documents
from crossforge.manifest import MANIFEST_FILE, read_manifest
from crossforge.pipeline import FIRST_STAGE_FOLDER, load_first_stage
from crossforge_train.cli.display import (
    as_dict,
    error_console,
    show_facts,
    show_json,
    show_results,
    show_side_by_side,
)

PackageArgument = Annotated[
    str, typer.Argument(help="A package, a cross-encoder folder or a hub id.", show_default=False)
]
QueryArgument = Annotated[str, typer.Argument(help="What to search for.", show_default=False)]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON value on standard output.")]


def search(
    package: PackageArgument,
    query: QueryArgument,
    corpus: Annotated[
        Path | None, typer.Option(help="Documents: JSONL, or text with one a line. Default: the package's own.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many results.", min=1)] = 10,
    depth: Annotated[int, typer.Option(help="How many candidates of the first stage are reranked.", min=1)] = 100,
    compare: Annotated[bool, typer.Option("--compare", help="TF-IDF order and reranked order side by side.")] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Retrieve with TF-IDF, rerank, and show the order."""
    documents, retriever = _first_stage(package, corpus)
    pipeline = RetrieveAndRerank(documents, retriever, Reranker(package), depth=depth)
    results = pipeline(query, None if compare else k)
    if as_json:
        show_json({"query": query, "results": [as_dict(found) for found in results[:k]]})
    elif compare:
        show_side_by_side(results, k)
    else:
        show_results(results)


def rerank(
    package: PackageArgument,
    query: QueryArgument,
    file: Annotated[
        Path | None, typer.Argument(help="Documents; standard input if left out.", show_default=False)
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="How many results; all if left out.", min=1)] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Order documents (lines, or JSONL) by their relevance to a query."""
    documents = read_documents(file) if file else _documents_from_stdin()
    results = Reranker(package).rank(query, documents, top_k=k)
    if as_json:
        show_json({"query": query, "results": [as_dict(found) for found in results]})
    else:
        show_results(results)


def inspect(
    target: Annotated[
        Path, typer.Argument(help="A reranker package, or a collection in BEIR layout.", show_default=False)
    ],
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a package or a collection holds; a package's files are checked against their hashes."""
    if not target.is_dir():
        raise InputError(f"{target}: no such folder")
    if (target / MANIFEST_FILE).is_file():
        facts, title = _package_facts(target), f"reranker package {target}"
    elif (target / "corpus.jsonl").is_file():
        facts, title = _collection_facts(target), f"collection {target}"
    else:
        raise InputError(f"{target}: neither a reranker package ({MANIFEST_FILE}) nor a collection (corpus.jsonl)")
    if as_json:
        show_json(facts)
    else:
        show_facts(facts, title)


COMMANDS: dict[str, Callable[..., Any]] = {"search": search, "rerank": rerank, "inspect": inspect}


def _first_stage(package: str, corpus: Path | None) -> tuple[list[Document], TfidfRetriever]:
    if corpus:
        documents = read_documents(corpus)
        return documents, TfidfRetriever.fit(documents)
    folder = Path(package) / FIRST_STAGE_FOLDER
    if Path(package).is_dir() and not folder.is_dir():
        raise InputError(f"{package}: holds no corpus of its own; name one with --corpus FILE")
    if not folder.is_dir():
        raise InputError(f"{package}: no such folder")
    return load_first_stage(folder)


def _documents_from_stdin() -> list[Document]:
    if sys.stdin.isatty():
        error_console.print("[dim]reading documents from standard input, one a line; Ctrl-D ends[/]")
    lines = list(sys.stdin)
    first = next((line for line in lines if line.strip()), "")
    return parse_documents(lines, "standard input", jsonl=first.lstrip().startswith("{"))


def _package_facts(folder: Path) -> dict[str, Any]:
    facts = asdict(read_manifest(folder))
    files = facts.pop("files")
    size = sum(entry["size"] for entry in files.values())
    return {**facts, "files": f"{len(files)}, {size / 1e6:.0f} MB, all hashes right"}


def _collection_facts(folder: Path) -> dict[str, Any]:
    from crossforge_train.collections.beir import read_beir
    from crossforge_train.collections.inspection import collection_facts

    return collection_facts(read_beir(folder))
