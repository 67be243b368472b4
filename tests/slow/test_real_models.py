"""Real weights of other architectures than BERT: the machinery with them, not their quality.

CROSSFORGE_MODELS names the folder that `python benchmarks/real_models.py FOLDER` fills.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from support import Recorder, toy_config, write_collection
from transformers import AutoModelForCausalLM, AutoTokenizer

from crossforge import Reranker
from crossforge.documents import Document
from crossforge.embedding.encoder import Encoder
from crossforge.errors import InputError
from crossforge_train.adaptation.generated import as_query
from crossforge_train.adaptation.makers.generator import ModelQueries
from crossforge_train.config.documents import GeneratorConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.config.loading import load_config
from crossforge_train.encoders.embeddings import open_embeddings
from crossforge_train.encoders.export import export_encoder
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.grafting.graft import obstacle
from crossforge_train.inspection.model import model_facts
from crossforge_train.labels.grading import Pair, prompt
from crossforge_train.labels.judge import Judge
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.slow

BI_ENCODER, CHAT, YES_NO = "all-mpnet-base-v2", "SmolLM2-135M-Instruct", "SmolLM2-135M-yes-no"
DOCUMENTS = {
    "bread": "Bread dough rises because yeast turns sugar into carbon dioxide. A warm place makes it rise faster.",
    "sail": "To sail against the wind, a boat tacks: it turns its bow through the wind again and again.",
    "chess": "A knight moves two squares along a line and one to the side, and may jump over other pieces.",
}
QUERY = "why does dough rise"
PAIRS = [(QUERY, text) for text in DOCUMENTS.values()]
LONG = (QUERY, DOCUMENTS["bread"] * 40)


def model(name: str) -> Path:
    """Its folder; the test skips where it is absent."""
    named = os.environ.get("CROSSFORGE_MODELS")
    if not named:
        pytest.skip("CROSSFORGE_MODELS names no folder; benchmarks/real_models.py makes one")
    folder = Path(named).absolute() / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}; benchmarks/real_models.py makes it")
    return folder


def test_it_is_told_what_each_is() -> None:
    bi_encoder, yes_no = (model_facts(model(name)) for name in (BI_ENCODER, YES_NO))
    assert bi_encoder["is"] == "a bi-encoder"
    assert bi_encoder["as base"] == f"training starts with a fresh head: {obstacle(model(BI_ENCODER))}"
    assert yes_no["is"] == "a decoder that answers yes or no"
    assert str(yes_no["template"]).endswith("Say yes or no.<|im_end|>\n<|im_start|>assistant\n")
    with pytest.raises(InputError, match="that of a chat model"):
        model_facts(model(CHAT))


def test_a_decoder_gives_the_logits_of_the_causal_model() -> None:
    folder = model(YES_NO)
    tokenizer, causal = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    for query, text in PAIRS:
        messages = [{"role": "query", "content": query}, {"role": "document", "content": text}]
        ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), return_tensors="pt")["input_ids"]
        expected.append(_next_logits(causal, ids)[tokenizer.convert_tokens_to_ids(["yes", "no"])])
    differences = [float(yes - no) for yes, no in expected]
    assert Reranker(folder).score_pairs(PAIRS).logits == pytest.approx(differences, abs=1e-4)


def _next_logits(causal: Any, ids: Any) -> Any:
    with torch.inference_mode():
        return causal(ids).logits[0, -1]


@pytest.mark.parametrize(("name", "length"), [(BI_ENCODER, 48), (YES_NO, 96)])
def test_a_short_training_gives_a_package_that_sentence_transformers_reads(
    tmp_path: Path, name: str, length: int
) -> None:
    config = load_config(
        toy_config(
            tmp_path, write_collection(tmp_path / "toy", train=16, test=6), model(name),
            mining={"negatives": 2},
            training={
                "max_length": length, "evaluations": 1, "dev_queries": 2, "dev_depth": 3,
                "learning_rate": 1e-5, "head_learning_rate": 1e-5,
            },
            evaluation={
                "depth": 3, "depths": [3], "latency_queries": 0, "bm25": False, "max_queries": 2, "max_dev_queries": 2,
            },
            package={"allow_regression": True},
        )
    )  # fmt: skip
    run_stages(config, STAGES, SilentReporter())
    package, pairs = config.folder / "package", [*PAIRS, LONG]
    reranker = Reranker(package)
    there = CrossEncoder(str(package), device="cpu", activation_fn=torch.nn.Identity()).predict(pairs)
    assert reranker.backend_name == "onnx"
    np.testing.assert_allclose(reranker.score_pairs(pairs).logits, there, atol=1e-4 * max(1, np.abs(there).max()))


def test_a_bi_encoder_embeds_without_torch_as_sentence_transformers_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model(BI_ENCODER)
    texts = [QUERY, *DOCUMENTS.values(), LONG[1]]
    export_encoder(folder, tmp_path / "encoder", BI_ENCODER)
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    for library in ("torch", "transformers", "sentence_transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    assert np.abs(Encoder(tmp_path / "encoder").embed(texts, "document") - expected).max() < 1e-5


@pytest.mark.parametrize("kind", ["dense", "hybrid"])
def test_a_bi_encoder_finds_what_a_first_stage_searches(tmp_path: Path, kind: str) -> None:
    embeddings = open_embeddings(str(model(BI_ENCODER)), 64, tmp_path, SilentReporter())
    documents = [Document(doc_id, text) for doc_id, text in DOCUMENTS.items()]
    retriever = fit_first_stage(documents, FirstStageConfig(kind=kind), embeddings)
    found = retriever.search({"q": "which piece leaps over others"}, 3)["q"]
    assert found[0].doc_id == "chess"


def test_a_chat_model_writes_the_queries_that_transformers_generates(tmp_path: Path) -> None:
    folder = model(CHAT)
    config = GeneratorConfig(model=str(folder), temperature=0, max_new_tokens=8, cache=tmp_path, batch=2)
    documents = [Document(doc_id, text) for doc_id, text in DOCUMENTS.items()]
    found = [queries[0].text for queries in ModelQueries(config, 0).make(documents)]
    tokenizer, causal = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    for text in DOCUMENTS.values():
        ids = _chat_ids(tokenizer, config.prompt.replace("{text}", text))
        written = causal.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        expected.append(as_query(tokenizer.decode(written[0, len(ids[0]) :], skip_special_tokens=True)))
    assert found == expected


def test_a_chat_model_grades_by_its_likeliest_digit(tmp_path: Path) -> None:
    folder = model(CHAT)
    config = JudgeConfig(model=str(folder), cache=tmp_path / "graded")
    pairs = [Pair(query, text) for query, text in PAIRS]
    grades = [found.grade for found in Judge(config, Recorder()).grade(pairs)]
    tokenizer, causal = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    digits = tokenizer.convert_tokens_to_ids(list("0123"))
    expected = [
        int(_next_logits(causal, _chat_ids(tokenizer, prompt(config, pair), '{"grade":'))[digits].argmax())
        for pair in pairs
    ]
    assert grades == expected


def _chat_ids(tokenizer: Any, text: str, opening: str = "") -> Any:
    """Token ids of a user's message, with the beginning of the answer."""
    messages = [{"role": "user", "content": text}]
    asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(asked + opening, return_tensors="pt", add_special_tokens=False)["input_ids"]
