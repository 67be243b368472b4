"""Stage `mine`: indexes the corpus, retrieves candidates for every split, and mines groups with hard negatives.

Also a script: `python -m crossforge_train.mine CONFIG`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.files import write_json
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import write_run
from crossforge_train.base_model import find_base_model, weights_hash
from crossforge_train.collect import dev_split, read_collected
from crossforge_train.collections.collection import Collection
from crossforge_train.config import Config, FirstStageConfig
from crossforge_train.mining.groups import Group, write_groups
from crossforge_train.mining.negatives import Mined, drawn_queries, mine_groups
from crossforge_train.mining.teacher import teacher_scores
from crossforge_train.stages import Context, Stage, versions

GROUPS_FILE = "groups.jsonl"
INDEX_FOLDER = "tfidf"


def run_file(mine_folder: Path, split: str) -> Path:
    """The first-stage run of a split."""
    return mine_folder / f"run.{split}.trec"


def fit_first_stage(collection: Collection, config: FirstStageConfig) -> TfidfRetriever:
    """Index the collection's corpus as the config says."""
    documents = list(collection.corpus.values())
    analyzer = None if config.analyzer == "auto" else Analyzer(config.analyzer, config.language)
    return TfidfRetriever.fit(documents, analyzer, weighting=config.weighting, title_weight=config.title_weight)


def _depends_on(config: Config) -> Mapping[str, Any]:
    training = {"max_length": config.training.max_length, "precision": config.training.precision}
    return {
        "first_stage": config.first_stage.model_dump(),
        "mining": config.mining.model_dump(),
        "teacher": {"base_model": weights_hash(config.base_model), **training} if config.mining.teacher else None,
        "seed": config.seed,
        "versions": versions("crossforge", "scipy", "PyStemmer", "py3langid", "stop-words"),
    }


def _run(context: Context) -> None:
    config, reporter = context.config, context.reporter
    collection = read_collected(context.stage("collect"))
    with reporter.bar("indexing and retrieving", 2 + len(config.collection.test)) as advance:
        retriever = fit_first_stage(collection, config.first_stage)
        retriever.save(context.folder / INDEX_FOLDER)
        for split in (dev_split(config.collection), *config.collection.test):
            run = retriever.search(collection.split_queries(split), config.first_stage.depth)
            write_run(run_file(context.folder, split), run, "tfidf")
            advance()
        mined = _mine(config, collection, retriever)
        advance()
    groups: Sequence[Group] = mined.groups
    if config.mining.teacher:
        groups = _with_teacher(context, collection, groups)
    write_groups(context.folder / GROUPS_FILE, groups)
    write_json(context.folder / "report.json", {"analyzer": str(retriever.analyzer), "counts": mined.counts})
    reporter.note(f"{len(groups):,} groups; " + ", ".join(f"{name}: {count:,}" for name, count in mined.counts.items()))


def _mine(config: Config, collection: Collection, retriever: TfidfRetriever) -> Mined:
    train = config.collection.train
    query_ids = drawn_queries(sorted(collection.qrels(train)), config.mining.max_queries, config.seed)
    run = retriever.search({key: collection.queries[key] for key in query_ids}, config.first_stage.depth)
    return mine_groups(collection, train, query_ids, run, config.mining, config.seed)


def _with_teacher(context: Context, collection: Collection, groups: Sequence[Group]) -> list[Group]:
    training = context.config.training
    base_model = find_base_model(context.config.base_model)
    return teacher_scores(groups, collection, base_model, training.max_length, training.precision, context.reporter)


STAGE = Stage("mine", _depends_on, _run)


if __name__ == "__main__":
    from crossforge_train.cli import run_script

    run_script("mine")
