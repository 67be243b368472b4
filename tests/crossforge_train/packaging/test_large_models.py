"""A model too large for one ONNX file keeps its weights beside it, from the export to every reader."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from crossforge import Reranker
from crossforge.backends.model_files import INT8_FILE, MODEL_FILE
from crossforge.calibration import Calibrator
from crossforge.embedding.encoder import Encoder
from crossforge.errors import PackageError
from crossforge.heads.one_label import OneLabel
from crossforge.manifest import Manifest, file_table, read_manifest, write_manifest
from crossforge.package_files import weights_beside
from crossforge.service.sharing import share_package
from crossforge_train.encoders.export import export_encoder
from crossforge_train.models import onnx_files
from crossforge_train.models.export import export_onnx, save_checkpoint
from crossforge_train.packaging.folding import fold_calibrator
from crossforge_train.packaging.quantization import quantize

PAIRS = [("bread", "bread oven"), ("bread", "boat"), ("sail", "wind " * 30)]
BACKENDS = ("torch", "onnx", "openvino")
STEEP = Calibrator(slope=2.5, intercept=-1.25)


@pytest.fixture(scope="module")
def large(tiny_scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cross-encoder, exported as if it were large."""
    folder = tmp_path_factory.mktemp("large") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_files, "MOST_WITHIN", 0)
        model = OneLabel.load(tiny_scorer)
        model.classifier.bias.data.fill_(0.31)  # exporters leave out a bias of zero
        save_checkpoint(model, tiny_scorer, folder, 64)
        export_onnx(model, folder)
    return folder


@pytest.fixture
def copy(large: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(large, tmp_path / "copy"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def logits(folder: Path, backend: str) -> np.ndarray:
    return Reranker(folder, backend=backend).score_pairs(PAIRS).logits


def test_the_weights_lie_beside_the_model_under_the_name_that_clients_look_for(large: Path) -> None:
    assert names(large / "onnx") == {"model.onnx", "model.onnx_data"}
    assert (large / MODEL_FILE).stat().st_size < weights_beside(large / MODEL_FILE).stat().st_size
    for backend in BACKENDS[1:]:
        assert logits(large, backend) == pytest.approx(logits(large, "torch"), abs=1e-5)
    model = onnx.load(large / MODEL_FILE)
    assert not any(node.metadata_props for node in model.graph.node)


def test_calibration_is_folded_in_and_the_file_beside_stays_as_it_is(copy: Path) -> None:
    before, weights = logits(copy, "torch"), weights_beside(copy / MODEL_FILE).read_bytes()
    assert fold_calibrator(copy, STEEP) == ""
    for backend in BACKENDS:
        assert logits(copy, backend) == pytest.approx(STEEP.slope * before + STEEP.intercept, abs=1e-5)
    assert weights_beside(copy / MODEL_FILE).read_bytes() == weights


def test_it_is_quantized(copy: Path) -> None:
    quantize(copy)
    assert names(copy / "onnx") == {"model.onnx", "model.onnx_data", "model_int8.onnx", "model_int8.onnx_data"}
    assert weights_beside(copy / INT8_FILE).stat().st_size < weights_beside(copy / MODEL_FILE).stat().st_size
    assert logits(copy, "onnx-int8") == pytest.approx(logits(copy, "onnx"), abs=0.2)


@pytest.mark.parametrize("name", ["onnx/model.onnx_data", "onnx/model_int8.onnx_data"])
def test_a_package_lists_its_weights_and_refuses_any_that_it_does_not(copy: Path, name: str) -> None:
    quantize(copy)
    files = file_table(copy)
    write_manifest(copy, Manifest("base", 64, files=files))
    assert read_manifest(copy).files[name]
    del files[name]
    write_manifest(copy, Manifest("base", 64, files=files))
    with pytest.raises(PackageError, match=rf"{name}: not listed"):
        read_manifest(copy)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_several_processes_serve_it(large: Path, tmp_path: Path, backend: str) -> None:
    share_package(large, tmp_path / "shared", backend)
    assert logits(tmp_path / "shared", backend).tolist() == logits(large, backend).tolist()


def test_openvino_says_that_it_reads_no_weights_through_a_link(large: Path, copy: Path) -> None:
    for name in (MODEL_FILE, f"{MODEL_FILE}_data"):
        (copy / name).unlink()
        (copy / name).symlink_to(large / name)
    assert logits(copy, "onnx").tolist() == logits(large, "onnx").tolist()
    with pytest.raises(PackageError, match='cannot read weights through a link; copy the folder, or use "onnx"'):
        Reranker(copy, backend="openvino")


def test_a_large_encoder_is_exported_and_saved_with_an_index(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "MOST_WITHIN", 0)
    export_encoder(tiny_encoder, tmp_path / "encoder", "tiny")
    Encoder(tmp_path / "encoder").save(tmp_path / "saved")
    assert weights_beside(tmp_path / "saved" / MODEL_FILE).is_file()
    found = [Encoder(tmp_path / name).embed(["bread oven"], "query").tolist() for name in ("encoder", "saved")]
    assert found[0] == found[1]
