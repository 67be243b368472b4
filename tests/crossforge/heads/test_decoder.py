"""Decoders that answer yes or no: a classifier's logits equal theirs, and only the document is ever cut."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from support import DECODER_TEMPLATE, make_decoder
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from crossforge import Reranker
from crossforge.errors import InputError, PackageError
from crossforge.heads.choice import scoring_head
from crossforge.loading import pair_tokenizer
from crossforge.prompts import Prompts
from crossforge_train.models.base_model import find_base_model, is_bi_encoder
from crossforge_train.models.base_texts import require_texts, with_texts
from crossforge_train.models.export import export_onnx, save_checkpoint

PAIRS = [("bread oven", "flour and yeast"), ("bread oven", "a boat"), ("sail", "wind tide crew " * 6)]
LONG = ("sail", "wind the tide " * 40)
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder(tmp_path_factory.mktemp("decoder") / "model")


def causal_logits(folder: Path) -> list[float]:
    """Yes less no after the whole template, one pair at a time."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    found = []
    for query, document in PAIRS:
        messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        with torch.no_grad():
            last = model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, -1]
        found.append(float(last[yes] - last[no]))
    return found


@pytest.mark.parametrize(
    ("kind", "settings"), [("qwen3", {}), ("llama", {"tie_word_embeddings": True}), ("llama", {"pad_token_id": 0})]
)
def test_logits_equal_those_of_the_causal_model(tmp_path: Path, kind: str, settings: dict) -> None:
    folder = make_decoder(tmp_path / "model", kind, **settings)
    found = Reranker(folder).score_pairs(PAIRS).logits
    assert found == pytest.approx(causal_logits(folder), abs=1e-4)
    assert np.ptp(found) > 1e-2


def test_a_chat_template_will_do_where_the_model_names_its_answers(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "model", template=CHAT_TEMPLATE)
    yes, no = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["yes", "no"])
    (folder / "1_LogitScore").mkdir()
    named = {"true_token_id": yes, "false_token_id": no}
    (folder / "1_LogitScore" / "config.json").write_text(json.dumps(named))
    module = {"type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore", "path": "1_LogitScore"}
    (folder / "modules.json").write_text(json.dumps([module]))
    assert Reranker(folder).score_pairs(PAIRS).logits == pytest.approx(causal_logits(folder), abs=1e-4)


def test_transformers_does_not_warn_of_the_head_that_is_written(
    decoder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    caplog.set_level(logging.WARNING, "transformers")  # other tests want to hear less of it
    scoring_head(decoder).load(decoder)
    assert "MISSING" not in caplog.text
    AutoModelForSequenceClassification.from_pretrained(decoder, num_labels=1)
    assert "MISSING" in caplog.text, "what it keeps quiet about is worded otherwise now"


def test_it_is_a_base_model_and_no_bi_encoder(decoder: Path) -> None:
    assert find_base_model(str(decoder)) == decoder
    assert not is_bi_encoder(decoder)


def test_only_the_document_is_cut(decoder: Path) -> None:
    tokenizer, words = pair_tokenizer(decoder, 24), AutoTokenizer.from_pretrained(decoder)
    (whole, cut) = tokenizer.encode([("sail", "wind"), LONG])
    text = [" ".join(words.convert_ids_to_tokens(found.ids)) for found in (whole, cut)]
    assert text[0] == "judge : query : sail document : wind answer :"
    assert text[1] == "judge : query : sail document : " + "wind the tide " * 5 + "answer :"
    assert (whole.truncated, cut.truncated, len(cut.ids)) == (False, True, 24)
    assert tokenizer.document_room("sail") == 15
    with pytest.raises(InputError, match="shorten the query"):
        tokenizer.encode([("sail " * 12, "wind")])


def test_the_default_prompt_is_the_instruction(decoder: Path, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(decoder, tmp_path / "model"))
    settings = {"model_type": "CrossEncoder", "prompts": {"search": "old bread"}, "default_prompt_name": "search"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    template = scoring_head(folder).template(folder)
    assert template is not None
    assert template.before == "judge : old bread query : "
    assert template.around("q", "d") == "judge : old bread query : q\ndocument : d\nanswer :"


@pytest.mark.usefixtures("quickly")
def test_a_saved_one_is_a_classifier_that_sentence_transformers_reads_with_its_template(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, saved = scoring_head(decoder).load(decoder), tmp_path / "saved"
    save_checkpoint(model, decoder, saved, 40)
    export_onnx(model, saved)
    assert json.loads((saved / "config.json").read_text())["architectures"] == ["Qwen3ForSequenceClassification"]
    there = CrossEncoder(str(saved), device="cpu")
    assert there.max_seq_length == 40
    expected = there.predict([*PAIRS, LONG], activation_fn=torch.nn.Identity())
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    reranker = Reranker(saved)
    assert reranker.backend_name == "onnx"
    assert reranker.score_pairs([*PAIRS, LONG]).logits == pytest.approx(expected, abs=1e-4)


def without(name: str, key: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        value.pop(key)
        (folder / name).write_text(json.dumps(value))

    return spoil


REFUSED: dict[str, tuple[dict[str, Any], Callable[[Path], object], str]] = {
    "no template": ({"template": None}, lambda folder: None, "without a chat template"),
    "no document": ({"template": "{{ messages[0].content }}"}, lambda folder: None, "no one place for each"),
    "any role": ({"template": CHAT_TEMPLATE}, lambda folder: None, "that of a chat model"),
    "twice": ({"template": DECODER_TEMPLATE * 2}, lambda folder: None, "no one place for each"),
    "any role, capitalized": (
        {"template": CHAT_TEMPLATE.replace("m.role", "m.role | capitalize")},
        lambda folder: None,
        "that of a chat model",
    ),
    "no padding": ({}, without("tokenizer_config.json", "pad_token"), "no padding token"),
    "no word": (
        {},
        lambda folder: (folder / "tokenizer.json").write_text(
            (folder / "tokenizer.json").read_text().replace('"no":', '"nope":')
        ),
        "'no' is no single token",
    ),
    "soft cap": (
        {},
        lambda folder: (folder / "config.json").write_text(
            json.dumps({**json.loads((folder / "config.json").read_text()), "final_logit_softcapping": 30.0})
        ),
        "final_logit_softcapping",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_lacks_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    settings, spoil, why = REFUSED[name]
    folder = make_decoder(tmp_path / "model", **settings)
    spoil(folder)
    for opened, kind in ((Reranker, PackageError), (lambda path: find_base_model(str(path)), InputError)):
        with pytest.raises(kind, match=why) as caught:
            opened(folder)
        assert "\n" not in str(caught.value)


def test_an_instruction_goes_where_the_default_prompt_would(decoder: Path) -> None:
    plain, instructed = Reranker(decoder), Reranker(decoder, instruction=" old bread ")
    template = instructed.tokenizer.template
    assert template.before == "judge : old bread query : "
    expected = instructed.score("sail", ["wind tide", "a boat"])
    assert plain.score("sail", ["wind tide", "a boat"], instruction="old bread") == pytest.approx(expected)
    assert not np.allclose(plain.score("sail", ["wind tide", "a boat"]), expected, atol=1e-3)
    ranked = plain.rank("sail", ["wind tide", "a boat"], instruction="old bread")
    assert sorted(found.score for found in ranked) == pytest.approx(sorted(expected))
    (batched,) = plain.rank_batch(["sail"], [["wind tide", "a boat"]], instruction="old bread")
    assert [found.score for found in batched] == pytest.approx([found.score for found in ranked])
    assert plain.tokenizer.document_room("sail") == instructed.tokenizer.document_room("sail") + 2
    again = pickle.loads(pickle.dumps(plain.instructed("old bread")))
    assert again.score("sail", ["wind tide", "a boat"]) == pytest.approx(expected)


def test_sentence_transformers_puts_the_instruction_there_too(decoder: Path, tmp_path: Path) -> None:
    spoken_to = with_texts(decoder, tmp_path / "spoken-to", "old bread", Prompts())
    saved = tmp_path / "saved"
    save_checkpoint(scoring_head(spoken_to).load(spoken_to), spoken_to, saved, 40)
    reranker = Reranker(saved, backend="torch")
    there = CrossEncoder(str(saved), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert reranker.score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)
    assert not np.allclose(Reranker(decoder).score_pairs(PAIRS).logits, there, atol=1e-3)
    # A package is the base of another run, whose instruction takes its place.
    other = with_texts(saved, tmp_path / "other", "the butter", Prompts())
    expected = Reranker(decoder, instruction="the butter").score_pairs(PAIRS).logits
    assert Reranker(other, backend="torch").score_pairs(PAIRS).logits == pytest.approx(expected, abs=1e-4)
    there = CrossEncoder(str(other), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert there == pytest.approx(expected, abs=1e-4)


def test_what_takes_no_instruction_says_so(decoder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    silent = make_decoder(tmp_path / "silent", template=DECODER_TEMPLATE.replace("{{ m.content }} ", "", 1))
    for instruct, why in (
        (lambda: Reranker(decoder).score("sail", ["wind"], instruction=" "), "the instruction is empty"),
        (lambda: Reranker(silent, instruction="old"), "no place for an instruction"),
        (lambda: pair_tokenizer(tiny_encoder, 48, "old"), "has no template"),
        (lambda: Reranker(decoder, prompts={"query": "old "}), "takes an instruction and no prompts"),
        (lambda: require_texts(tiny_encoder, "old", Prompts()), "has no template"),
        (lambda: require_texts(decoder, None, Prompts("old ")), "takes an instruction and no prompts"),
    ):
        with pytest.raises(InputError, match=why) as caught:
            instruct()
        assert "\n" not in str(caught.value)
