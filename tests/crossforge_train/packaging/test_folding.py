"""Calibration is folded into the last layer: any client's sigmoid is the probability, and nothing else changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from crossforge import Reranker, RetrieveAndRerank
from crossforge.backends.model_files import MODEL_FILE
from crossforge.calibration import Calibrator
from crossforge.errors import PackageError
from crossforge.manifest import file_table, read_manifest, write_manifest
from crossforge.pipeline import load_first_stage
from crossforge_train.packaging.folding import fold_calibrator
from crossforge_train.packaging.verify import require_same_scores
from crossforge_train.run_folder import RunFolder

QUERY = "bread oven yeast"
TEXTS = ["bread and oven", "a boat with a sail", "yeast and dough for the loaf", "pawn takes rook", "the oven is old"]
PAIRS = [(QUERY, text) for text in TEXTS]
STEEP = Calibrator(slope=2.5, intercept=-1.25)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


@pytest.fixture
def measured(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the model as it was measured, which may be changed."""
    return Path(shutil.copytree(RunFolder(toy_run).finetuned.model, tmp_path / "model"))


def test_the_model_gives_scaled_logits_in_every_backend(measured: Path) -> None:
    before = Reranker(measured).score_pairs(PAIRS).logits
    assert fold_calibrator(measured, STEEP) == ""
    for backend in ("onnx", "torch", "openvino"):
        found = Reranker(measured, backend=backend).score_pairs(PAIRS).logits
        assert found == pytest.approx(STEEP.slope * before + STEEP.intercept, abs=1e-5)


def test_all_other_weights_stay_bit_for_bit(measured: Path) -> None:
    before, settings = load_file(measured / "model.safetensors"), (measured / "config.json").read_bytes()
    fold_calibrator(measured, STEEP)
    after = load_file(measured / "model.safetensors")
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert before.keys() == after.keys()
    assert (measured / "config.json").read_bytes() == settings


def test_what_ships_is_what_was_measured(toy_run: Path, toy_package: Path) -> None:
    manifest, model = read_manifest(toy_package), RunFolder(toy_run).finetuned.model
    assert manifest.folded is not None
    before, after = Reranker(model), Reranker(toy_package)
    old = before.score_pairs(PAIRS).logits
    new = after.score_pairs(PAIRS).logits
    assert not np.allclose(old, new, atol=1e-3), "nothing was folded"
    assert manifest.raw_logits(new) == pytest.approx(old, abs=1e-4)
    assert manifest.calibrator.probabilities(new) == pytest.approx(manifest.folded.probabilities(old), abs=1e-6)
    unfolded = with_manifest(before, calibrator=manifest.folded)
    for weight in (0.0, 0.35):
        ranked = [searched(reranker, weight, toy_package) for reranker in (unfolded, after)]
        assert [found.doc_id for found in ranked[0]] == [found.doc_id for found in ranked[1]]
        assert [found.probability for found in ranked[0]] == pytest.approx(
            [found.probability for found in ranked[1]], abs=1e-6
        )


def searched(reranker: Reranker, weight: float, package: Path) -> list:
    documents, retriever = load_first_stage(package / "first_stage")
    return list(RetrieveAndRerank(documents, retriever, with_manifest(reranker, fusion_weight=weight))(QUERY, k=None))


def with_manifest(reranker: Reranker, **entries: Any) -> Reranker:
    return Reranker.from_parts(replace(reranker._parts, manifest=replace(reranker.manifest, **entries)))


def test_every_client_with_a_sigmoid_shows_the_probability(toy_package: Path) -> None:
    import onnxruntime
    from sentence_transformers import CrossEncoder

    reranker = Reranker(toy_package)
    ranked = sorted(reranker.rank(QUERY, TEXTS), key=lambda found: int(found.doc_id))
    probabilities = [found.probability for found in ranked]
    assert CrossEncoder(str(toy_package), device="cpu").predict(PAIRS) == pytest.approx(probabilities, abs=1e-5)
    session = onnxruntime.InferenceSession(str(toy_package / MODEL_FILE), providers=["CPUExecutionProvider"])
    batch = reranker.tokenizer.pad(reranker.tokenizer.encode(PAIRS))
    (logits,) = session.run(["logits"], batch)
    assert sigmoid(logits[:, 0]) == pytest.approx(probabilities, abs=1e-5)
    assert sigmoid(np.array([found.score for found in ranked])) == pytest.approx(probabilities, abs=1e-7)


def test_a_package_of_an_earlier_version_gives_what_it_gave(toy_run: Path, toy_package: Path, measured: Path) -> None:
    """Its model holds no calibration, and its manifest has no such entry."""
    folded = read_manifest(toy_package).folded
    assert folded is not None
    manifest = replace(read_manifest(toy_package), calibrator=folded, folded=None, files=file_table(measured))
    write_manifest(measured, manifest)
    old, new = Reranker(measured), Reranker(toy_package)
    assert old.manifest.raw_logits(old.score(QUERY, TEXTS)).tolist() == old.score(QUERY, TEXTS).tolist()
    by_old, by_new = old.rank(QUERY, TEXTS), new.rank(QUERY, TEXTS)
    assert [found.doc_id for found in by_old] == [found.doc_id for found in by_new]
    assert [found.probability for found in by_old] == pytest.approx([found.probability for found in by_new], abs=1e-6)


@pytest.mark.parametrize(
    ("calibrator", "why"),
    [
        (Calibrator(knots=((-1.0, 0.2), (1.0, 0.7))), "isotonic regression"),
        (Calibrator(slope=0.0, intercept=-2.0), "lose their order"),
    ],
)
def test_what_cannot_be_folded_leaves_the_model_alone(measured: Path, calibrator: Calibrator, why: str) -> None:
    before = {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()}
    assert why in fold_calibrator(measured, calibrator)
    assert {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()} == before


def test_a_last_layer_without_a_bias_cannot_hold_a_shift(measured: Path) -> None:
    tensors = load_file(measured / "model.safetensors")
    del tensors["classifier.bias"]
    save_file(tensors, measured / "model.safetensors", metadata={"format": "pt"})
    assert fold_calibrator(measured, STEEP) == "its last layer has no bias"


def test_an_onnx_model_of_other_weights_is_not_touched(measured: Path) -> None:
    tensors = load_file(measured / "model.safetensors")
    tensors["classifier.weight"] = tensors["classifier.weight"] + 1
    save_file(tensors, measured / "model.safetensors", metadata={"format": "pt"})
    exported = (measured / MODEL_FILE).read_bytes()
    assert "another form" in fold_calibrator(measured, STEEP)
    assert (measured / MODEL_FILE).read_bytes() == exported


def test_a_package_that_scores_otherwise_than_was_measured_is_refused(toy_run: Path, measured: Path) -> None:
    model = RunFolder(toy_run).finetuned.model
    fold_calibrator(measured, STEEP)
    require_same_scores(model, measured, PAIRS, STEEP)
    with pytest.raises(PackageError, match="logits differ by"):
        require_same_scores(model, measured, PAIRS, replace(STEEP, intercept=-1.2))
    with pytest.raises(PackageError, match="logits differ by"):
        require_same_scores(model, measured, PAIRS, None)
