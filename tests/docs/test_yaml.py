"""The configs that the documentation shows are valid, and every key of a collection's source is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from crossforge_train.config import documents, sources
from crossforge_train.config.run import Config
from crossforge_train.config.section import Section

ROOT = Path(__file__).parents[2]
KeyPath = tuple[str, ...]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]


def examples(page: str) -> list[dict[str, Any]]:
    """The YAML blocks of a page as configs; an indented one stands under `collection.documents`."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [
        {"collection": {"documents": {"corpus": "docs.jsonl", **yaml.safe_load(dedent(block))}}}
        if block.startswith(" ")
        else yaml.safe_load(block)
        for block in blocks
    ]


EXAMPLES = [pytest.param(one, id=f"{page}-{n}") for page in PAGES for n, one in enumerate(examples(page))]


def test_the_documentation_has_examples() -> None:
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_config(example: dict[str, Any]) -> None:
    collection = {"builtin": "pydocs"} if example.get("collection", {}).keys() <= {"replay"} else {}
    values = {"name": "example", **example, "collection": {**collection, **example.get("collection", {})}}
    assert Config.model_validate(values).name == values["name"]


def paths_in(value: object, before: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all keys of an example."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*before, str(key))
            yield from paths_in(inner, (*before, str(key)))


def paths_of(model: type[BaseModel], before: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all keys of a section and of the sections in it."""
    for key, field in model.model_fields.items():
        yield (*before, key)
        for inner in models_in(field.annotation):
            yield from paths_of(inner, (*before, key))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models_in(inner)


def named_in_text(page: str) -> set[str]:
    """What stands in backticks outside the examples."""
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([a-z_.]+)`", text))


def test_every_key_of_documents_stands_in_the_documentation() -> None:
    page = "docs/adaptation.md"
    keys = set(paths_of(documents.DocumentsSource, ("collection", "documents")))
    missing = keys - {path for example in examples(page) for path in paths_in(example)}
    inner = {path[-1] for path in keys if len(path) > 3}
    names = named_in_text(page)
    # A model and an endpoint have keys that the text names once for both; a name that they share with `documents` is
    # theirs unless it says `documents.NAME`.
    explained = {
        path
        for path in missing
        if f"documents.{path[-1]}" in names or (path[-1] in names and (len(path) > 3 or path[-1] not in inner))
    }
    assert len(keys) > 40
    assert sorted(missing - explained) == []


def test_every_key_of_a_source_stands_in_the_documentation() -> None:
    page = "docs/collections.md"
    models = [value for value in vars(sources).values() if isinstance(value, type) and issubclass(value, Section)]
    keys = {key for model in models for key in model.model_fields}
    in_examples = {key for example in examples(page) for path in paths_in(example) for key in path}
    assert len(keys) > 25
    assert sorted(keys - in_examples - named_in_text(page)) == []
