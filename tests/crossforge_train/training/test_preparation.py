"""Which dev queries decide, in a new training and in one that goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import toy_config

from crossforge.documents import Document
from crossforge.files import read_json
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.loading import load_config
from crossforge_train.config.training import PickedTraining
from crossforge_train.evaluation.metrics import judged_queries
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import collect, mine
from crossforge_train.stages.finetune import training_task
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Context
from crossforge_train.training import preparation
from crossforge_train.training.picks import Picker
from crossforge_train.training.preparation import Work, _dev_queries, prepare

# In the order in which they are picked.
AUTO = (
    "lora", "max_length", "precision", "long_documents", "merge", "distillation_weight", "evaluations", "dev_queries",
    "epochs", "learning_rate", "head_learning_rate",
)  # fmt: skip
QRELS = {f"q{number:03}": {"a": int(number % 3 == 0)} for number in range(120)}  # 40 of them have a relevant document


@pytest.fixture
def task(tmp_path: Path) -> Any:
    collection = Collection("any", {"a": Document("a", "text")}, dict.fromkeys(QRELS, "text"), {"dev": QRELS})
    config = SimpleNamespace(seed=7, collection=SimpleNamespace(dev_split="dev"))
    return SimpleNamespace(
        collection=collection, config=config, files=SimpleNamespace(dev_queries=tmp_path / "dev_queries.json")
    )


def test_queries_without_a_relevant_document_decide_nothing(task: Any) -> None:
    drawn = _dev_queries(task, 30, begun=False)
    assert len(drawn) == 30
    assert judged_queries({query_id: QRELS[query_id] for query_id in drawn}).keys() == set(drawn)


def test_a_training_that_goes_on_keeps_its_queries(task: Any) -> None:
    drawn = _dev_queries(task, 30, begun=False)
    task.config.seed = 8
    assert _dev_queries(task, 30, begun=True) == drawn == read_json(task.files.dev_queries)


def test_one_that_an_earlier_version_began_is_measured_as_before(task: Any) -> None:
    assert _dev_queries(task, 30, begun=True) == seeded_draw(sorted(QRELS), 30, 7)


def test_killed_after_each_pick_it_goes_on_with_what_it_picked_and_asks_for_nothing_twice(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    mortal = True

    class Killed(Picker):
        """Is killed once a value is in the file; a rule is asked once, as it could say something else the next time."""

        def pick(self, key: str, rule: Callable[[], tuple[Any, str]]) -> Any:
            def asked() -> tuple[Any, str]:
                assert not (mortal and key in told)
                found, why = rule()
                return told.setdefault(key, found), why

            known = len(told)
            value = super().pick(key, asked)
            if len(told) > known:
                raise KeyboardInterrupt
            return value

    settings = {"start": "fresh_head", **dict.fromkeys(AUTO, "auto")}
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, training=settings))
    run_stages(config, (collect.STAGE, mine.STAGE), SilentReporter())

    def prepared(folder: str) -> Work:
        context = Context(config, SilentReporter(), tmp_path / folder)
        context.folder.mkdir(exist_ok=True)
        return prepare(training_task(context, tiny_encoder, context.run.mined))

    monkeypatch.setattr(preparation, "Picker", Killed)
    for number in range(len(AUTO)):
        with pytest.raises(KeyboardInterrupt):
            prepared("killed")
        assert list(told) == list(AUTO[: number + 1])
    resumed = prepared("killed")
    assert resumed.training == PickedTraining(**{**resumed.task.config.training.model_dump(), **told})

    mortal = False
    whole = prepared("whole")
    assert whole.training == resumed.training
    assert read_json(whole.task.files.dev_queries) == read_json(resumed.task.files.dev_queries)
    weights = resumed.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.model.state_dict().items())
