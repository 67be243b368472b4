"""Bi-encoders that compute what BERT computes: their grafts are those of the same weights in BERT's form."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoConfig, AutoModel, AutoTokenizer

from crossforge import Reranker
from crossforge.files import read_json, write_json
from crossforge_train.grafting.as_bert import as_bert, why_not_bert
from crossforge_train.grafting.graft import graft, obstacle
from crossforge_train.training.start import save_graft

LENGTH = 48
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SETTINGS: dict[str, dict[str, Any]] = {
    **{kind: {**SIZES, "layer_norm_eps": 1e-3} for kind in ("roberta", "xlm-roberta", "camembert")},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_it_computes_the_same(kind: str) -> None:
    torch.manual_seed(0)
    settings = AutoConfig.for_model(kind, vocab_size=90, max_position_embeddings=40, pad_token_id=1, **SETTINGS[kind])
    encoder = AutoModel.from_config(settings).eval()
    ids = torch.randint(2, 90, (3, 20))
    mask = (torch.arange(20) < torch.tensor([[20], [7], [1]])).long()
    ids[mask == 0] = 1
    model = as_bert(encoder)
    assert model.config.model_type == "bert"
    assert why_not_bert(encoder.config.to_dict()) == ""
    with torch.no_grad():
        wanted, found = (
            each(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()] for each in (encoder, model)
        )
    torch.testing.assert_close(found, wanted)


def in_one_segment(folder: Path, tokens: Path) -> None:
    """Write a tokenizer that joins texts as RoBERTa's do, with the tokens of another."""
    tokenizer = AutoTokenizer.from_pretrained(tokens)
    ends = {"cls": ["[CLS]", tokenizer.cls_token_id], "sep": ["[SEP]", tokenizer.sep_token_id]}
    processor = {"type": "RobertaProcessing", **ends, "trim_offsets": True, "add_prefix_space": True}
    write_json(folder / "tokenizer.json", {**read_json(tokens / "tokenizer.json"), "post_processor": processor})
    settings = {**read_json(tokens / "tokenizer_config.json"), "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", {**settings, "model_input_names": ["input_ids", "attention_mask"]})


def as_roberta(encoder: Path, folder: Path) -> Path:
    """A BERT bi-encoder as the XLM-RoBERTa that computes the same, with the tokenizer of one."""
    bert = AutoModel.from_pretrained(encoder)
    kept = {name: getattr(bert.config, name) for name in (*SIZES, "vocab_size", "pad_token_id", "layer_norm_eps")}
    positions = bert.config.max_position_embeddings + bert.config.pad_token_id + 1
    model = AutoModel.from_config(
        AutoConfig.for_model("xlm-roberta", type_vocab_size=1, max_position_embeddings=positions, **kept)
    )
    weights = bert.state_dict()
    segments, places = (f"embeddings.{name}_embeddings.weight" for name in ("token_type", "position"))
    before = torch.zeros(bert.config.pad_token_id + 1, bert.config.hidden_size)
    moved = {segments: weights[segments][:1], places: torch.cat([before, weights[places]])}
    model.load_state_dict({**weights, **moved})
    model.save_pretrained(folder / "plain")
    in_one_segment(folder / "plain", encoder)
    transformer = Transformer(str(folder / "plain"), max_seq_length=64)
    pooling = Pooling(bert.config.hidden_size, "mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(str(folder / "model"))
    return folder / "model"


def like_multilingual_e5(encoder: Path, folder: Path) -> Path:
    """A BERT bi-encoder with a tokenizer of one segment."""
    shutil.copytree(encoder, folder / "model")
    in_one_segment(folder / "model", encoder)
    return folder / "model"


@pytest.mark.parametrize("make", [as_roberta, like_multilingual_e5])
def test_its_graft_is_that_of_the_same_bert(
    encoder: Path, pairs: Sequence[tuple[str, str]], tmp_path: Path, make: Any
) -> None:
    other, grafts = make(encoder, tmp_path), []
    assert obstacle(other) == ""
    for number, bi_encoder in enumerate((encoder, other)):
        torch.manual_seed(0)
        folder = tmp_path / str(number)
        save_graft(graft(bi_encoder, pairs, LENGTH).model, bi_encoder, folder, LENGTH)
        grafts.append(folder)
    wanted, found = (Reranker(folder).score_pairs(pairs).logits for folder in grafts)
    assert np.corrcoef(found, wanted)[0, 1] > 0.9999  # some weights of the pooler are random
    assert found == pytest.approx(wanted, abs=0.1)
    there = CrossEncoder(str(grafts[1]), device="cpu").predict(list(pairs), activation_fn=torch.nn.Identity())
    assert found == pytest.approx(there, abs=1e-4)
