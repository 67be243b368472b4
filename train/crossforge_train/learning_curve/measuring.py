"""Stage `dev-values`: measures a training's reranker on dev, alone and as it would ship, beside what needs no training.

The test splits are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossforge_train.config.run import Config
from crossforge_train.encoders.base import prompts_depend_on
from crossforge_train.evaluation.dev_choices import OnDev, tuned_with_values
from crossforge_train.evaluation.dev_values import DevValues
from crossforge_train.evaluation.systems import FIRST_STAGE, RERANKER, SHIPPED
from crossforge_train.first_stage import approximated
from crossforge_train.models.base_model import find_base_model, model_hash
from crossforge_train.run_folder import DEV_VALUES
from crossforge_train.stage_folders import DevValuesFolder
from crossforge_train.stages.benches import with_more_queries
from crossforge_train.stages.rivals import free_of_run, measured_rivals, open_base_model
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.stages.subject import opened_subject
from crossforge_train.versions import versions


def _depends_on(config: Config) -> Mapping[str, Any]:
    measured = {"metric", "depth", "passages", "backend", "bm25", "max_dev_queries", "calibration"}
    return {
        "evaluation": config.evaluation.model_dump(mode="json", include=measured),
        "seed": config.seed,
        "base_model": model_hash(find_base_model(config.base_model)),
        "versions": versions("crossforge", "ir_measures", "onnxruntime"),
        **prompts_depend_on(config),
    }


def _run(context: Context) -> None:
    run, config = context.run, context.config
    collection, retriever = run.collected.collection(), run.mined.retriever()
    finetuned = run.last_finetuned(config.mining.rounds)
    with opened_subject(context, collection, retriever, finetuned.model, at_one_depth=True) as subject:
        dev = subject.dev
        chooser = with_more_queries(context, dev)
        free = free_of_run(context, collection, approximated(retriever, None), chooser, [dev])
        others = measured_rivals(dev, open_base_model(config))
        found = tuned_with_values(dev, subject.alone, free, others, chooser)
    DevValuesFolder(context.folder).save(_kept(found, dev.config.metric, dev.depth))


def _kept(found: OnDev, metric: str, depth: int) -> DevValues:
    tuned = found.tuned
    systems = [FIRST_STAGE, *([tuned.best_free] if tuned.best_free else []), RERANKER, SHIPPED]
    values = {system: found.values[system] for system in systems}
    return DevValues(metric, depth, tuned.fusion_weight, tuned.best_free, values)


MEASURE = Stage(DEV_VALUES, _depends_on, _run)
