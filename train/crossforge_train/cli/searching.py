"""The commands that use a reranker: search, rerank, inspect. They need the runtime only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossforge import Document, InputError, Reranker, RetrieveAndRerank
from crossforge.documents import parse_documents, read_documents
from crossforge.manifest import MANIFEST_FILE, read_manifest
from crossforge.pipeline import DEFAULT_DEPTH, FIRST_STAGE_FOLDER, load_first_stage
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.cli.display import (
    as_dict,
    error_console,
    show_explanation,
    show_facts,
    show_json,
    show_results,
    show_side_by_side,
)
from crossforge_train.cli.options import JsonOption, PackageArgument, refuse

if TYPE_CHECKING:
    from crossforge_train.inspection.report import CollectionFacts

DepthOption = Annotated[int, typer.Option(help="Number of first-stage candidates to rerank.", min=1)]
PassagesOption = Annotated[int, typer.Option(help="Passages of a long document to read.", min=1)]
QueryArgument = Annotated[str, typer.Argument(help="What to search for.", show_default=False)]


def search(
    context: typer.Context,
    package: PackageArgument,
    query: QueryArgument,
    corpus: Annotated[
        Path | None, typer.Option(help="Documents: JSONL, or text with one per line. Default: the package's own.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of results.", min=1)] = 10,
    depth: DepthOption = DEFAULT_DEPTH,
    passages: PassagesOption = 1,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the first-stage order and the reranked order side by side.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each step did to each candidate: ranks, scores, passage.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Retrieve documents for a query and rerank them."""
    if explain:
        refuse(context, "not with --explain, which shows both orders", "compare")
    if as_json:
        refuse(context, "not with --json, which gives both ranks of each result", "compare")
    if explain and as_json:
        refuse(context, "not with --explain --json, which gives every candidate", "k")
    elif k > depth:
        refuse(context, f"{k} results are more than the {depth} candidates to rerank; raise --depth", "k")
    documents, retriever = first_stage(package, corpus)
    pipeline = RetrieveAndRerank(documents, retriever, Reranker(package), depth=depth, passages=passages)
    if explain:
        explained = pipeline.explain(query)
        show_json(asdict(explained)) if as_json else show_explanation(explained, k)
        return
    results = pipeline(query, None if compare else k)
    if as_json:
        show_json({"query": query, "results": [as_dict(found) for found in results[:k]]})
    elif compare:
        show_side_by_side(results, k, pipeline.first_stage)
    else:
        show_results(results, pipeline.first_stage)


def rerank(
    package: PackageArgument,
    query: QueryArgument,
    file: Annotated[
        Path | None, typer.Argument(help="Documents: JSONL, or one per line. Default: stdin.", show_default=False)
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Number of results. Default: all.", min=1)] = None,
    as_json: JsonOption = False,
) -> None:
    """Order documents by their relevance to a query."""
    documents = read_documents(file) if file else _documents_from_stdin()
    results = Reranker(package).rank(query, documents, top_k=k)
    if as_json:
        show_json({"query": query, "results": [as_dict(found) for found in results]})
    else:
        show_results(results)


def inspect(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(help="A reranker package, a collection's folder, or a config file.", show_default=False),
    ],
    model: Annotated[
        Path | None,
        typer.Option(help="Base model whose tokenizer counts tokens. Default: the config's base_model."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens of query and document together. Default: the config's, or 256.", min=16)
    ] = None,
    max_queries: Annotated[int, typer.Option(help="Queries of each split to search, by a seeded draw.", min=1)] = 2000,
    as_json: JsonOption = False,
) -> None:
    """Describe a package, whose files are checked against their hashes, or a collection."""
    if (target / MANIFEST_FILE).is_file():
        why = f"only for a collection or a config; {target} is a reranker package"
        refuse(context, why, "model", "max_length", "max_queries")
        packaged = _package_facts(target)
        show_json(packaged) if as_json else show_facts(packaged, f"reranker package {target}")
        return
    if target.is_dir() and model is None:
        refuse(context, "needs --model, whose tokenizer counts the tokens", "max_length")
    facts = _collection_facts(target, model, max_length, max_queries)
    if as_json:
        show_json(asdict(facts))
    else:
        from crossforge_train.cli.collection_display import show_collection

        show_collection(facts)


COMMANDS: dict[str, Callable[..., Any]] = {"search": search, "rerank": rerank, "inspect": inspect}


def first_stage(package: str, corpus: Path | None) -> tuple[list[Document], StoredRetriever]:
    """The documents of a file, or of the package itself, and their index."""
    if corpus:
        documents = read_documents(corpus)
        return documents, fit_retriever(documents)
    folder = Path(package) / FIRST_STAGE_FOLDER
    if Path(package).is_dir() and not folder.is_dir():
        raise InputError(f"{package}: has no corpus of its own; name one with --corpus FILE")
    if not folder.is_dir():
        raise InputError(f"{package}: no such folder")
    return load_first_stage(folder)


def _documents_from_stdin() -> list[Document]:
    if sys.stdin.isatty():
        error_console.print("[dim]reading documents from standard input, one per line; press Ctrl-D to end[/]")
    lines = list(sys.stdin)
    first = next((line for line in lines if line.strip()), "")
    return parse_documents(lines, "standard input", jsonl=first.lstrip().startswith("{"))


def _package_facts(folder: Path) -> dict[str, Any]:
    facts = asdict(read_manifest(folder))
    files = facts.pop("files")
    size = sum(entry["size"] for entry in files.values())
    return {**facts, "files": f"{len(files)}, {size / 1e6:.0f} MB, all hashes right"}


def _collection_facts(target: Path, model: Path | None, max_length: int | None, max_queries: int) -> CollectionFacts:
    from crossforge_train.collections.own_documents import settle_own_documents
    from crossforge_train.collections.storage import is_collection, read_folder
    from crossforge_train.config.evaluation import EvaluationConfig
    from crossforge_train.config.first_stage import FirstStageConfig
    from crossforge_train.config.loading import load_config
    from crossforge_train.config.training import TrainingConfig
    from crossforge_train.first_stage import fit_first_stage
    from crossforge_train.inspection.report import Inspection, collection_facts
    from crossforge_train.stages.collect import load_collection

    missing = ""
    if target.is_file():
        config = load_config(target)
        collection = load_collection(config.collection, config.seed).collection
        collection, _ = settle_own_documents(collection, config.collection.ignore_identical_ids)
        first_stage, training, depth, seed = config.first_stage, config.training, config.evaluation.depth, config.seed
        if model is None:
            model, missing = _base_model(config.base_model)
    else:
        if target.is_dir() and not is_collection(target):
            raise InputError(
                f"{target}: neither a reranker package ({MANIFEST_FILE}) nor a collection (corpus.jsonl); "
                "a config file says how other files are read"
            )
        collection, seed = read_folder(target), 42
        if collection.own_documents is None:
            collection, _ = settle_own_documents(collection, "auto")
        first_stage, training, depth = FirstStageConfig(), TrainingConfig(), EvaluationConfig().depth
    wanted = Inspection(depth, max_queries, model, max_length or training.most_tokens, seed)
    facts = collection_facts(collection, fit_first_stage(collection.corpus.values(), first_stage), wanted)
    return replace(facts, warnings=[*facts.warnings, missing]) if missing else facts


def _base_model(name: str) -> tuple[Path | None, str]:
    """The base model's folder, or what is wrong with it: the rest of the facts needs none."""
    from crossforge_train.base_model import find_base_model

    try:
        return find_base_model(name), ""
    except InputError as error:
        return None, f"tokens were not looked at: {error}"
