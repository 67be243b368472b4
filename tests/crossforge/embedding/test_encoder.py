"""An exported bi-encoder embeds as sentence-transformers does, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from support import make_documents

from crossforge.embedding.encoder import Encoder, read_settings
from crossforge.errors import InputError, PackageError
from crossforge_train.encoders.export import export_encoder

TEXTS = [document["text"] for document in make_documents(4)] + ["", "bread", "bread oven " * 80, "é\ud800…"]

pytestmark = pytest.mark.usefixtures("quickly")


def test_vectors_are_those_of_sentence_transformers_whatever_the_lengths(tiny_encoder: Path, tiny_onnx: Path) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    expected = SentenceTransformer(str(tiny_encoder), device="cpu").encode(texts, normalize_embeddings=True)
    found = Encoder(tiny_onnx).embed(TEXTS, "document")
    assert np.abs(found - expected).max() < 1e-5
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert Encoder(tiny_onnx).embed([], "query").shape == (0, 32)


def test_vectors_in_bf16_are_near(tiny_onnx: Path) -> None:
    try:
        near = Encoder(tiny_onnx, bf16=True)
    except PackageError as error:
        assert "native bf16" in str(error)
        pytest.skip("this CPU has no native bf16")
    cosines = np.sum(near.embed(TEXTS, "document") * Encoder(tiny_onnx).embed(TEXTS, "document"), axis=1)
    assert cosines.min() > 0.999
    assert cosines.min() < 1 - 1e-6  # 1 would be fp32 under another name


def test_prompts_further_modules_and_a_shorter_length_are_part_of_the_export(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    model = SentenceTransformer(str(tiny_encoder), device="cpu", prompts={"query": "boat: ", "document": "sail: "})
    model.append(Dense(32, 8))
    model.save(str(tmp_path / "dense"))
    export_encoder(tmp_path / "dense", tmp_path / "onnx", "dense", max_length=12)
    encoder = Encoder(tmp_path / "onnx")
    model.max_seq_length = 12
    for role, expected in (("query", model.encode_query(TEXTS[:3])), ("document", model.encode_document(TEXTS[:3]))):
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.abs(encoder.embed(TEXTS[:3], role) - expected).max() < 1e-5
    assert encoder.settings.description == "dense, 12 tokens, 8 dimensions"


def test_only_a_number_reads_more_than_the_usual_length(tiny_encoder: Path, tmp_path: Path) -> None:
    SentenceTransformer(str(tiny_encoder), device="cpu").save(str(tmp_path / "long"))
    settings = tmp_path / "long" / "sentence_bert_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "max_seq_length": 900}))
    for given, read in ((None, 512), (700, 700), (1000, 900)):
        export_encoder(tmp_path / "long", tmp_path / str(given), "long", max_length=given)
        assert read_settings(tmp_path / str(given)).max_length == read


def test_a_query_map_moves_queries_alone_and_is_saved_with_the_encoder(tiny_onnx: Path, tmp_path: Path) -> None:
    encoder, turned = Encoder(tiny_onnx), np.eye(32, dtype=np.float32)[::-1].copy()
    encoder.with_query_map(2 * turned).save(tmp_path / "moved")
    found = Encoder(tmp_path / "moved")
    assert found.settings.description == f"{encoder.settings.description}, with a query map"
    assert np.abs(found.embed(TEXTS, "query") - encoder.embed(TEXTS, "query")[:, ::-1]).max() < 1e-6
    assert (found.embed(TEXTS, "document") == encoder.embed(TEXTS, "document")).all()
    assert encoder.query_map is None
    assert found.with_query_map(None).settings == encoder.settings
    assert (found.with_query_map(None).embed(TEXTS, "query") == encoder.embed(TEXTS, "query")).all()
    for wrong in (turned[:5], turned.astype(np.float64), np.full_like(turned, np.nan)):
        np.save(tmp_path / "moved" / "query_map.npy", wrong)
        with pytest.raises(PackageError, match=r"query_map\.npy: not a float32 map of 32 x 32 finite numbers"):
            Encoder(tmp_path / "moved")
    (tmp_path / "moved" / "query_map.npy").unlink()
    with pytest.raises(PackageError, match=r"query_map\.npy: missing or damaged"):
        Encoder(tmp_path / "moved")


def test_a_model_whose_pooling_leaves_out_the_prompt_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    model[1].include_prompt = False
    model.save(str(tmp_path / "instructor"))
    with pytest.raises(InputError, match=r"leaves its prompt out when it pools; set first_stage\.kind: lexical"):
        export_encoder(tmp_path / "instructor", tmp_path / "onnx", "instructor")
    assert not (tmp_path / "onnx").exists()


def test_what_is_no_encoder_or_damaged_is_told_in_one_line(tiny_encoder: Path, tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"encoder\.json"):
        Encoder(tiny_encoder)
    shutil.copytree(tiny_onnx, tmp_path / "broken")
    (tmp_path / "broken" / "onnx" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(PackageError, match="ONNX Runtime cannot load it"):
        Encoder(tmp_path / "broken")
    settings = json.loads((tiny_onnx / "encoder.json").read_text())
    (tmp_path / "broken" / "encoder.json").write_text(json.dumps({**settings, "kind": "other"}))
    with pytest.raises(PackageError, match="not an encoder of this version"):
        Encoder(tmp_path / "broken")


def test_embedding_needs_no_torch(tiny_onnx: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from crossforge.embedding.encoder import Encoder;"
        f"Encoder(Path({str(tiny_onnx)!r})).embed(['bread'], 'query');"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
