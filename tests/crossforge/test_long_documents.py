"""The part of long documents that a model was trained on is kept in its folder."""

import shutil

import pytest

from crossforge import PackageError, Reranker
from crossforge.files import read_json, write_json
from crossforge.long_documents import LONG_DOCUMENTS, read_long_documents, write_long_documents


@pytest.fixture
def folder(tiny_encoder, tmp_path):
    return shutil.copytree(tiny_encoder, tmp_path / "model")


def test_a_model_that_says_nothing_reads_the_best_window(folder):
    assert read_long_documents(folder) == "best_window"


@pytest.mark.parametrize("long_documents", LONG_DOCUMENTS)
def test_what_is_written_is_read_and_replaces_what_was_there(folder, long_documents):
    before = read_json(folder / "config.json")
    write_long_documents(folder, "first_window")
    write_long_documents(folder, long_documents)
    assert read_long_documents(folder) == long_documents
    assert {key: read_json(folder / "config.json")[key] for key in before} == before


@pytest.mark.parametrize("wrong", ["last_window", ["first_window"], {}])
def test_an_unknown_part_is_named_with_its_file(folder, wrong):
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "crossforge": {"long_documents": wrong}})
    with pytest.raises(PackageError, match=r"config\.json: crossforge\.long_documents is none of: best_window, first"):
        read_long_documents(folder)


def test_sentence_transformers_and_transformers_keep_it(toy_package, tmp_path):
    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification

    theirs = shutil.copytree(toy_package, tmp_path / "theirs")
    (theirs / "reranker.json").unlink()
    shutil.rmtree(theirs / "evaluation")
    write_long_documents(theirs, "first_window")
    CrossEncoder(str(theirs), device="cpu", local_files_only=True).save_pretrained(str(tmp_path / "saved"))
    AutoModelForSequenceClassification.from_pretrained(theirs).save_pretrained(tmp_path / "plain")
    assert read_long_documents(tmp_path / "saved") == read_long_documents(tmp_path / "plain") == "first_window"
    assert Reranker(theirs).manifest.long_documents == "first_window"
