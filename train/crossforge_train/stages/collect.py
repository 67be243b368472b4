"""Stage `collect`: read and check the collection, fix its splits, and store it with its documents in Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crossforge.errors import InputError
from crossforge.files import sha256
from crossforge_train.collections.collection import Collection, by_whom_each, judged_by_people, judges
from crossforge_train.collections.counts import Counts
from crossforge_train.collections.judgements import read_judgements, with_judgements
from crossforge_train.collections.leaks import leakage, settle_leaks
from crossforge_train.collections.own_documents import OwnDocuments, in_words, settle_own_documents
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts
from crossforge_train.collections.readers.mix import of_target, source_counts, weighted, with_replay
from crossforge_train.collections.readers.reader import read_source, source_depends_on
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.collections.splits import carve, require_groups
from crossforge_train.collections.typed_queries import read_typed_queries, with_typed_queries
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.collection import AUTO, TARGET, CollectionConfig
from crossforge_train.config.run import Config
from crossforge_train.reporting import Reporter
from crossforge_train.run_folder import COLLECT, RunFolder
from crossforge_train.stage_folders import CollectedFolder
from crossforge_train.stages.embedding import sharing
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.versions import versions

_DONE = {"drop": "dropped", "move": "moved there", "keep": "kept in both"}


@dataclass(frozen=True)
class Collected:
    """A collection with all splits in place.

    Attributes:
        collection: the collection.
        leaking: for train, and for dev if the collection came with one, how many queries were also in a held-out split.
    """

    collection: Collection
    leaking: Mapping[str, int]


def load_collection(config: CollectionConfig, seed: int, workplace: Workplace = NOWHERE) -> Collected:
    """Read the collection and put all its splits in place.

    Args:
        config: the section.
        seed: of draws.
        workplace: what readers may use besides the section.

    Raises:
        InputError: it cannot be read, is malformed, or lacks a split that the config names.
    """
    collection = read_source(config, workplace)
    if config.replay:
        replayed = {part.label: read_source(part, workplace) for part in config.replay}
        collection = with_replay(collection, replayed, config.train)
    dev_share = config.dev_share(collection.splits)
    _require_splits(config, collection, dev_share)
    if config.group_by:
        require_groups(collection, config.group_by)
    train, dev, tests = config.train, config.dev_split, config.test_splits
    if isinstance(config.test, float):
        # With a seed of its own: drawn with dev's, test would take the very queries that dev draws next.
        collection = carve(
            collection, config.test, f"{seed}:test", source=train, name=tests[0], group_by=config.group_by
        )
    leaking: dict[str, int] = {}
    held_out = list(tests)
    for split in [dev, train] if dev_share is None else [train]:
        collection, leaking[split] = settle_leaks(
            collection, source=split, held_out=held_out, policy=config.leaks, group_by=config.group_by
        )
        held_out.append(split)
    if dev_share is not None:
        collection = carve(collection, dev_share, seed, source=train, name=dev, group_by=config.group_by)
    return Collected(_weighted(config, collection, seed), leaking)


def _require_splits(config: CollectionConfig, collection: Collection, dev_share: float | None) -> None:
    dev, tests = config.dev_split, config.test_splits
    if len({config.train, dev, *tests}) < 2 + len(tests):
        raise InputError(
            f"collection: train, dev and test must be different splits, not {config.train}, {dev}, {', '.join(tests)}"
        )
    carved = {
        "dev": None if dev_share is None else dev,
        "test": tests[0] if isinstance(config.test, float) else None,
    }
    for key, split in carved.items():
        if split in collection.splits:
            raise InputError(
                f"collection.{key}: {collection.name} already has a split {split!r}; give its name in place of a share"
            )
    for split in (config.train, dev, *tests):
        if split not in carved.values() and split not in collection.splits:
            raise InputError(
                f"collection {collection.name} has no split {split!r}; it has {', '.join(collection.splits)} "
                "(collection.dev and collection.test may each be a share of train's queries, such as 0.1)"
            )


def require_relevant(config: CollectionConfig, collection: Collection) -> None:
    """Raise `InputError` if a split that the config names holds no relevant document."""
    uses = dict.fromkeys(config.test_splits, "to measure")
    uses |= {config.dev_split: "to choose on", config.train: "to learn from"}
    for split, use in uses.items():
        judged = [label for judgements in collection.qrels(split).values() for label in judgements.values()]
        if not any(label > 0 for label in judged):
            raise InputError(
                f"split {split}: none of its {len(judged):,} judgements is above 0, so no document is relevant and "
                f"there is nothing {use}; label relevant documents 1 or more"
            )


def _weighted(config: CollectionConfig, collection: Collection, seed: int) -> Collection:
    parts = config.mix or config.replay
    if not parts:
        return collection
    weights = {part.label: part.weight for part in parts}
    return weighted(collection, config.train, {TARGET: 1.0, **weights} if config.replay else weights, seed)


# They say where a judge is and how it is asked, and none of them is among what its grades are kept by.
_ASKING = frozenset({"url", "key_variable", "concurrency", "timeout", "retries", "price", "answer_price", "batch"})


def _depends_on(config: Config) -> Mapping[str, Any]:
    settings, judged = config.collection, RunFolder(config.folder).judgements
    shares = isinstance(settings.dev, float) or settings.dev == AUTO or isinstance(settings.test, float)
    draws = shares or bool(settings.mix or settings.replay)
    return {
        "collection": _settings(settings),
        "crossforge": versions("crossforge"),
        "seed": config.seed if draws else None,
        "judgements": sha256(judged) if judged.is_file() else None,
        **source_depends_on(settings),
        "replay": [source_depends_on(part) for part in settings.replay],
        **_embedding(config),
    }


def _embedding(config: Config) -> Mapping[str, Any]:
    """How the sources that embed texts read them; nothing if there are none."""
    settings = config.collection
    documents = [part.documents for part in (settings, *(settings.mix or ()), *settings.replay) if part.documents]
    embeds = any(source.log or source.consistency_model for source in documents)
    return {"encoder_max_length": config.first_stage.encoder_tokens} if embeds else {}


def _settings(config: CollectionConfig) -> Mapping[str, Any]:
    found = config.model_dump(mode="json", exclude_none=True)
    if found["ignore_identical_ids"] == "auto":
        del found["ignore_identical_ids"]  # version 0.1 had no such key, and its stages still count as finished
    for part in (found, *found.get("mix", ()), *found["replay"]):
        if judge := (part.get("documents") or {}).get("judge"):
            part["documents"]["judge"] = {key: value for key, value in judge.items() if key not in _ASKING}
    return found


def workplace_of(config: Config, reporter: Reporter) -> Workplace:
    """Where a run's collection is read, with what people judged in the run.

    Its vectors are used again unless the first stage reads another length.

    Raises:
        InputError: a judgement is malformed.
    """
    run = RunFolder(config.folder)
    return Workplace(
        config.runs,
        config.first_stage.encoder_tokens,
        reporter,
        judgements=read_judgements(run.judgements),
        typed=read_typed_queries(run.typed_queries, reporter.note),
    )


def load_judged(config: Config, workplace: Workplace) -> tuple[Collected, OwnDocuments]:
    """The collection of a run as its stages see it: with its splits, and with what people judged in the run.

    Args:
        config: of the run.
        workplace: has the judgements.

    Raises:
        InputError: see `load_collection`.
    """
    settings = config.collection
    collected = load_collection(settings, config.seed, workplace)
    judged = workplace.judgements
    if settings.replay:
        judged = {query_id: of_target(found, collected.collection.corpus) for query_id, found in judged.items()}
    # Only once the splits are made: a judgement must not move a query into another split.
    collection, judgements = with_typed_queries(collected.collection, judged, workplace.typed, settings.train)
    leaking = dict(collected.leaking)
    added = collection.qrels(settings.train).keys() - collected.collection.qrels(settings.train).keys()
    if added and settings.leaks != "keep":  # what was typed may be held out, in other signs or by its group
        collection, typed = settle_leaks(
            collection,
            source=settings.train,
            held_out=[*settings.test_splits, settings.dev_split],
            policy="drop",
            group_by=settings.group_by,
        )
        leaking[settings.train] = leaking.get(settings.train, 0) + typed
    # Judgements come first: a document that somebody judged relevant is not left out.
    collection, own = settle_own_documents(with_judgements(collection, judgements), settings.ignore_identical_ids)
    return replace(collected, collection=collection, leaking=leaking), own


def _run(context: Context) -> None:
    config, reporter = context.config, context.reporter
    written = CollectedFolder(context.folder)
    workplace = replace(
        workplace_of(config, reporter), may_ask=True, engine=sharing(config, context.engine) or LocalEngine()
    )
    with reporter.bar("reading the collection", 2) as advance:
        collected, own = load_judged(config, workplace)
        require_relevant(config.collection, collected.collection)
        advance()
        written.save(collected.collection)
        advance()
    written.save_counts(_counts(config.collection, collected, own))
    _tell(context, collected)
    if decision := in_words(own):
        reporter.note(decision)


def _counts(config: CollectionConfig, collected: Collected, own: OwnDocuments) -> Counts:
    collection = collected.collection
    made = bool(collection.made)
    return Counts(
        name=collection.name,
        documents=len(collection.corpus),
        queries={split: len(qrels) for split, qrels in collection.splits.items()},
        leaks=config.leaks,
        leaking_queries=dict(collected.leaking),
        leakage_left=leakage(collection),
        pseudo_queries=collection.made,
        judged_by_people=[split for split in collection.splits if judged_by_people(collection, split)] if made else [],
        training_queries_by_source=source_counts(collection.qrels(config.train)) if config.mix or config.replay else {},
        own_documents=own if own.same_id or own.relevant else None,
        judges=_judges(collection),
        counted=collection.counted,
        agreement=collection.agreement,
        own_negatives=sum(len(found) for found in _own_negatives(collection, config.train)),
    )


def _judges(collection: Collection) -> dict[str, dict[str, int]]:
    return {split: judges(collection, split) for split in collection.splits}


def _own_negatives(collection: Collection, split: str) -> list[Sequence[str]]:
    return [found for key, found in collection.own_negatives.items() if key in collection.qrels(split)]


def _tell(context: Context, collected: Collected) -> None:
    collection, config = collected.collection, context.config.collection
    queries = ", ".join(f"{split} {len(qrels):,}" for split, qrels in collection.splits.items())
    context.reporter.note(f"{collection.name}: {len(collection.corpus):,} documents; queries: {queries}")
    context.reporter.note(f"judged by {by_whom_each(_judges(collection))}")
    if own := _own_negatives(collection, config.train):
        context.reporter.note(f"own negatives: {sum(map(len, own)):,} of {len(own):,} training queries")
    for what, count in collection.counted.items():
        context.reporter.note(f"{what}: {count:,}")
    for kind, found in collection.made.items():
        context.reporter.note(f"{kind}: {_became(found)}")
    if config.mix or config.replay:
        shares = source_counts(collection.qrels(config.train))
        context.reporter.note("training queries: " + ", ".join(f"{name} {count:,}" for name, count in shares.items()))
    for split, count in collected.leaking.items():
        if count:
            context.reporter.note(
                f"queries of {split} that are also in a held-out split: {count:,} {_DONE[config.leaks]}"
            )


def _became(found: PseudoQueryCounts) -> str:
    """What became of the pseudo-queries of one kind, in words."""
    dropped = {
        "made twice": found.twice,
        "leaving too little of the document": found.too_little_left,
        "not retrieving their document": found.not_brought_back,
        "with documents of several splits": found.of_several_splits,
    }
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    return f"{found.made:,} made, {found.kept:,} kept" + (f"; dropped: {reasons}" if reasons else "")


STAGE = Stage(COLLECT, _depends_on, _run, computes=True)
