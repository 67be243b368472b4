"""The second round: mined from the first round's mistakes, trained on from its weights, and what is shipped."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from support import toy_config
from wrapped_engine import PretendedCluster

from crossforge import Reranker
from crossforge.files import read_json
from crossforge_train.collections.collection import positives
from crossforge_train.config.loading import load_config
from crossforge_train.mining.groups import read_groups
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import runner, second_round
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages
from crossforge_train.stages.stage import Context
from crossforge_train.training import start

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.slow
def test_two_rounds(tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_FAITHFUL", -1)  # random weights
    path = toy_config(
        tmp_path, toy_collection, tiny_encoder, mining={"rounds": 2, "random_negatives": 1},
        training={"start": "bi_encoder"},
        evaluation={"bm25": False, "latency_queries": 0}, package={"allow_regression": True}, compute={"engine": "ray"},
    )  # fmt: skip
    cluster = PretendedCluster()
    monkeypatch.setattr(runner, "opened_engine", lambda *_, **__: nullcontext(cluster))
    config = load_config(path)
    stages = stages_until(config, "package")
    assert [stage.name for stage in stages] == [
        "collect", "mine", "finetune", "mine-2", "finetune-2", "evaluate", "package"
    ]  # fmt: skip
    run_stages(config, stages, SilentReporter())
    folder = config.folder
    assert cluster.made["ScorePassages"] == -(-len(RunFolder(folder).collected.collection().qrels("train")) // 16)

    # The hard negatives are what the first model ranks highest among the candidates that may be negatives.
    collection = RunFolder(folder).collected.collection()
    first = Reranker(folder / "finetune" / "model")
    groups = read_groups(folder / "mine-2" / "groups")
    group = next(group for group in groups if all(rank > 0 for rank in group.ranks[1:3]))
    assert list(group.sources) == ["positive", "first stage", "first stage", "random"]
    assert group.ranks[1] < group.ranks[2]
    scores = first.score(
        collection.queries[group.query_id], [collection.corpus[doc_id] for doc_id in group.doc_ids[:3]]
    )
    assert scores[1] > scores[2]
    for found in groups:
        assert not set(positives(collection.qrels("train")[found.query_id])) & set(found.doc_ids[1:])

    # Training went on: the second model is another one, and the package is the second model.
    texts = [document.full_text for document in list(collection.corpus.values())[:8]]
    second, shipped = (Reranker(folder / name) for name in ("finetune-2/model", "package"))
    assert not np.allclose(first.score("bread", texts), second.score("bread", texts), atol=1e-3)
    as_trained = shipped.manifest.raw_logits(shipped.score("bread", texts))
    np.testing.assert_allclose(second.score("bread", texts), as_trained, atol=1e-4)
    curves = read_json(folder / "evaluate" / "report.json")["training"]
    assert curves["first_stage_dev"] == read_json(folder / "finetune-2" / "history.json")["first_stage_dev"]

    # Nothing is done twice.
    before = (folder / "mine-2" / "groups").stat().st_mtime_ns
    run_stages(config, stages, SilentReporter())
    assert (folder / "mine-2" / "groups").stat().st_mtime_ns == before


@pytest.mark.parametrize("there", [True, False])
def test_the_reranker_scores_where_models_are_shared_out(
    toy_run: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    cluster = PretendedCluster()
    monkeypatch.setattr(second_round, "sharing", lambda _, engine: engine if there else None)
    context = Context(load_config(toy_run.parents[1] / "config.yaml"), SilentReporter(), toy_run, cluster)
    second_round._hardest_first(context, context.run.collected.collection(), context.run.mined.retriever())
    assert (cluster.made["ScorePassages"] > 0) is there


def test_one_round_has_no_second_stages(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder))
    assert [stage.name for stage in stages_until(config, "finetune")] == ["collect", "mine", "finetune"]
