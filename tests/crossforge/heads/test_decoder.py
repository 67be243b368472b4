"""Decoders that answer yes or no: a classifier's logits equal theirs, and only the document is ever cut."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from sentence_transformers import CrossEncoder
from support import CHAT_TEMPLATE, DECODER_TEMPLATE, make_backbone, make_causal_bi_encoder, make_decoder
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from crossforge import Reranker
from crossforge.embedding.encoder import Encoder
from crossforge.errors import InputError, PackageError
from crossforge.heads.choice import scoring_head
from crossforge.heads.one_label import OneLabel
from crossforge.loading import pair_tokenizer
from crossforge.prompts import Prompts
from crossforge_train.config.training import TrainingConfig
from crossforge_train.encoders.export import export_encoder
from crossforge_train.models.base_model import find_base_model, is_bi_encoder
from crossforge_train.models.base_texts import require_texts, with_texts
from crossforge_train.models.export import export_onnx, save_checkpoint
from crossforge_train.stages.base_check import require_trainable
from crossforge_train.training.model import load_model

PAIRS = [("bread oven", "flour and yeast"), ("bread oven", "a boat"), ("sail", "wind tide crew " * 6)]
LONG = ("sail", "wind the tide " * 40)


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


def name_answers(folder: Path) -> None:
    """Add the module in which sentence-transformers names the tokens of a decoder's answers."""
    yes, no = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["yes", "no"])
    (folder / "1_LogitScore").mkdir()
    named = {"true_token_id": yes, "false_token_id": no}
    (folder / "1_LogitScore" / "config.json").write_text(json.dumps(named))
    module = {"type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore", "path": "1_LogitScore"}
    (folder / "modules.json").write_text(json.dumps([module]))


def test_a_chat_template_will_do_where_the_model_names_its_answers(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "model", template=CHAT_TEMPLATE)
    name_answers(folder)
    assert Reranker(folder).score_pairs(PAIRS).logits == pytest.approx(causal_logits(folder), abs=1e-4)


def test_answers_are_named_nowhere_outside_the_folder(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "model", template=CHAT_TEMPLATE)
    name_answers(folder)
    (folder / "1_LogitScore").rename(tmp_path / "elsewhere")
    listed = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(listed.replace('"1_LogitScore"', '"../elsewhere"'))
    with pytest.raises(PackageError, match=r"modules\.json: '\.\./elsewhere' points outside the model's folder"):
        Reranker(folder)


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


def change(path: Path, **entries: Any) -> None:
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, **entries}))


def test_the_options_of_its_chat_template_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    template = DECODER_TEMPLATE.replace("answer :", "answer", 1) + "{% if add_generation_prompt %} :{% endif %}"
    made = CrossEncoder(str(make_decoder(tmp_path / "model", template=template)), device="cpu")
    made[0].processing_kwargs = {"chat_template": {"add_generation_prompt": True, "restore_suffix": True}}
    folder, saved = tmp_path / "of-sentence-transformers", tmp_path / "saved"
    made.save(str(folder), create_model_card=False)
    before = Reranker(folder)
    assert before.tokenizer.template.after.endswith("answer :")
    there = CrossEncoder(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert before.score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)
    save_checkpoint(scoring_head(folder).load(folder), folder, saved, 40)
    there = CrossEncoder(str(saved), device="cpu").predict([*PAIRS, LONG], activation_fn=torch.nn.Identity())
    reranker = Reranker(saved, backend="torch")
    assert reranker.score_pairs([*PAIRS, LONG]).logits == pytest.approx(there, abs=1e-4)
    assert reranker.score_pairs(PAIRS).logits == pytest.approx(before.score_pairs(PAIRS).logits, abs=1e-4)


def make_classifier(folder: Path, template: str | None) -> Path:
    """A decoder with one label, as sentence-transformers saves it; its tokenizer has a chat template."""
    source = make_decoder(folder.with_name("causal"), template=template)
    AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, pad_token_id=0).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    change(folder / "config.json", id2label={"0": "LABEL_0"})
    return folder


def test_a_classifier_reads_through_its_chat_template_as_in_sentence_transformers(tmp_path: Path) -> None:
    folder, saved = make_classifier(tmp_path / "model", DECODER_TEMPLATE), tmp_path / "saved"
    there = CrossEncoder(str(folder), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert Reranker(folder).score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)
    save_checkpoint(scoring_head(folder).load(folder), folder, saved, 40)
    assert Reranker(saved, backend="torch").score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)
    change(folder / "sentence_bert_config.json", modality_config={"text": {"method": "forward"}})
    assert scoring_head(folder).template(folder) is None, "its settings say that it reads texts as they are"


def test_a_classifier_whose_chat_template_has_no_such_roles_is_refused(tmp_path: Path) -> None:
    folder = make_classifier(
        tmp_path / "model", "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(PackageError, match=r"does not use the roles.*or take its chat template away"):
        Reranker(folder)
    (folder / "chat_template.jinja").unlink()
    assert len(Reranker(folder).score_pairs(PAIRS).logits) == len(PAIRS)


def test_a_chat_template_that_no_pair_is_read_through_is_left_behind(tmp_path: Path) -> None:
    folder, saved = make_backbone(tmp_path / "model"), tmp_path / "saved"
    require_trainable(str(folder))  # the config names no padding token, but the tokenizer does
    model = OneLabel.drafted(folder, AutoConfig.from_pretrained(folder))
    save_checkpoint(model, folder, saved, 40)
    assert AutoTokenizer.from_pretrained(saved).chat_template is None
    there = CrossEncoder(str(saved), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert Reranker(saved, backend="torch").score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)


def test_a_causal_model_saved_as_a_bi_encoder_embeds(tmp_path: Path) -> None:
    folder = make_causal_bi_encoder(tmp_path / "model")
    assert find_base_model(str(folder)) == folder
    assert is_bi_encoder(folder)
    export_encoder(folder, tmp_path / "encoder", "tiny")
    assert Encoder(tmp_path / "encoder").embed(["bread oven"], "query").shape == (1, 32)
    require_trainable(str(folder))


def test_a_bias_in_a_later_file_than_the_output_matrix_is_found(decoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(decoder, tmp_path / "model"))
    save_file({"lm_head.bias": np.zeros(3, dtype=np.float32)}, folder / "model-later.safetensors")
    with pytest.raises(PackageError, match="its output layer has a bias"):
        Reranker(folder)


def without(name: str, key: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        value = json.loads((folder / name).read_text())
        value.pop(key)
        (folder / name).write_text(json.dumps(value))

    return spoil


REFUSED: dict[str, tuple[dict[str, Any], Callable[[Path], object], str]] = {
    "no document": ({"template": "{{ messages[0].content }}"}, lambda folder: None, "does not use the roles"),
    "twice": ({"template": DECODER_TEMPLATE * 2}, lambda folder: None, "does not use the roles"),
    "no padding": ({}, without("tokenizer_config.json", "pad_token"), "no padding token"),
    "no word": (
        {},
        lambda folder: (folder / "tokenizer.json").write_text(
            (folder / "tokenizer.json").read_text().replace('"no":', '"nope":')
        ),
        "'no' is no single token.*LogitScore module",
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


ASKED_NOTHING = {
    "no template": None,
    "any role": CHAT_TEMPLATE,
    "any role, capitalized": CHAT_TEMPLATE.replace("m.role", "m.role | capitalize"),
}


@pytest.mark.parametrize("name", ASKED_NOTHING)
def test_a_decoder_that_is_asked_nothing_about_pairs_scores_none(tmp_path: Path, name: str) -> None:
    folder = make_decoder(tmp_path / "model", template=ASKED_NOTHING[name])
    with pytest.raises(PackageError, match=r"Qwen3ForCausalLM has no scoring head.*chat_template\.jinja") as caught:
        Reranker(folder)
    assert "\n" not in str(caught.value)
    assert find_base_model(str(folder)) == folder
    require_trainable(str(folder))


def test_answers_without_a_template_are_refused(tmp_path: Path) -> None:
    folder = make_decoder(tmp_path / "model", template=None)
    name_answers(folder)
    with pytest.raises(PackageError, match=r"without a chat template.*chat_template\.jinja"):
        Reranker(folder)


def test_a_chat_model_starts_with_a_fresh_head_and_is_read_without_its_template(tmp_path: Path) -> None:
    folder, saved = make_decoder(tmp_path / "model", template=CHAT_TEMPLATE), tmp_path / "saved"
    torch.manual_seed(0)
    prompted = with_texts(folder, tmp_path / "prompted", None, Prompts("query : ", " document : "))
    model = load_model(prompted, TrainingConfig(max_length=40, lora=None, dropout=0.0))
    save_checkpoint(model.model, prompted, saved, 40)
    there = CrossEncoder(str(saved), device="cpu").predict(PAIRS, activation_fn=torch.nn.Identity())
    assert Reranker(saved, backend="torch").score_pairs(PAIRS).logits == pytest.approx(there, abs=1e-4)
    assert np.ptp(there) > 1e-3
    assert AutoTokenizer.from_pretrained(saved).chat_template is None


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
