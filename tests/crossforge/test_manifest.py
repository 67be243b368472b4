"""A package that was changed, cut, moved or made by somebody else is not loaded."""

import json
import math
import shutil

import pytest

from crossforge import CrossforgeError, PackageError, Reranker
from crossforge.calibration import Calibrator
from crossforge.files import sha256
from crossforge.manifest import MANIFEST_FILE, Manifest, file_table, read_manifest, write_manifest


@pytest.fixture
def package(toy_package, tmp_path):
    return shutil.copytree(toy_package, tmp_path / "package")


def edit(package, change):
    """Apply `change` to the dictionary in the package's manifest."""
    path = package / MANIFEST_FILE
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def flip_byte(path, position=100):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def assert_refused(package, name, verify="full"):
    """Loading raises a `PackageError` of one line that names the file."""
    for load in (lambda: read_manifest(package, verify), lambda: Reranker(package, verify=verify)):
        with pytest.raises(PackageError) as caught:
            load()
        assert str(package / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_fresh_package_passes_every_check(package):
    manifest = read_manifest(package, "full")
    assert read_manifest(package, "size") == read_manifest(package, "off") == manifest
    assert {"config.json", "model.safetensors", "onnx/model.onnx", "tokenizer.json"} <= set(manifest.files)


@pytest.mark.parametrize("name", ["model.safetensors", "onnx/model.onnx", "tokenizer.json", "README.md"])
def test_a_full_check_finds_one_changed_byte(package, name):
    flip_byte(package / name)
    assert_refused(package, name)
    read_manifest(package, "size")


@pytest.mark.parametrize("verify", ["size", "full"])
@pytest.mark.parametrize("name", ["onnx/model.onnx", "tokenizer_config.json"])
def test_a_file_that_is_read_and_not_listed_is_refused(package, name, verify):
    edit(package, lambda value: value["files"].pop(name))
    assert_refused(package, name, verify)


@pytest.mark.parametrize("verify", ["size", "full"])
@pytest.mark.parametrize("name", ["first_stage/recipe.json", "first_stage/opensearch/index.json"])
def test_a_first_stage_that_is_not_listed_is_refused(package, name, verify):
    (package / name).parent.mkdir(parents=True, exist_ok=True)
    (package / name).write_text("{}")
    edit(package, lambda value: value["files"].pop(name, None))
    assert_refused(package, name, verify)


def test_hidden_files_that_a_file_browser_leaves_beside_an_index_do_not_matter(package):
    (package / "first_stage" / ".DS_Store").write_text("")
    (package / "first_stage" / ".ipynb_checkpoints").mkdir()
    (package / "first_stage" / ".ipynb_checkpoints" / "index.json").write_text("{}")
    read_manifest(package)


def test_a_file_is_hashed_once_in_a_process_unless_it_changes(package, monkeypatch):
    hashed = []
    monkeypatch.setattr("crossforge.manifest.sha256", lambda path: hashed.append(path.name) or sha256(path))
    read_manifest(package)
    assert "model.onnx" in hashed
    hashed.clear()
    read_manifest(package)
    assert hashed == []
    content = (package / "README.md").read_bytes()
    (package / "README.md").write_bytes(content)
    read_manifest(package)
    assert hashed == ["README.md"]
    flip_byte(package / "model.safetensors")
    assert_refused(package, "model.safetensors")


@pytest.mark.parametrize("verify", ["size", "full"])
def test_a_size_check_finds_a_cut_file(package, verify):
    path = package / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert_refused(package, "model.safetensors", verify)


@pytest.mark.parametrize("verify", ["size", "full"])
def test_a_missing_file_is_named(package, verify):
    (package / "README.md").unlink()
    assert_refused(package, "README.md", verify)
    read_manifest(package, "off")


@pytest.mark.parametrize("verify", ["off", "size", "full"])
@pytest.mark.parametrize("name", ["../outside", "onnx/../../outside", "/etc/hostname", "..\\outside", "C:/x"])
def test_a_path_outside_the_package_is_refused(package, name, verify):
    (package.parent / "outside").write_text("")
    edit(package, lambda value: value["files"].update({name: {"size": 0, "sha256": ""}}))
    assert_refused(package, MANIFEST_FILE, verify)


@pytest.mark.parametrize("version", [3, "1", None, 1.5])
def test_another_schema_is_refused(package, version):
    edit(package, lambda value: value.update(schema_version=version))
    assert_refused(package, MANIFEST_FILE)


def test_a_newer_schema_says_to_upgrade(package):
    edit(package, lambda value: value.update(schema_version=99))
    with pytest.raises(PackageError, match=r"schema version 99.*upgrade crossforge"):
        read_manifest(package)


@pytest.mark.parametrize("kind", ["crossforge-retriever", None])
def test_another_kind_is_refused(package, kind):
    edit(package, lambda value: value.update(kind=kind))
    assert_refused(package, MANIFEST_FILE)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"kind": "\xff"}', b'{"kind": 1,\n\n}'])
def test_a_malformed_manifest_is_refused(package, content):
    (package / MANIFEST_FILE).write_bytes(content)
    assert_refused(package, MANIFEST_FILE)


@pytest.mark.parametrize("key", ["base_model", "max_length", "calibrator"])
def test_a_manifest_without_a_needed_entry_is_refused(package, key):
    edit(package, lambda value: value.pop(key))
    assert_refused(package, MANIFEST_FILE)


@pytest.mark.parametrize(
    "entry",
    [
        {"files": []},
        {"files": {"README.md": {}}},
        {"files": {"README.md": None}},
        {"max_length": "48"},
        {"fusion_weight": "none"},
        {"calibrator": {"slope": "steep", "intercept": 0}},
        {"max_length": True},
        {"depth": 0},
        *({name: 10**30} for name in ("max_length", "depth", "passages")),
        *({"calibrator": {"slope": 1, "intercept": 0, "knots": knots}} for knots in ("01", [["0", "1"]], [[0, True]])),
        *({"fusion_weight": weight} for weight in (7, -1, math.nan, math.inf, 10**400)),
        *({"threshold": threshold} for threshold in (math.nan, math.inf, 5, -0.1, True)),
        *({"schema_version": version} for version in (0, True, -1)),
        *({"agreement": {"openvino": difference}} for difference in ("x", None, math.nan, -0.1)),
        *({"calibrator": {"slope": slope, "intercept": 0}} for slope in (-1, math.inf, math.nan)),
        {"calibrator": {"slope": 1, "intercept": math.inf}},
        *({"folded": {"slope": slope, "intercept": 0}} for slope in (0, -1, math.nan)),
        {"folded": {"slope": 1, "intercept": 0, "knots": [[0, 0.1], [1, 0.9]]}},
        {"folded": "platt"},
        {"files": {"README.md": {"size": -1, "sha256": ""}}},
        {"files": {"x" * 5000: {"size": 0, "sha256": ""}}},
    ],
    ids=lambda entry: str(entry)[:60],
)
def test_entries_that_make_no_sense_are_refused(package, entry):
    edit(package, lambda value: value.update(entry))
    assert_refused(package, MANIFEST_FILE)


@pytest.mark.parametrize(
    "entry",
    [{"fusion_weight": 1}, {"threshold": 0}, {"calibrator": {"slope": 0, "intercept": -3}}, {"schema_version": 1}],
)
def test_entries_at_the_edge_are_read(package, entry):
    edit(package, lambda value: value.update(entry))
    Reranker(package)


@pytest.mark.parametrize("verify", ["size", "full"])
def test_a_package_whose_manifest_was_deleted_is_not_taken_for_a_plain_folder(package, verify):
    (package / MANIFEST_FILE).unlink()
    with pytest.raises(PackageError, match=r"no reranker\.json in it, but evaluation/report\.json"):
        Reranker(package, verify=verify)
    assert Reranker(package, verify="off").manifest.fusion_weight == 0


def test_unknown_entries_of_a_later_release_are_left_aside(package):
    before = read_manifest(package)
    edit(package, lambda value: value.update(color="blue"))
    assert read_manifest(package) == before


def test_a_folder_without_a_manifest_is_no_package(package):
    (package / MANIFEST_FILE).unlink()
    with pytest.raises(PackageError, match=f"package: not a reranker package.*{MANIFEST_FILE}"):
        read_manifest(package)


def test_a_misspelt_check_is_an_error_and_not_a_weaker_check(package):
    flip_byte(package / "README.md")
    with pytest.raises(CrossforgeError):
        read_manifest(package, "Full")


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w").write_bytes(b"abc")
    manifest = Manifest("base", 48, Calibrator(2, -1), 0.3, 0.5, {"test": "WIN"}, files=file_table(tmp_path))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.files == {
        "weights/w": {"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size": 3}
    }
    assert file_table(tmp_path) == manifest.files
