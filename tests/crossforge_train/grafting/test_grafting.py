"""Cross-encoders that begin as their bi-encoder."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from support import Recorder
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.grafting import graft as graft_module
from crossforge_train.grafting.graft import graft, obstacle
from crossforge_train.stage_folders import FinetunedFolder
from crossforge_train.training import start
from crossforge_train.training.start import starting_model
from crossforge_train.training.task import TrainingTask

LENGTH = 48

Pairs = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    return read_beir(toy_collection)


@pytest.fixture(scope="module")
def pairs(collection: Collection) -> Pairs:
    draw = random.Random(0)
    documents = [found.full_text for found in collection.corpus.values()]
    return [(query, document) for query in collection.queries.values() for document in draw.sample(documents, 3)]


@pytest.fixture(scope="module")
def cross_encoder(tiny_encoder: Path, pairs: Pairs) -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = graft(tiny_encoder, pairs[: len(pairs) // 2], LENGTH).model
    return model


def logits(model: torch.nn.Module, tiny_encoder: Path, pairs: Pairs) -> Tensor:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    batch = tokenizer([q for q, _ in pairs], [d for _, d in pairs], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = model(**batch).logits[:, 0]
    return found


def test_scores_of_new_pairs_follow_the_cosines(
    cross_encoder: torch.nn.Module, tiny_encoder: Path, pairs: Pairs
) -> None:
    new = pairs[len(pairs) // 2 :]
    bi_encoder = SentenceTransformer(str(tiny_encoder), device="cpu")
    queries, documents = (bi_encoder.encode([pair[n] for pair in new], convert_to_tensor=True) for n in (0, 1))
    cosines = torch.cosine_similarity(queries, documents)
    found = torch.corrcoef(torch.stack([cosines, logits(cross_encoder, tiny_encoder, new)]))[0, 1]
    assert found > 0.4  # random weights and 32 dimensions; real ones are in the slow tests


def test_scores_follow_the_cosines_of_moved_queries(tiny_encoder: Path, pairs: Pairs) -> None:
    bi_encoder = SentenceTransformer(str(tiny_encoder), device="cpu")
    queries, documents = (bi_encoder.encode([pair[n] for pair in pairs], convert_to_tensor=True) for n in (0, 1))
    query_map = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0]
    torch.manual_seed(0)
    found = logits(graft(tiny_encoder, pairs, LENGTH, query_map.numpy()).model, tiny_encoder, pairs)
    moved, unmoved = (torch.cosine_similarity(sides, documents) for sides in (queries @ query_map, queries))
    assert torch.corrcoef(torch.stack([moved, found]))[0, 1] > 0.4
    assert torch.corrcoef(torch.stack([unmoved, found]))[0, 1].abs() < 0.3


def test_prompts_of_the_bi_encoder_are_part_of_the_cosines_to_follow(
    tiny_encoder: Path, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = {"query": "boat sail wind: ", "document": "bread: "}
    SentenceTransformer(str(tiny_encoder), device="cpu", prompts=prompts).save(str(tmp_path / "prompted"))
    fitted: list[Tensor] = []
    fit_logits = graft_module.fit_logits

    def watched(model: Any, axis: int, entering: Any, cosines: Tensor, *others: Any) -> float:
        fitted.append(cosines)
        return fit_logits(model, axis, entering, cosines, *others)

    monkeypatch.setattr(graft_module, "fit_logits", watched)
    graft(tmp_path / "prompted", pairs, LENGTH)
    model = SentenceTransformer(str(tmp_path / "prompted"), device="cpu")
    queries, documents = [query for query, _ in pairs], [document for _, document in pairs]
    wanted = torch.cosine_similarity(
        model.encode_query(queries, convert_to_tensor=True), model.encode_document(documents, convert_to_tensor=True)
    )
    assert torch.corrcoef(torch.stack([fitted[0], wanted]))[0, 1] > 0.95


def test_it_is_an_ordinary_classifier(
    cross_encoder: torch.nn.Module, tiny_encoder: Path, pairs: Pairs, tmp_path: Path
) -> None:
    cross_encoder.save_pretrained(tmp_path)  # type: ignore[operator]
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.num_hidden_layers == 3
    assert loaded.config.num_labels == 1
    torch.testing.assert_close(logits(loaded.eval(), tiny_encoder, pairs), logits(cross_encoder, tiny_encoder, pairs))


def test_one_axis_says_which_text_a_token_belongs_to(cross_encoder: torch.nn.Module, tiny_encoder: Path) -> None:
    segments = cross_encoder.bert.embeddings.token_type_embeddings.weight  # type: ignore[union-attr]
    (differing,) = (segments[0] != segments[1]).nonzero().flatten().tolist()
    batch = AutoTokenizer.from_pretrained(tiny_encoder)("bread oven", "pawn gambit bishop", return_tensors="pt")
    with torch.no_grad():
        states = cross_encoder(**batch, output_hidden_states=True).hidden_states[:-1]
    wanted = (2.0 * batch["token_type_ids"][0, 1:] - 1).tolist()
    # The first comes out of a LayerNorm as it may; each layer puts it right for the next one. [CLS] belongs to both.
    for state, tolerance in zip(states, (0.5, 0.2, 0.2), strict=True):
        assert state[0, 1:, differing].tolist() == pytest.approx(wanted, abs=tolerance)


def test_every_weight_can_learn(cross_encoder: torch.nn.Module, tiny_encoder: Path, pairs: Pairs) -> None:
    batch = AutoTokenizer.from_pretrained(tiny_encoder)(*pairs[0], return_tensors="pt")
    cross_encoder.zero_grad()
    cross_encoder(**batch).logits.sum().backward()
    still = {name for name, value in cross_encoder.named_parameters() if value.grad is None or not value.grad.any()}
    assert {name for name in still if "key.bias" not in name} == set()  # a key's bias never changes attention
    cross_encoder.zero_grad()


def bi_encoder_with(folder: Path, tiny_encoder: Path, pooling: str) -> Path:
    transformer = Transformer(str(tiny_encoder), max_seq_length=64)
    SentenceTransformer(modules=[transformer, Pooling(32, pooling)], device="cpu").save(str(folder))
    return folder


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model_type", "roberta", "its architecture is roberta, not bert"),
        ("type_vocab_size", 1, "it has no segment embeddings"),
        ("position_embedding_type", "relative_key", "its positions are relative"),
        ("hidden_act", "relu", "its activation is relu, not gelu"),
    ],
)
def test_other_architectures_are_told_apart(
    tmp_path: Path, tiny_encoder: Path, key: str, value: object, problem: str
) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "other")
    write_json(folder / "config.json", {**read_json(folder / "config.json"), key: value})
    assert obstacle(folder) == problem


def test_other_poolings_are_told_apart(tmp_path: Path, tiny_encoder: Path) -> None:
    assert obstacle(tiny_encoder) == ""
    assert obstacle(bi_encoder_with(tmp_path / "cls", tiny_encoder, "cls")) == "it pools by cls, not mean"


def begin(folder: Path, base_model: Path, kind: str, pairs: Pairs, notes: Recorder) -> Path:
    config = Config.model_validate(
        {"name": "toy", "base_model": str(base_model), "collection": {"beir": "unread"}, "training": {"start": kind}}
    )
    unread: Any = None  # the start needs neither texts nor candidates
    written = FinetunedFolder(folder)
    task = TrainingTask(
        config, notes, unread, base_model, unread, unread, None, unread, written.working_files, written.tensorboard
    )
    return starting_model(task, pairs, LENGTH).folder


def test_a_start_that_does_not_follow_the_cosines_is_not_taken(
    tmp_path: Path, tiny_encoder: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_FAITHFUL", 1.1)
    notes = Recorder()
    assert begin(tmp_path, tiny_encoder, "auto", pairs, notes) == tiny_encoder
    assert "starts with a fresh head" in notes.notes[-1]
    assert "correlation" in notes.notes[-1]
    with pytest.raises(InputError, match=r"training\.start: .* cannot be grafted: .*use auto"):
        begin(tmp_path, tiny_encoder, "bi_encoder", pairs, notes)


def test_a_graft_is_made_once_and_alike(
    tmp_path: Path, tiny_encoder: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_FAITHFUL", 0.2)
    first, again = tmp_path / "first", tmp_path / "again"
    made = begin(first, tiny_encoder, "auto", pairs, Recorder())
    twin = begin(again, tiny_encoder, "bi_encoder", pairs, Recorder())
    assert (made / "model.safetensors").read_bytes() == (twin / "model.safetensors").read_bytes()
    (made / "mark").touch()
    assert (begin(first, tiny_encoder, "auto", pairs, Recorder()) / "mark").is_file()


def test_a_fresh_head_is_to_be_had(tmp_path: Path, tiny_encoder: Path, pairs: Pairs) -> None:
    assert begin(tmp_path, tiny_encoder, "fresh_head", pairs, Recorder()) == tiny_encoder


def test_what_is_no_bi_encoder_starts_as_it_is(tmp_path: Path, tiny_encoder: Path, pairs: Pairs) -> None:
    plain = shutil.copytree(tiny_encoder, tmp_path / "plain")
    (plain / "modules.json").unlink()
    assert begin(tmp_path, plain, "auto", pairs, Recorder()) == plain
    with pytest.raises(InputError, match=r"training\.start is bi_encoder, but .*plain is not one"):
        begin(tmp_path, plain, "bi_encoder", pairs, Recorder())
