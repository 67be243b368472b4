"""A recipe comes with a package, so it names nothing outside of it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossforge.documents import as_documents
from crossforge.errors import PackageError
from crossforge.files import write_json
from crossforge.retrievers import recipe, trust
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.recipe import can_repeat, fit_by_recipe, save_recipe

DOCUMENTS = as_documents(["bread oven", "boat sail"])
SERVER = {"url": "http://127.0.0.1:9", "index": "x", "create_index": True}
OUTSIDE: dict[str, dict[str, Any]] = {
    "callable": {"function": "never_imported:search"},
    "opensearch": SERVER,
    "elasticsearch": SERVER,
    "postgres": {"table": "documents"},
    "run": {"runs": "somewhere.trec"},
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_recipe_calls_no_function_and_reaches_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "never_imported.py").write_text("def search(queries, k): return {}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trust, "_NAMED", {"never_imported:search", SERVER["url"]})
    monkeypatch.setattr(recipe, "fit_retriever", pytest.fail)
    write_json(tmp_path / "recipe.json", {"kind": kind, "settings": OUTSIDE[kind]})
    with pytest.raises(PackageError, match=f"recipe.json: '{kind}' searches elsewhere, which a package alone cannot"):
        fit_by_recipe(tmp_path, DOCUMENTS)
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize("kind", ["dense", "hybrid"])
def test_an_encoder_is_never_a_bare_path(tmp_path: Path, tiny_onnx: Path, kind: str) -> None:
    dense = {"encoder": str(tiny_onnx)}
    settings = dense if kind == "dense" else {"dense": dense}
    write_json(tmp_path / "recipe.json", {"kind": kind, "settings": settings})
    with pytest.raises(PackageError, match=r"recipe\.json: '.*' is no part of the package"):
        fit_by_recipe(tmp_path, DOCUMENTS)


def test_only_what_a_recipe_can_repeat_is_written_into_one(tmp_path: Path) -> None:
    retriever = fit_retriever(DOCUMENTS, "lexical", {"weighting": "bm25"})
    assert can_repeat(retriever)
    save_recipe(tmp_path, retriever)
    assert fit_by_recipe(tmp_path, DOCUMENTS).settings == retriever.settings
    members = ("name", "description", "search", "similarities", "save")
    engine: Any = SimpleNamespace(kind="opensearch", settings=SERVER, **dict.fromkeys(members))
    assert not can_repeat(engine)
