"""Prompts of an encoder in a run: trained with, packaged within the tokenizer, and so read by every client."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import Recorder, toy_config

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.prompts import Prompts, held_prompts
from crossforge.tokenization import read_tokenizer
from crossforge_train.config.loading import load_config
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, evaluate, finetune, mine
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages
from crossforge_train.training import preparation, start

pytestmark = pytest.mark.usefixtures("quickly")

PROMPTS = {"query": "the query ", "document": "old text "}
PAIRS = [("bread oven", "flour and yeast"), ("bread oven", "a boat in the wind"), ("sail", "old bread " * 8)]


def test_every_client_reads_them(tmp_path: Path, toy_collection: Path, toy_package: Path, monkeypatch) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    read: list[int] = []
    original = preparation.make_rows

    def make_rows(groups, collection, splits, pipeline, *rest, **options):
        read.extend(pipeline.reranker.tokenizer.encode([("sail", "boat")])[0].ids)
        return original(groups, collection, splits, pipeline, *rest, **options)

    monkeypatch.setattr(preparation, "make_rows", make_rows)
    path = toy_config(
        tmp_path, toy_collection, toy_package,
        training={"prompts": PROMPTS, "merge": 0.5, "start": "auto"},
        evaluation={"latency_queries": 0, "bm25": False},
        package={"allow_regression": True},
    )  # fmt: skip
    config = load_config(path)
    run_stages(config, STAGES, SilentReporter())
    package = config.folder / "package"
    assert held_prompts(read_tokenizer(package / "tokenizer.json")) == Prompts(**PROMPTS)
    assert "`the query` before each query" in (package / "README.md").read_text()
    reranker = Reranker(package)
    (encoded,) = reranker.tokenizer.encode([("sail", "boat")])
    assert read == encoded.ids
    logits = reranker.score_pairs(PAIRS).logits
    given, held = (found.tokenizer.encode(PAIRS) for found in (Reranker(toy_package, prompts=PROMPTS), reranker))
    assert [found.ids for found in given] == [found.ids for found in held]
    there = CrossEncoder(str(package), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert there == pytest.approx(logits, abs=1e-4)
    model, tokenizer = (kind.from_pretrained(package) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    batch = tokenizer(*map(list, zip(*PAIRS, strict=True)), padding=True, truncation="only_second", return_tensors="pt")
    assert model(**batch).logits[:, 0].tolist() == pytest.approx(logits, abs=1e-4)


def test_a_bi_encoder_that_is_grafted_keeps_its_own(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch
) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(tiny_encoder), device="cpu", prompts=PROMPTS).save(str(tmp_path / "prompted"))
    monkeypatch.setattr(start, "_FAITHFUL", -1.0)
    path = toy_config(
        tmp_path, toy_collection, tmp_path / "prompted",
        evaluation={"latency_queries": 0, "bm25": False}, package={"allow_regression": True},
    )  # fmt: skip
    config = load_config(path)
    told = Recorder()
    run_stages(config, STAGES, told)
    package = config.folder / "package"
    assert held_prompts(read_tokenizer(package / "tokenizer.json")) == Prompts(**PROMPTS)
    assert "`the query` before each query" in (package / "README.md").read_text()
    assert "training.prompts: 'the query ' and 'old text ', the bi-encoder's own" in told.notes
    (encoded,) = Reranker(package).tokenizer.encode([("sail", "boat")])
    plain = read_tokenizer(tiny_encoder / "tokenizer.json")
    joined = "[CLS] the query sail [SEP] [MASK] old text boat [SEP]"
    assert encoded.ids == plain.encode(joined, add_special_tokens=False).ids


def trained_files(folder: Path, collection: Path, base: Path, **training: object) -> dict[str, bytes]:
    """What was retrieved, mined and trained from a bi-encoder."""
    folder.mkdir()
    path = toy_config(
        folder,
        collection,
        base,
        first_stage={"kind": "dense"},
        mining={"teacher": "base"},
        training={"distillation_weight": 1.0, "epochs": 2, **training},
    )
    run_stages(load_config(path), [collect.STAGE, mine.STAGE, finetune.STAGE], SilentReporter())
    run = RunFolder(load_config(path).folder)
    paths = [
        *run.mined.path.glob("*.trec"),
        run.mined.path / "groups" / "part-00000.parquet",
        run.finetuned.model / "model.safetensors",
    ]
    return {path.name: path.read_bytes() for path in paths}


def test_prompts_of_the_config_are_as_good_as_the_bi_encoders_own(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, monkeypatch
) -> None:
    from sentence_transformers import SentenceTransformer

    monkeypatch.setattr(start, "_FAITHFUL", -1.0)
    SentenceTransformer(str(tiny_encoder), device="cpu", prompts=PROMPTS).save(str(tmp_path / "prompted"))
    plain = trained_files(tmp_path / "plain", toy_collection, tiny_encoder)
    own = trained_files(tmp_path / "own", toy_collection, tmp_path / "prompted")
    given = trained_files(tmp_path / "given", toy_collection, tiny_encoder, prompts=PROMPTS)
    assert [name for name in plain if plain[name] == own[name]] == []
    assert [name for name in own if given[name] != own[name]] == []


@pytest.mark.parametrize(
    ("kind", "teacher", "embeds"), [("lexical", None, False), ("lexical", "base", True), ("dense", None, True)]
)
def test_mining_depends_on_them_where_the_base_embeds(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, kind: str, teacher: str | None, embeds: bool
) -> None:
    sections = {"first_stage": {"kind": kind}, "mining": {"teacher": teacher}}
    plain, prompted = (
        load_config(toy_config(tmp_path, toy_collection, tiny_encoder, training=training, **sections))
        for training in ({}, {"prompts": PROMPTS})
    )
    assert (mine.STAGE.depends_on(plain) != mine.STAGE.depends_on(prompted)) is embeds
    assert evaluate.STAGE.depends_on(plain) != evaluate.STAGE.depends_on(prompted)


def test_what_a_base_model_cannot_take_is_told_before_anything_runs(
    tmp_path: Path, toy_collection: Path, toy_package: Path
) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, toy_package, training={"instruction": "old bread"}))
    with pytest.raises(InputError, match="has no template"):
        run_stages(config, STAGES, SilentReporter())
    assert not (config.folder / "collect").exists()
