"""Stage `collect`: reads and checks the collection, fixes its splits, and writes it in BEIR layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import sha256, write_json
from crossforge_train.collections.beir import read_beir, write_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.judgements import JUDGEMENTS_FILE, read_judgements, with_judgements
from crossforge_train.collections.pydocs import build_pydocs, library_versions
from crossforge_train.collections.pydocs.build import QUESTIONS_FILE
from crossforge_train.collections.splits import carve_dev, drop_leaking_queries
from crossforge_train.config import CollectionConfig, Config
from crossforge_train.stages import Context, Stage, versions

CARVED_DEV = "dev"


def load_collection(config: CollectionConfig, seed: int) -> tuple[Collection, int]:
    """The collection with all splits in place, and how many training queries were dropped as leaking.

    Raises:
        InputError: it cannot be read, is malformed, or lacks a split that the config names.
    """
    collection = build_pydocs() if config.beir is None else read_beir(config.beir)
    dev = dev_split(config)
    for split in (config.train, *config.test, *([dev] if isinstance(config.dev, str) else [])):
        collection.qrels(split)
    if len({config.train, dev, *config.test}) < 2 + len(config.test):
        raise InputError(
            f"collection: train, dev and test must be different splits, not {config.train}, {dev}, {config.test}"
        )
    collection, dropped = drop_leaking_queries(collection, source=config.train, held_out=config.test)
    if not isinstance(config.dev, str):
        collection = carve_dev(collection, config.dev, seed, source=config.train, name=dev)
        return collection, dropped
    collection, leaking = drop_leaking_queries(collection, source=config.train, held_out=[dev])
    return collection, dropped + leaking


def dev_split(config: CollectionConfig) -> str:
    """The name of the split that choices are made on."""
    return config.dev if isinstance(config.dev, str) else CARVED_DEV


def read_collected(folder: Path) -> Collection:
    """What the stage wrote."""
    return read_beir(folder / "collection")


def _judgements_file(config: Config) -> Path:
    return config.folder / JUDGEMENTS_FILE


def _depends_on(config: Config) -> Mapping[str, Any]:
    judged = _judgements_file(config)
    settings = {
        "collection": config.collection.model_dump(mode="json"),
        "crossforge": versions("crossforge"),
        "judgements": sha256(judged) if judged.is_file() else None,
    }
    if config.collection.beir is None:
        made_by = {path.name: sha256(path) for path in sorted(QUESTIONS_FILE.parent.glob("*.*"))}
        return {**settings, "libraries": library_versions(), "made_by": made_by}
    folder = config.collection.beir
    files = [folder / "corpus.jsonl", folder / "queries.jsonl", *sorted((folder / "qrels").glob("*.tsv"))]
    seed = {} if isinstance(config.collection.dev, str) else {"seed": config.seed}
    return {**settings, **seed, "files": {path.name: sha256(path) for path in files if path.is_file()}}


def _run(context: Context) -> None:
    with context.reporter.bar("reading the collection", 1) as advance:
        collection, dropped = load_collection(context.config.collection, context.config.seed)
        # After the splits are made: a judgement must not move a query from one into another.
        collection = with_judgements(collection, read_judgements(_judgements_file(context.config)))
        write_beir(context.folder / "collection", collection)
        advance()
    sizes = {split: len(qrels) for split, qrels in collection.splits.items()}
    counts = {"name": collection.name, "documents": len(collection.corpus), "queries": sizes}
    write_json(context.folder / "counts.json", {**counts, "dropped_leaking_queries": dropped})
    queries = ", ".join(f"{split} {count:,}" for split, count in sizes.items())
    context.reporter.note(f"{collection.name}: {len(collection.corpus):,} documents; queries: {queries}")
    if dropped:
        context.reporter.note(f"{dropped} training queries also stand in a held-out split and were dropped")


STAGE = Stage("collect", _depends_on, _run)
