"""Stage `mine`: indexes the corpus, retrieves candidates for every split, and mines groups with hard negatives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import remove, sha256
from crossforge.retrievers.base import CombinedRetriever, Retriever, StoredRetriever
from crossforge.retrievers.registry import DENSE, HYBRID, LEXICAL, RETRIEVERS
from crossforge.runs import Run, read_run
from crossforge_train.collections.candidates import for_copies, require_order, retrieve, without_own
from crossforge_train.collections.collection import Collection, require_documents
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.mining import AUTO, MiningConfig, MiningSource
from crossforge_train.config.run import Config
from crossforge_train.encoders.base import prompts_depend_on
from crossforge_train.encoders.embeddings import open_embeddings
from crossforge_train.encoders.tuning import RULES
from crossforge_train.evaluation.combination import LEAST_QUERIES, LEXICAL_WEIGHT
from crossforge_train.evaluation.encoder_length import LENGTHS
from crossforge_train.first_stage import first_stage_depends_on
from crossforge_train.mining.choice import SAMPLE, with_choice
from crossforge_train.mining.negatives import Candidates, Mined, Miner, Source, own_negatives
from crossforge_train.mining.report import mining_report, write_suspects
from crossforge_train.mining.teacher import mine_with_teacher
from crossforge_train.mining.teachers import base_teaches, open_teacher, teachers_depend_on
from crossforge_train.models.base_model import find_base_model, is_bi_encoder, model_hash, weights_hash
from crossforge_train.run_folder import MINE
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.embedding import sharing
from crossforge_train.stages.encoder_length import with_encoder_length, with_length_chosen
from crossforge_train.stages.first_stage import as_served, base_query_map, first_stage_of_run
from crossforge_train.stages.shards import index_for_mining, search_by_shards
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.stages.tuned_encoder import with_tuned_encoder
from crossforge_train.versions import versions


def _depends_on(config: Config) -> Mapping[str, Any]:
    mining = config.mining
    embeds = base_teaches(config) or any(source.dense for source in mining.sources)
    # What of its section decides an API's scores is the teacher's own.
    unused = {"rerank_api"} | ({"dense_negatives"} if config.first_stage.kind == LEXICAL else set())
    if mining.teacher_scores is None:  # earlier versions had no such key, and their stages still count as finished
        unused.add("teacher_scores")
    return {
        "first_stage": config.first_stage.fingerprint(),
        # A second round adds stages and changes nothing here.
        "mining": {**mining.model_dump(mode="json", exclude=unused), "rounds": 1, **_settled(config)},
        "embedding": _embedding(config) if embeds else None,
        "sources": {source.name: _source_hash(source) for source in mining.sources},
        "seed": config.seed,
        "versions": versions("crossforge", "scipy", "PyStemmer", "py3langid", "stop-words", "rapidfuzz"),
        **(prompts_depend_on(config) if _base_embeds(config) else {}),
        **_first_stage_depends_on(config),
        **teachers_depend_on(config),
    }


def _settled(config: Config) -> Mapping[str, str]:
    """What `mining.choice: auto` comes to whatever the data are: over words alone, what earlier versions did."""
    return {"choice": SAMPLE} if config.mining.choice == AUTO and config.first_stage.kind == LEXICAL else {}


def _first_stage_depends_on(config: Config) -> Mapping[str, Any]:
    """What it depends on besides its section: the encoder, and the rules by which queries choose weight and length."""
    settings, source = config.first_stage, config.collection
    if not settings.embeds:
        return {**first_stage_depends_on(settings), **RETRIEVERS.version(settings.kind)}
    encoder = find_base_model(settings.encoder or config.base_model)
    return {
        "encoder": model_hash(encoder) if is_bi_encoder(encoder) else None,
        "metric": config.evaluation.metric,
        "embedding_by": _embedded_by(),
        "lexical_weight": LEXICAL_WEIGHT,
        **({"titles_from": LEAST_QUERIES} if source.makes_queries else {}),
        **({"lengths": LENGTHS} if settings.encoder_max_length == AUTO else {}),
        **({"tuning": asdict(RULES), **versions("torch", "sentence-transformers")} if settings.tune_encoder else {}),
    }


def _embedding(config: Config) -> Mapping[str, Any]:
    """How a bi-encoder reads texts as teacher or source; over a first stage of words, what version 0.1 recorded."""
    first_stage, training = config.first_stage, config.training
    if first_stage.kind == LEXICAL and first_stage.encoder_tokens is None:
        return {"max_length": training.most_tokens, "precision": training.precision}
    return {"max_length": first_stage.encoder_tokens, **_embedded_by()}


def _base_embeds(config: Config) -> bool:
    """Whether the base model embeds texts, for the first stage or as the teacher."""
    return base_teaches(config) or (config.first_stage.embeds and not config.other_encoder)


def _embedded_by() -> Mapping[str, str]:
    return versions("onnxruntime", "tokenizers")


def _formerly(config: Config, depends_on: Mapping[str, Any]) -> Mapping[str, Any]:
    """Version 0.1 told the first round of two from a single one."""
    return {**depends_on, "mining": {**depends_on["mining"], "rounds": 2}}


def _source_hash(source: MiningSource) -> Mapping[str, str]:
    if source.run is None:
        return weights_hash(str(source.dense))
    if not source.run.is_file():
        raise InputError(f"mining.sources: {source.run}: no such TREC run file")
    return {source.run.name: sha256(source.run)}


def _run(context: Context) -> None:
    collection = context.run.collected.collection()
    context = with_length_chosen(context, collection)
    config, reporter, written = context.config, context.reporter, MinedFolder(context.folder)
    splits = (config.collection.dev_split, *config.collection.test_splits)
    retriever = first_stage_of_run(context, collection)
    written.save_retriever(as_served(context, collection, retriever))  # mining and proof search exactly
    with reporter.bar("retrieving", len(splits)) as advance:
        for split in splits:
            run = retrieve(collection, retriever, collection.split_queries(split), config.first_stage.depth)
            require_order(run, split)
            written.save_run(split, run, retriever.kind)
            advance()
    mine_training_queries(context, collection, retriever)


def mine_training_queries(context: Context, collection: Collection, retriever: StoredRetriever) -> None:
    """Mine the groups of the training queries into the stage's folder, given a first stage that searches exactly.

    It is the last work of a stage that mines, and the shards of all of it are deleted.
    """
    context = replace(context, config=with_encoder_length(context.config, MinedFolder(context.folder)))
    config = context.config
    queries, depth = training_queries(config, collection), config.first_stage.depth
    run = retrieve(collection, mining_source(context, collection, retriever), queries, depth, ties_by_id=True)
    others = own_negatives(collection, queries, config.mining.hard) | {
        source.name: Source(_retrieved(context, collection, queries, source), source.quota)
        for source in config.mining.sources
    }
    near = _near_ones(config, collection, retriever, queries)
    settings = with_choice(config, collection, context.reporter, near=bool(near))
    base = with_tuned_encoder(config, MinedFolder(context.folder))
    mined = mine_candidates(context, base, collection, retriever, Candidates(run, others | near), settings)
    write_mined(context, collection, retriever, mined)
    remove(MinedFolder(context.folder).shards)


def mining_source(context: Context, collection: Collection, retriever: StoredRetriever) -> Retriever:
    """What finds hard negatives: the first stage, or TF-IDF if it combines several."""
    if not isinstance(retriever, CombinedRetriever):
        return retriever
    return index_for_mining(context, collection.corpus.values())


def _near_ones(
    config: Config, collection: Collection, retriever: StoredRetriever, queries: Mapping[str, str]
) -> dict[str, Source]:
    """What a first stage that combines several finds by other means than words; candidates will be full of it."""
    window, quota = config.mining.window, config.mining.dense
    if not quota or not isinstance(retriever, CombinedRetriever):
        return {}
    return {
        part.name: Source(retrieve(collection, part, queries, window, ties_by_id=True), quota)
        for part in retriever.parts
        if part.kind != LEXICAL
    }


def training_queries(config: Config, collection: Collection) -> dict[str, str]:
    """Query id -> text of the training queries that are mined."""
    query_ids = sorted(collection.qrels(config.collection.train))
    drawn = seeded_draw(query_ids, config.mining.max_queries, config.seed)
    return {query_id: collection.queries[query_id] for query_id in drawn}


def mine_candidates(
    context: Context,
    config: Config,
    collection: Collection,
    retriever: Retriever,
    candidates: Candidates,
    settings: MiningConfig,
) -> Mined:
    """Mine the queries that the first stage was asked, with teacher scores if there is a teacher.

    Args:
        context: of the stage.
        config: of the run, with the base model as the first stage has it; see `with_tuned_encoder`.
        collection: of the run.
        retriever: the first stage.
        candidates: what the first stage and others found.
        settings: how they are mined.
    """
    query_ids = list(candidates.first_stage)
    miner = Miner(collection, config.collection.train, candidates, settings, config.seed)
    engine = sharing(config, context.engine)
    teacher = open_teacher(config, collection, context.reporter, base_query_map(config, retriever), engine)
    if teacher is None:
        return miner.mine(query_ids)
    relabel = settings.above_margin == "relabel"
    return mine_with_teacher(miner, query_ids, teacher, settings.teacher_margin, relabel=relabel)


def write_mined(context: Context, collection: Collection, retriever: StoredRetriever, mined: Mined) -> None:
    """Write groups, report and suspects into the stage's folder.

    Raises:
        InputError: there is no group with a negative, so nothing could be learned.
    """
    _require_negatives(mined)
    written = MinedFolder(context.folder)
    written.save_groups(mined.groups)
    suspects = write_suspects(written.suspects_file, mined.groups, collection, retriever)
    report = mining_report(mined.groups, mined.counts, retriever.description, suspects)
    written.save_report(report)
    context.reporter.note(f"{report.groups:,} groups for {report.queries:,} queries")


def _require_negatives(mined: Mined) -> None:
    if not mined.groups:
        raise InputError("none of the drawn training queries has a relevant document; raise mining.max_queries")
    if all(label > 0 for group in mined.groups for label in group.labels):
        raise InputError(
            f"{len(mined.groups):,} groups were mined, and none holds a document that is not relevant: every document "
            "that was tried is judged relevant to its query, a copy of one that is, or near to it for the teacher; add "
            "other documents, or judge some 0"
        )


def _retrieved(context: Context, collection: Collection, queries: Mapping[str, str], source: MiningSource) -> Run:
    """What another source than the first stage found for the training queries."""
    if source.run is not None:
        return _known_candidates(source.run, collection, queries)
    config = context.config
    embeddings = open_embeddings(
        str(source.dense),
        config.first_stage.encoder_tokens,
        config.runs,
        context.reporter,
        engine=sharing(config, context.engine),
    )
    if embeddings is None:
        raise InputError(f"mining.sources: {source.dense} is no bi-encoder")
    documents = collection.corpus.values()
    retriever = embeddings.retriever(documents, search_by_shards(context, len(documents), f"source {source.name}"))
    return retrieve(collection, retriever, queries, config.mining.window, ties_by_id=True)


def _known_candidates(path: Path, collection: Collection, query_ids: Iterable[str]) -> Run:
    known = for_copies(collection, query_ids, read_run(path))
    if not known:
        raise InputError(f"{path}: none of the training queries stands in this run")
    require_documents(known, collection, path)
    return without_own(collection, known)


def _check(config: Config) -> None:
    settings, name = config.first_stage, config.first_stage.encoder or config.base_model
    if settings.kind in (DENSE, HYBRID) and not is_bi_encoder(find_base_model(name)):
        raise InputError(
            f"first_stage.kind: {settings.kind} embeds with {name}, which is no bi-encoder; name one in "
            "first_stage.encoder, or take kind: lexical"
        )


STAGE = Stage(MINE, _depends_on, _run, computes=True, formerly=_formerly, check=_check)
