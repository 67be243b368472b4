"""The encoder tuned within the stage `mine`: when it is kept, and who reads with it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import Recorder, toy_config

from crossforge.documents import Document
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, Collection
from crossforge_train.collections.storage import save_judged
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.encoders import tuning
from crossforge_train.encoders.base import base_embeddings
from crossforge_train.encoders.tuning import RULES
from crossforge_train.evaluation.free_retrievers import as_it_was
from crossforge_train.first_stage import vector_part
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import tuned_encoder
from crossforge_train.stages.recipe import stages_until
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")
NOTE = "first_stage.tune_encoder: "


@pytest.fixture
def mined(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Config, Recorder]]:
    """Mines the toy collection with the few queries that it has."""
    monkeypatch.setattr(tuning, "RULES", replace(RULES, batch=12, rate=1e-3))
    monkeypatch.setattr(tuned_encoder, "_LEAST_TRAINING_QUERIES", 20)
    monkeypatch.setattr(tuned_encoder, "LEAST_QUERIES", 5)
    first_stage = {"kind": "hybrid", "query_map": False}
    path = toy_config(tmp_path, toy_collection, tiny_encoder, first_stage=first_stage, mining={"teacher": "base"})

    def mine(*overrides: str) -> tuple[Config, Recorder]:
        config, notes = load_config(path, overrides), Recorder()
        run_stages(config, stages_until(config, "mine"), notes)
        return config, notes

    return mine


def told(notes: Recorder) -> str:
    return next(note.removeprefix(NOTE) for note in notes.notes if note.startswith(NOTE))


def test_what_dev_gains_from_is_the_first_stages_and_the_teachers(
    mined: Callable[..., tuple[Config, Recorder]],
) -> None:
    config, notes = mined()
    run = RunFolder(config.folder)
    assert told(notes).startswith("trained on the training queries; nDCG@10 of its vectors on dev 0.")
    assert run.mined.choice.tuned
    part = vector_part(run.mined.retriever())
    assert part is not None
    assert part.description.startswith(f"{config.base_model}, tuned, ")
    group = next(run.mined.groups())
    asked = {group.query_id: run.collected.collection().queries[group.query_id]}
    cosines = part.scores(asked, {group.query_id: list(group.doc_ids)})[group.query_id]
    assert np.allclose(cosines, group.teacher, atol=2e-3)
    collection = run.collected.collection()
    base = base_embeddings(config, notes)
    assert base is not None
    plain = vector_part(as_it_was(run.mined.retriever(), collection, base))  # what the proof calls free
    assert plain is not None
    assert plain.description == base.description
    again, _ = mined("mining.negatives=2")
    assert RunFolder(again.folder).mined.choice.tuned  # from the shared folder, without another training


def test_shards_are_searched_for_the_same_choice(mined: Callable[..., tuple[Config, Recorder]]) -> None:
    by_one = told(mined()[1])
    config, notes = mined("compute.shards=3", "name=shared")
    assert told(notes) == by_one
    assert RunFolder(config.folder).mined.choice.tuned
    assert not RunFolder(config.folder).mined.shards.exists()


def test_what_dev_does_not_gain_from_is_left_out(
    mined: Callable[..., tuple[Config, Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_encoder, "resamples_won", lambda *_: 0.5)
    config, notes = mined()
    run = RunFolder(config.folder)
    assert told(notes).startswith("the encoder stays as it is; nDCG@10 of its vectors on dev 0.")
    assert not run.mined.choice.tuned
    assert not run.mined.tuned_encoder.exists()


def test_a_machine_may_have_judged_what_people_asked(mined: Callable[..., tuple[Config, Recorder]]) -> None:
    with_fields(mined, "judged", {split: {JUDGED_BY: "the language model x"} for split in ("train", "dev")})
    config, notes = mined("name=judged")
    assert told(notes).startswith("trained on the training queries; ")
    assert told(notes).endswith(" after, where the language model x judged, not people")
    assert RunFolder(config.folder).mined.choice.tuned


@pytest.mark.parametrize(
    ("split", "why_not"),
    [
        ("train", "0 training and 17 dev queries that people asked are too few (20, 5)"),
        ("dev", "most queries of dev were not asked by people"),
    ],
)
def test_pseudo_queries_neither_teach_nor_decide(
    mined: Callable[..., tuple[Config, Recorder]], split: str, why_not: str
) -> None:
    with_fields(mined, split, {split: {PSEUDO_QUERY: "title"}})
    _, notes = mined(f"name={split}")
    assert told(notes) == f"the encoder stays as it is; {why_not}"


def test_a_query_is_not_moved_away_from_its_own_document() -> None:
    corpus = {key: Document(key, f"text {key}") for key in ("a", "b", "c")}
    qrels = {"a": {"b": 1}, "q": {"a": 1}, "c": {"a": 1}}
    collection = Collection("any", corpus, {key: key for key in qrels}, {"train": qrels}, own_documents={"c": "c"})
    examples = tuned_encoder._examples(collection, "train")
    assert [examples.no_negatives(position) for position in range(3)] == [{"b"}, {"a"}, {"a", "c"}]


def test_a_query_is_not_moved_away_from_what_is_relevant_to_another_of_its_text() -> None:
    corpus = {key: Document(key, f"text {key}") for key in ("a", "b", "c")}
    queries = {"one": "renew passport", "two": "Renew passport?", "other": "new passport"}
    qrels = {"one": {"a": 1}, "two": {"b": 1}, "other": {"c": 1}}
    examples = tuned_encoder._examples(Collection("any", corpus, queries, {"train": qrels}), "train")
    assert [examples.no_negatives(position) for position in range(3)] == [{"a", "b"}, {"a", "b"}, {"c"}]
    assert examples.positives == [["a"], ["b"], ["c"]]


def with_fields(
    mined: Callable[..., tuple[Config, Recorder]], name: str, fields: Mapping[str, Mapping[str, str]]
) -> None:
    """Let a run's collection say the same of all queries of a split."""
    config, _ = mined("first_stage.tune_encoder=false", f"name={name}")
    folder = RunFolder(config.folder).collected
    collection = folder.collection()
    said = {query_id: dict(found) for split, found in fields.items() for query_id in collection.qrels(split)}
    save_judged(folder.path / "collection", replace(collection, query_fields=said))


def test_too_few_queries_another_encoder_and_a_large_corpus_are_told(
    mined: Callable[..., tuple[Config, Recorder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_encoder, "MOST_SECONDS", 0)
    assert "embedding the documents again would take more than 0 minutes" in told(mined()[1])
    monkeypatch.setattr(tuned_encoder, "_LEAST_TRAINING_QUERIES", 1000)
    assert "11 dev queries that people asked are too few (1000, 5)" in told(mined("seed=1")[1])
    _, notes = mined("first_stage.tune_encoder=false")
    assert not any(note.startswith(NOTE) for note in notes.notes)
