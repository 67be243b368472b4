"""A bi-encoder trained on judged queries: what it learns, and what is left as it was."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from support import make_documents, make_queries

from crossforge.prompts import Prompts
from crossforge_train.encoders import tuning
from crossforge_train.encoders.tuning import RULES, PairsRead, TuningSet, tune_encoder
from crossforge_train.models.base_model import is_saved_in_fp32
from crossforge_train.models.base_texts import own_prompts

TEXTS = {row["_id"]: row["text"] for row in make_documents()}
QUERIES = make_queries(make_documents(), 60, seed=5)
EXAMPLES = TuningSet([text for text, _ in QUERIES], [[doc_id] for _, doc_id in QUERIES], TEXTS.__getitem__)


@pytest.fixture(autouse=True)
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "RULES", replace(RULES, batch=20, rate=2e-3, pairs=240, tokens=32))


def cosines(folder: Path) -> np.ndarray:
    """Cosine of each query with its own document, less the mean over the others'."""
    model = SentenceTransformer(str(folder), device="cpu")
    doc_ids = list(TEXTS)
    queries = model.encode(list(EXAMPLES.queries), normalize_embeddings=True)
    found = queries @ model.encode([TEXTS[doc_id] for doc_id in doc_ids], normalize_embeddings=True).T
    own = found[np.arange(len(found)), [doc_ids.index(doc_id) for _, doc_id in QUERIES]]
    return own - found.mean(axis=1)


def test_relevant_documents_come_nearer_than_others(tiny_encoder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, str, int]] = []
    pairs = tune_encoder(tiny_encoder, tmp_path / "tuned", EXAMPLES, "tiny", 0, advance=lambda *step: seen.append(step))
    assert pairs == PairsRead(4 * len(QUERIES), 4 * len(QUERIES))
    assert str(pairs) == "240 pairs"
    assert sum(done for done, _, _ in seen) == seen[0][2] == pairs.planned
    assert float(seen[-1][1].removeprefix("loss ")) < float(seen[0][1].removeprefix("loss "))
    assert cosines(tmp_path / "tuned").mean() > cosines(tiny_encoder).mean() + 0.1
    before, after = (SentenceTransformer(str(folder)) for folder in (tiny_encoder, tmp_path / "tuned"))
    assert after.max_seq_length == before.max_seq_length  # fewer tokens are read in training alone


def test_the_same_seed_gives_the_same_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tune_encoder(tiny_encoder, tmp_path / name, EXAMPLES, "tiny", 3)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_half_of_the_starting_weights_is_mixed_in_again(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(tuning, "RULES", replace(tuning.RULES, start_share=share))
        tune_encoder(tiny_encoder, tmp_path / str(share), EXAMPLES, "tiny", 0)
        found[share] = load_file(tmp_path / str(share) / "model.safetensors")
    start = load_file(tiny_encoder / "model.safetensors")
    for name, value in found[0.5].items():
        assert np.allclose(value, (found[0.0][name] + start[name]) / 2, atol=1e-6)
        assert np.array_equal(found[1.0][name], start[name])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_encoder_that_is_saved_in_half_precision_is_tuned_in_fp32(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(tuning, "RULES", replace(tuning.RULES, pairs=60))
    SentenceTransformer(str(tiny_encoder), device="cpu").to(dtype).save(str(tmp_path / "half"))
    SentenceTransformer(str(tmp_path / "half"), device="cpu").float().save(str(tmp_path / "whole"))
    for name in ("half", "whole"):
        tune_encoder(tmp_path / name, tmp_path / f"tuned-{name}", EXAMPLES, "tiny", 0)
    half, whole = (load_file(tmp_path / f"tuned-{name}" / "model.safetensors") for name in ("half", "whole"))
    assert all(np.array_equal(half[name], value) for name, value in whole.items())
    assert [is_saved_in_fp32(tmp_path / name) for name in ("half", "whole", "tuned-half")] == [False, True, True]
    assert is_saved_in_fp32(tiny_encoder)


def test_another_relevant_document_of_the_batch_is_no_negative(tiny_encoder: Path, tmp_path: Path) -> None:
    doc_ids = list(TEXTS)[:20]
    everything = TuningSet([f"query {number}" for number in range(20)], [doc_ids] * 20, TEXTS.__getitem__)
    tune_encoder(tiny_encoder, tmp_path / "tuned", everything, "tiny", 0)
    assert cosines(tmp_path / "tuned") == pytest.approx(cosines(tiny_encoder), abs=1e-2)  # weight decay alone


def test_the_document_that_a_query_is_itself_is_no_negative() -> None:
    # Each query answers the other, so that its own document is its only negative in a batch of both.
    crossed = TuningSet(["a", "b"], [["b"], ["a"]], str, {0: ["a"], 1: ["b"]})

    def read(texts: Sequence[str], _: str) -> torch.Tensor:
        return torch.eye(2)[[["a", "b"].index(text) for text in texts]]

    assert tuning._loss(read, crossed, [0, 1], 0).item() == 0  # nothing is left to be told apart
    assert tuning._loss(read, replace(crossed, spared={}), [0, 1], 0).item() > 1


def test_no_time_no_steps(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "RULES", replace(RULES, minutes=1e-9))
    pairs = tune_encoder(tiny_encoder, tmp_path / "tuned", EXAMPLES, "tiny", 0)
    assert str(pairs) == "0 of 240 pairs, as many as 1e-09 minutes allow"
    assert cosines(tmp_path / "tuned") == pytest.approx(cosines(tiny_encoder), abs=1e-5)


def test_every_query_comes_up_once_an_epoch() -> None:
    batches = list(tuning._batches(7, random.Random(0)))
    assert [sorted(batch) for batch in batches] == [list(range(7))] * RULES.most_epochs
    large = list(tuning._batches(400, random.Random(0)))
    assert len(large) == 20  # more queries than pairs wanted: one epoch
    assert len({number for batch in large for number in batch}) == 400


def test_prompts_that_are_given_are_read_and_saved(tiny_encoder: Path, tmp_path: Path) -> None:
    prompts = Prompts("the query ", "old text ")
    tune_encoder(tiny_encoder, tmp_path / "given", EXAMPLES, "tiny", 0, prompts)
    SentenceTransformer(str(tiny_encoder), device="cpu", prompts=asdict(prompts)).save(str(tmp_path / "prompted"))
    tune_encoder(tmp_path / "prompted", tmp_path / "own", EXAMPLES, "tiny", 0)
    assert own_prompts(tmp_path / "given") == own_prompts(tmp_path / "own") == prompts
    given, own = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("given", "own"))
    assert given == own
