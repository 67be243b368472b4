"""The commands that use a reranker: search, rerank, inspect. They need the runtime only."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from crossforge import Document, InputError, Reranker, RetrieveAndRerank
from crossforge.documents import parse_documents, read_documents
from crossforge.embedding.encoder import is_encoder, read_settings
from crossforge.files import decoded
from crossforge.manifest import FIRST_STAGE_FOLDER, MANIFEST_FILE, read_manifest
from crossforge.pipeline import find_first_stage, fit_first_stage, holds_documents
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import LEXICAL
from crossforge_train.cli.display import (
    Output,
    RichReporter,
    as_dict,
    console,
    error_console,
    show_explanation,
    show_facts,
    show_json,
    show_results,
    show_side_by_side,
)
from crossforge_train.cli.engine import (
    AddressOption,
    EngineName,
    EngineOption,
    GpusOption,
    WorkersOption,
    compute_section,
)
from crossforge_train.cli.options import JsonOption, PackageArgument, QuietOption, refuse

if TYPE_CHECKING:
    from crossforge_train.inspection.report import CollectionFacts

DepthOption = Annotated[
    int | None, typer.Option(help="First-stage candidates to rerank. Default: as in its proof, or 100.", min=1)
]
PassagesOption = Annotated[
    int | None, typer.Option(help="Passages of a long document to read. Default: as in its proof, or 1.", min=1)
]
EMBEDS = (
    "--corpus embeds the documents anew each time; a package with package.include_corpus: true holds its index, and in "
    "Python RetrieveAndRerank.save keeps one"
)
# The deepest that `inspect` looks, which is as deep as `evaluation.depth: auto` goes.
_DEEPEST = 200


def _as_typed(query: str | None) -> str | None:
    try:
        (query or "").encode()
    except UnicodeEncodeError:
        raise InputError("the query is not UTF-8 text; check the encoding of the terminal") from None
    return query


QueryArgument = Annotated[str, typer.Argument(help="What to search for.", show_default=False, callback=_as_typed)]


def search(
    context: typer.Context,
    package: PackageArgument,
    query: QueryArgument,
    corpus: Annotated[
        Path | None, typer.Option(help="Documents: JSONL, or text with one per line. Default: the package's own.")
    ] = None,
    lexical: Annotated[
        bool,
        typer.Option("--lexical", help="Index the corpus with TF-IDF, and let the reranker alone decide the order."),
    ] = False,
    k: Annotated[int, typer.Option("-k", help="Number of results.", min=1)] = 10,
    depth: DepthOption = None,
    passages: PassagesOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the first-stage order and the reranked order side by side.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each step did to each candidate: ranks, scores, passage.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Retrieve documents for a query and rerank them."""
    if corpus is None:
        refuse(context, "only with --corpus; the package's own corpus is indexed already", "lexical")
    if explain:
        refuse(context, "not with --explain, which shows both orders", "compare")
    if as_json:
        refuse(context, "not with --json, which gives both ranks of each result", "compare")
    if explain and as_json:
        refuse(context, "not with --explain --json, which gives every candidate", "k")
    elif depth and k > depth:
        refuse(context, f"{k} results are more than the {depth} candidates to rerank; raise --depth", "k")
    require_documents(package, corpus)
    reranker = Reranker(package)
    documents, retriever = first_stage(reranker, package, corpus, lexical=lexical)
    second_stage = reranker.alone() if lexical else reranker
    pipeline = RetrieveAndRerank(documents, retriever, second_stage, depth=depth, passages=passages)
    if k > pipeline.depth:  # which was not given, so it is the proof's
        RichReporter().note(f"no more than {pipeline.depth} results: so many candidates are reranked; raise --depth")
    if explain:
        explained = pipeline.explain(query)
        show_json(asdict(explained)) if as_json else show_explanation(explained, k)
        return
    results = pipeline(query, None if compare else k)
    if as_json:
        found = [as_dict(result) for result in results[:k]]
        show_json({"query": query, "reranked": results.reranked, "results": found})
    elif compare:
        show_side_by_side(results, k, pipeline.first_stage, pipeline.origins(query))
    else:
        show_results(results, pipeline.first_stage)


def rerank(
    context: typer.Context,
    package: PackageArgument,
    query: Annotated[
        str | None, typer.Argument(help="What to search for.", show_default=False, callback=_as_typed)
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="Documents: JSONL, or one per line. Default: stdin.", show_default=False)
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="Number of results. Default: all.", min=1)] = None,
    run: Annotated[
        Path | None, typer.Option(help="TREC run to rerank in place of one query.", show_default=False)
    ] = None,
    collection: Annotated[
        Path | None, typer.Option(help="With --run: its collection, in BEIR layout.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="With --run: TREC run to write.")] = None,
    depth: Annotated[
        int | None, typer.Option(help="With --run: candidates of each query to keep and rerank. Default: all.", min=1)
    ] = None,
    engine: EngineOption = EngineName.local,
    address: AddressOption = "auto",
    workers: WorkersOption = None,
    gpus_per_worker: GpusOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Order documents by their relevance to a query, or those of a whole TREC run."""
    if run is not None:
        refuse(context, "not with --run, which has the queries and their documents; see --depth", "query", "file", "k")
        if collection is None or out is None:
            raise InputError("--run needs --collection FOLDER and -o FILE")
        compute = compute_section(context, engine, address, workers, gpus_per_worker)
        _rerank_run(package, run, collection, out, depth, compute, Output(quiet, as_json))
        return
    only_runs = ("collection", "out", "depth", "engine", "address", "workers", "gpus_per_worker", "quiet")
    refuse(context, "only with --run", *only_runs)
    if query is None:
        raise InputError("give a QUERY, or --run FILE")
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
        typer.Argument(
            help="A reranker package, a model's or collection's folder, a model's hub id, or a config file.",
            show_default=False,
        ),
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
    """Describe a package (and check its files against their hashes), a model or a collection."""
    if (target / MANIFEST_FILE).is_file():
        why = f"only for a collection or a config; {target} is a reranker package"
        refuse(context, why, "model", "max_length", "max_queries")
        packaged = _package_facts(target)
        show_json(packaged) if as_json else show_facts(packaged, f"reranker package {target}")
        return
    if _is_model(target):
        refuse(context, f"only for a collection or a config; {target} is a model", "model", "max_length", "max_queries")
        _inspect_model(target, target, as_json=as_json)
        return
    if _is_hub_id(target):
        why = f"only for a collection or a config; {target} is a hub id"
        refuse(context, why, "model", "max_length", "max_queries")
        from crossforge_train.models.base_model import find_base_model

        _inspect_model(find_base_model(str(target)), target, as_json=as_json)
        return
    if target.is_dir() and model is None:
        refuse(context, "needs --model, whose tokenizer counts the tokens", "max_length")
    facts = _collection_facts(target, model, max_length, max_queries)
    if as_json:
        show_json(asdict(facts))
    else:
        from crossforge_train.cli.collection_display import show_collection

        show_collection(facts)


def _rerank_run(
    package: str, run: Path, collection: Path, out: Path, depth: int | None, compute: dict[str, Any], output: Output
) -> None:
    from crossforge_train.api import reranking

    found = reranking.rerank(package, run, collection, out, depth=depth, compute=compute, reporter=output.reporter())
    if output.as_json:
        show_json({**asdict(found), "path": str(found.path)})
    else:
        told = f"{found.documents:,} documents of {found.queries:,} queries reranked"
        console.print(f"{told}: [bold]{escape(str(found.path))}[/]", soft_wrap=True)


COMMANDS: dict[str, Callable[..., Any]] = {"search": search, "rerank": rerank, "inspect": inspect}


def require_documents(package: str, corpus: Path | None) -> None:
    """Raise `InputError` if there is nothing to search in: no file is named, and the package holds no corpus."""
    if corpus is None and not Path(package).is_dir():
        raise InputError(f"{package}: no such folder")
    if corpus is None and not holds_documents(Path(package) / FIRST_STAGE_FOLDER):
        raise InputError(f"{package}: has no corpus of its own; name one with --corpus FILE")


def first_stage(
    reranker: Reranker, package: str, corpus: Path | None, *, lexical: bool = False
) -> tuple[list[Document], StoredRetriever]:
    """The documents of a file, or of the package itself, and their index: TF-IDF, or as in the package's proof."""
    if corpus is None:
        return find_first_stage(reranker, Path(package), None)
    documents = read_documents(corpus)
    if lexical:
        return documents, fit_retriever(documents)
    with ExitStack() as shown:
        return documents, fit_first_stage(documents, reranker, partial(_embedding, len(documents), shown))


def has_encoder(package: str) -> bool:
    """Whether the first stage of a package, if it is a folder, embeds documents."""
    return any(is_encoder(path.parent) for path in (Path(package) / FIRST_STAGE_FOLDER).rglob("*.json"))


def _embedding(documents: int, shown: ExitStack, encoder: Path) -> Mapping[str, Any]:
    """Shows how far the documents of a file are embedded, which takes long and is done anew by every command."""
    reporter = RichReporter()
    reporter.note(EMBEDS)
    title = f"embedding {documents:,} documents with {read_settings(encoder).model}"
    return {"progress": shown.enter_context(reporter.bar(title, documents))}


def _documents_from_stdin() -> list[Document]:
    if sys.stdin.isatty():
        error_console.print("[dim]reading documents from standard input, one per line; press Ctrl-D to end[/]")
    text = decoded(sys.stdin.buffer.read(), "standard input")
    return parse_documents(io.StringIO(text, newline=None), "standard input", jsonl=text.lstrip().startswith("{"))


def _is_model(target: Path) -> bool:
    from crossforge_train.collections.storage import is_collection
    from crossforge_train.inspection.model import holds_model

    return holds_model(target) and not is_collection(target)


def _is_hub_id(target: Path) -> bool:
    """Whether it is a hub id, and no folder or config file that is missing."""
    from crossforge_train.models.base_model import looks_like_hub_id

    return not target.exists() and target.suffix not in (".yaml", ".yml") and looks_like_hub_id(str(target))


def _inspect_model(folder: Path, target: Path, *, as_json: bool) -> None:
    from crossforge_train.inspection.model import model_facts
    from crossforge_train.stages.base_check import require_trainable

    facts, unusable = model_facts(folder), ""
    try:
        require_trainable(str(folder))
    except InputError as error:
        unusable = str(error).removeprefix(f"base model {folder}: ")
    if unusable:
        facts = {
            **facts,
            "as base": f"no: {unusable}",
            "a package of it is read by": "nothing: it cannot become a package",
        }
    show_json(facts) if as_json else show_facts(facts, f"model {target}")


def _package_facts(folder: Path) -> dict[str, Any]:
    from crossforge_train.inspection.model import reading_facts

    facts = {**asdict(read_manifest(folder)), **reading_facts(folder)}
    files = facts.pop("files")
    size = sum(entry["size"] for entry in files.values())
    return {**facts, "files": f"{len(files)}, {size / 1e6:.0f} MB, all hashes right"}


def _collection_facts(target: Path, model: Path | None, max_length: int | None, max_queries: int) -> CollectionFacts:
    from crossforge_train.collections.own_documents import settle_own_documents
    from crossforge_train.collections.storage import is_collection, read_folder
    from crossforge_train.config.evaluation import EvaluationConfig
    from crossforge_train.config.first_stage import AUTO, FirstStageConfig
    from crossforge_train.config.loading import load_config
    from crossforge_train.config.training import TrainingConfig
    from crossforge_train.first_stage import fit_first_stage as fit_as_configured
    from crossforge_train.inspection.report import Inspection, collection_facts
    from crossforge_train.reporting import SilentReporter
    from crossforge_train.stages.collect import load_judged, workplace_of
    from crossforge_train.stages.embedding import run_embeddings

    if target.suffix and not target.exists():  # such as a config; a folder's own error knows how to get it
        raise InputError(f"{target}: no such file")
    missing, embeddings = "", None
    if target.is_file():
        config = load_config(target)
        collected, _ = load_judged(config, workplace_of(config, SilentReporter()))
        collection = collected.collection
        first_stage, training, evaluation, seed = config.first_stage, config.training, config.evaluation, config.seed
        if first_stage.kind == AUTO:  # a look at a collection embeds it only if it is asked to
            first_stage = first_stage.of_kind(LEXICAL)
        elif first_stage.embeds:
            embeddings = run_embeddings(config, SilentReporter())
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
        first_stage, training, evaluation = FirstStageConfig(), TrainingConfig(), EvaluationConfig()
    depth = _DEEPEST if evaluation.depth == AUTO else evaluation.depth
    wanted = Inspection(depth, max_queries, model, max_length or training.most_tokens, seed, evaluation.significance)
    facts = collection_facts(collection, fit_as_configured(collection.corpus.values(), first_stage, embeddings), wanted)
    return replace(facts, warnings=[*facts.warnings, missing]) if missing else facts


def _base_model(name: str) -> tuple[Path | None, str]:
    """The base model's folder, or what is wrong with it: the rest of the facts needs none."""
    from crossforge_train.models.base_model import find_base_model

    try:
        return find_base_model(name), ""
    except InputError as error:
        return None, f"tokens were not looked at: {error}"
