"""Students before their training: what they are taught, which layers stay, and how they are trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import PICKED, Recorder
from transformers import BertConfig, BertForSequenceClassification

from crossforge import Document, Reranker
from crossforge.pipeline import RetrieveAndRerank
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.collections.beir import read_beir
from crossforge_train.config.training import PickedTraining, TrainingConfig
from crossforge_train.mining.groups import Group
from crossforge_train.models.export import save_checkpoint
from crossforge_train.training.students import Lesson, agreement, depth_of, student_training


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A cross-encoder of four layers, the third of which does nothing, and the second next to nothing."""
    plain = tiny_encoder.with_name(tiny_encoder.name + "-plain")
    torch.manual_seed(3)
    found = BertForSequenceClassification(BertConfig.from_pretrained(plain, num_labels=1, num_hidden_layers=4)).eval()
    with torch.no_grad():
        for number, share in ((1, 0.05), (2, 0.0)):
            layer = found.bert.encoder.layer[number]
            for block in (layer.attention.output, layer.output):
                block.dense.weight *= share
                block.dense.bias *= share
    folder = tmp_path_factory.mktemp("whole") / "model"
    save_checkpoint(found, tiny_encoder, folder, 40)
    return folder


@pytest.fixture(scope="module")
def lesson(model: Path, toy_collection: Path) -> Lesson:
    collection = read_beir(toy_collection)
    longer = {"long": Document("long", f"{'the old boat in the harbour ' * 12} bread oven")}
    collection = replace(collection, corpus={**collection.corpus, **longer}, queries={
        **collection.queries, "too long": "bread " * 60})  # fmt: skip
    retriever = fit_retriever(collection.corpus.values())
    return Lesson(collection, RetrieveAndRerank(collection.corpus, retriever, Reranker(model), passages=1))


@pytest.fixture(scope="module")
def groups(lesson: Lesson) -> list[Group]:
    doc_ids = [*list(lesson.collection.corpus)[::9], "long"]
    queries = [*list(lesson.collection.queries)[:30], "too long"]
    return [Group(query_id, doc_ids, [1, *[0] * (len(doc_ids) - 1)], [0] * len(doc_ids)) for query_id in queries]


@pytest.fixture(scope="module")
def taught(lesson: Lesson, groups: list[Group]) -> list[Group]:
    return list(lesson.taught(lambda: iter(groups), Recorder()))


def test_the_teacher_scores_what_training_reads(lesson: Lesson, model: Path, taught: list[Group]) -> None:
    assert "too long" not in {group.query_id for group in taught}
    assert len(taught) == 30
    reranker = Reranker(model, backend="torch")
    for group in taught[:5]:
        query = lesson.collection.queries[group.query_id]
        documents = [lesson.collection.corpus[doc_id] for doc_id in group.doc_ids]
        texts = [passages[0] for passages in lesson.pipeline.passages(query, documents)]
        assert len(texts[-1]) < len(documents[-1].full_text)
        expected = reranker.score_pairs([(query, text) for text in texts]).logits
        np.testing.assert_allclose(group.teacher, expected, atol=1e-3)


@pytest.mark.parametrize(("layers", "kept"), [(3, (0, 1, 3)), (2, (0, 3))])
def test_those_layers_stay_without_which_the_scores_would_change_most(
    lesson: Lesson, model: Path, taught: list[Group], layers: int, kept: tuple[int, ...], tmp_path: Path
) -> None:
    shallower, found = lesson.shallower(model, layers, lambda: iter(taught), seed=0)
    assert (tuple(found.layers), found.of) == (kept, 4)
    assert 0.5 < found.correlation <= 1
    save_checkpoint(shallower, model, tmp_path / "student", 40)
    assert depth_of(tmp_path / "student") == layers
    pairs = [pair for group in taught for pair in lesson.pairs(group)]
    logits = Reranker(tmp_path / "student", backend="torch").score_pairs(pairs).logits
    assert agreement(logits, taught) == pytest.approx(found.correlation, abs=1e-4)


def test_agreement_is_within_a_query() -> None:
    groups = [Group(name, ["a", "b", "c"], [1, 0, 0], [0, 0, 0], teacher=[1.0, 2.0, 3.0]) for name in "xy"]
    same = np.array([1, 2, 3, 101, 102, 103], dtype=np.float32)
    assert agreement(same, groups) == pytest.approx(1)
    assert agreement(-same, groups) == pytest.approx(-1)
    assert agreement(np.array([1, 1, 1, 9, 9, 9], dtype=np.float32), groups) == 0


def test_a_student_learns_from_the_teacher_alone_and_reads_what_it_reads() -> None:
    section = TrainingConfig(
        start="bi_encoder", in_batch_negatives=4, merge=0.5, frozen_layers=3, distillation="mse", groups_per_batch=4
    )
    whole = PickedTraining(
        **{**section.model_dump(), **PICKED, "distillation_weight": 0.5, "long_documents": "first_window"}
    )
    found = student_training(section, whole)
    assert (found.label_weight, found.distillation_weight, found.distillation_temperature) == (0, 1, 1)
    assert (found.start, found.merge, found.frozen_layers, found.in_batch_negatives) == ("auto", (), 0, 0)
    assert (found.max_length, found.long_documents) == (48, "first_window")
    assert (found.distillation, found.groups_per_batch, found.epochs) == ("mse", 4, "auto")
    assert TrainingConfig.model_validate(json.loads(found.model_dump_json())) == found
