"""Cross-encoders that begin as their bi-encoder."""

from __future__ import annotations

import copy
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
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.config.run import Config
from crossforge_train.grafting import graft as graft_module
from crossforge_train.grafting.graft import ADDED_LAYERS, graft, obstacle
from crossforge_train.grafting.layout import layout_of
from crossforge_train.grafting.segments import MARK
from crossforge_train.grafting.tokens import joined
from crossforge_train.stage_folders import FinetunedFolder
from crossforge_train.training import start
from crossforge_train.training.start import starting_model
from crossforge_train.training.task import TrainingTask

LENGTH = 48

Pairs = Sequence[tuple[str, str]]


@pytest.fixture(scope="module")
def cross_encoder(encoder: Path, pairs: Pairs) -> torch.nn.Module:
    torch.manual_seed(0)
    model: torch.nn.Module = graft(encoder, pairs[: len(pairs) // 2], LENGTH).model
    return model


def encoded(encoder: Path, pairs: Pairs) -> Any:
    tokenizer = joined(AutoTokenizer.from_pretrained(encoder))
    return tokenizer([q for q, _ in pairs], [d for _, d in pairs], padding=True, truncation=True, return_tensors="pt")


def logits(model: torch.nn.Module, encoder: Path, pairs: Pairs) -> Tensor:
    batch = encoded(encoder, pairs)
    with torch.no_grad():
        found: Tensor = model(**batch).logits[:, 0]
    return found


def cosines(encoder: Path, pairs: Pairs) -> tuple[Tensor, Tensor]:
    bi_encoder = SentenceTransformer(str(encoder), device="cpu")
    queries, documents = (bi_encoder.encode([pair[n] for pair in pairs], convert_to_tensor=True) for n in (0, 1))
    return queries, documents


def correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1])


def test_scores_of_new_pairs_follow_the_cosines(encoder: Path, pairs: Pairs) -> None:
    half = len(pairs) // 2
    torch.manual_seed(0)
    model = graft(encoder, pairs[:half], LENGTH).model
    wanted = torch.cosine_similarity(*cosines(encoder, pairs[half:]))
    assert correlation(wanted, logits(model, encoder, pairs[half:])) > 0.95


def test_scores_follow_the_cosines_of_first_tokens(encoder: Path, pairs: Pairs, tmp_path: Path) -> None:
    transformer = Transformer(str(encoder), max_seq_length=64)
    pooling = Pooling(transformer.get_embedding_dimension(), "cls")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(tmp_path / "cls"))
    half = len(pairs) // 2
    torch.manual_seed(0)
    found = logits(graft(tmp_path / "cls", pairs[:half], LENGTH).model, encoder, pairs[half:])
    of_firsts, averages = (
        torch.cosine_similarity(*cosines(folder, pairs[half:])) for folder in (tmp_path / "cls", encoder)
    )
    assert correlation(of_firsts, found) > 0.95
    assert correlation(of_firsts, averages) < 0.9  # else it could be either


def test_scores_follow_the_cosines_of_moved_queries(encoder: Path, pairs: Pairs) -> None:
    queries, documents = cosines(encoder, pairs)
    query_map = torch.linalg.qr(torch.randn(384, 384, generator=torch.Generator().manual_seed(0)))[0]
    torch.manual_seed(0)
    found = logits(graft(encoder, pairs, LENGTH, query_map.numpy()).model, encoder, pairs)
    moved, unmoved = (torch.cosine_similarity(sides, documents) for sides in (queries @ query_map, queries))
    assert correlation(moved, found) > 0.7  # at right angles to most documents, they differ little
    assert abs(correlation(unmoved, found)) < 0.3


def test_prompts_of_the_bi_encoder_are_part_of_the_cosines_to_follow(
    encoder: Path, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = {"query": "boat sail wind: ", "document": "bread: "}
    SentenceTransformer(str(encoder), device="cpu", prompts=prompts).save(str(tmp_path / "prompted"))
    fitted: list[Tensor] = []
    fit_logits = graft_module.fit_logits

    def watched(model: Any, layout: Any, pooled: Tensor, cosines: Tensor, *others: Any) -> float:
        fitted.append(cosines)
        return fit_logits(model, layout, pooled, cosines, *others)

    monkeypatch.setattr(graft_module, "fit_logits", watched)
    graft(tmp_path / "prompted", pairs, LENGTH)
    model = SentenceTransformer(str(tmp_path / "prompted"), device="cpu")
    queries, documents = [query for query, _ in pairs], [document for _, document in pairs]
    wanted = torch.cosine_similarity(
        model.encode_query(queries, convert_to_tensor=True), model.encode_document(documents, convert_to_tensor=True)
    )
    assert torch.corrcoef(torch.stack([fitted[0], wanted]))[0, 1] > 0.95


def test_it_is_an_ordinary_classifier(
    cross_encoder: torch.nn.Module, encoder: Path, pairs: Pairs, tmp_path: Path
) -> None:
    cross_encoder.save_pretrained(tmp_path)  # type: ignore[operator]
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.num_hidden_layers == 4
    assert loaded.config.num_labels == 1
    wanted = logits(cross_encoder, encoder, pairs)
    torch.testing.assert_close(logits(loaded.eval(), encoder, pairs), wanted, rtol=1e-3, atol=1e-3)


def test_marks_say_which_text_a_token_belongs_to(cross_encoder: torch.nn.Module, encoder: Path) -> None:
    layout = layout_of(AutoConfig.from_pretrained(encoder))
    batch = encoded(encoder, [("bread oven", "pawn gambit bishop")])
    with torch.no_grad():
        states = cross_encoder(**batch, output_hidden_states=True).hidden_states[:-ADDED_LAYERS]
    of_document = batch["token_type_ids"][0].bool()
    for state in states:
        for axis, marked in ((layout.query, ~of_document), (layout.document, of_document)):
            assert state[0, marked, axis].min() > MARK / 4
            assert state[0, ~marked, axis].abs().max() < MARK / 10


def with_outstanding(encoder: Path, folder: Path, token: str, layer: int, factor: float) -> Path:
    """A copy of an encoder where a token stands out before the last LayerNorm of a layer."""
    model = SentenceTransformer(str(encoder), device="cpu")
    tokenizer, bert = model.tokenizer, model[0].auto_model
    block = bert.encoder.layer[layer]
    seen: list[Tensor] = []
    hook = block.intermediate.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    batch = tokenizer(f"bread {token}", return_tensors="pt")
    with torch.no_grad():
        bert(**batch)
        hook.remove()
        state = seen[0][0, batch["input_ids"][0].tolist().index(tokenizer.convert_tokens_to_ids(token))]
        block.intermediate.dense.weight[0] = 4 * state / state.dot(state)
        block.intermediate.dense.bias[0] = -2
        written = torch.randn(len(state), generator=torch.Generator().manual_seed(1))
        block.output.dense.weight[:, 0] = factor * (written - written.mean())
    model.save(str(folder))
    return folder


@pytest.mark.parametrize(("token", "layer", "factor"), [("[CLS]", 0, 8.0), ("oven", 1, 3.0)])
def test_marks_outlast_tokens_that_stand_out(
    encoder: Path, pairs: Pairs, tmp_path: Path, token: str, layer: int, factor: float
) -> None:
    other = with_outstanding(encoder, tmp_path / "other", token, layer, factor)
    layout = layout_of(AutoConfig.from_pretrained(other))
    batch = encoded(other, [("bread oven", "pawn oven bishop")])
    with torch.no_grad():
        states = graft(other, pairs, LENGTH).model(**batch, output_hidden_states=True).hidden_states
    of_document = batch["token_type_ids"][0]
    first = [0, int(of_document.argmax())]
    after_first_layer, averages = states[1][0], states[-2][0]
    assert after_first_layer[first, [layout.query, layout.document]].min() > MARK / 2
    inner = [place for place in range(len(of_document)) if place not in first]
    assert averages[inner, layout.inner].min() > 0.9 * averages[inner, layout.inner].median()


def test_a_text_is_read_as_if_it_were_alone(cross_encoder: torch.nn.Module, encoder: Path) -> None:
    """Up to the document's positions, which come after the query's: the query's states are the bi-encoder's."""
    bi_encoder = AutoModel.from_pretrained(encoder)
    query = AutoTokenizer.from_pretrained(encoder)("bread oven", return_tensors="pt")
    batch = encoded(encoder, [("bread oven", "pawn gambit bishop")])
    with torch.no_grad():
        alone = bi_encoder(**query).last_hidden_state[0]
        beside = cross_encoder(**batch, output_hidden_states=True).hidden_states[2][0, : len(alone), : len(alone.T)]
    assert (beside - alone).norm() < 0.05 * alone.norm()


def test_a_document_begins_with_a_token_of_its_own(cross_encoder: torch.nn.Module, encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    batch = encoded(encoder, [("bread oven", "pawn gambit bishop"), ("oven", "pawn")])
    first = (batch["input_ids"] == tokenizer.mask_token_id).nonzero()[:, 1].tolist()
    assert first == batch["token_type_ids"].argmax(1).tolist()
    embeddings = cross_encoder.bert.embeddings  # type: ignore[union-attr]
    hidden = tokenizer("bread", return_tensors="pt")
    with torch.no_grad():
        at_0 = AutoModel.from_pretrained(encoder).embeddings(hidden["input_ids"])[0, 0]
        found = embeddings(batch["input_ids"], batch["token_type_ids"])
    for row, place in enumerate(first):
        torch.testing.assert_close(found[row, place, : len(at_0)], at_0, atol=0.2, rtol=0)


def test_every_weight_can_learn(cross_encoder: torch.nn.Module, encoder: Path, pairs: Pairs) -> None:
    model, batch = copy.deepcopy(cross_encoder), encoded(encoder, pairs[:4])
    # What reads into a block that writes nothing yet learns from the second step on.
    for _ in range(2):
        model.zero_grad()
        (model(**batch).logits * torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])).sum().backward()
        with torch.no_grad():
            for value in model.parameters():
                value += 1e-5 * torch.sign(value.grad)
    still = {name for name, value in model.named_parameters() if not value.grad.any()}
    # A key's bias never changes attention, and here the gradients of the last bias add up to 0.
    assert {name for name in still if "key.bias" not in name} == {"classifier.bias"}


def bi_encoder_with(folder: Path, tiny_encoder: Path, pooling: str) -> Path:
    transformer = Transformer(str(tiny_encoder), max_seq_length=64)
    SentenceTransformer(modules=[transformer, Pooling(32, pooling)], device="cpu").save(str(folder))
    return folder


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model_type", "mpnet", "its architecture is mpnet, not bert, roberta or distilbert"),
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
    assert obstacle(bi_encoder_with(tmp_path / "cls", tiny_encoder, "cls")) == ""
    assert obstacle(bi_encoder_with(tmp_path / "max", tiny_encoder, "max")) == "it pools by max, not mean or cls"


def test_a_tokenizer_without_a_mask_token_is_told_apart(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "other")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            settings = read_json(folder / name)
            settings.pop("mask_token", None)
            write_json(
                folder / name,
                {**settings, **({"tokenizer_class": "PreTrainedTokenizerFast"} if "config" in name else {})},
            )
    assert obstacle(folder) == "its tokenizer has no mask token"


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
