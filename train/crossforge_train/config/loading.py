"""Reads a config file and applies what the command line overrides."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from crossforge.errors import InputError
from crossforge.files import read_text
from crossforge_train.config.run import Config
from crossforge_train.config.section import Section
from crossforge_train.config.wording import explain

_MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config and apply `a.b=value` overrides.

    Raises:
        InputError: the file is missing or malformed, or a key is unknown, stands twice or holds a wrong value.
    """
    if not path.exists():
        raise InputError(f"{path}: no such config file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a config file in it")
    values = _parsed(read_text(path), f"{path}: not valid YAML")
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping of sections such as 'collection:' and 'training:'")
    return make_config(values, overrides, where=str(path))


def make_config(values: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "config") -> Config:
    """Check the values of a config, after `a.b=value` overrides.

    Args:
        values: sections by name, as in a file.
        overrides: as `--set` takes them.
        where: what an error names as the place of the mistake.

    Raises:
        InputError: a key is unknown or holds a wrong value.
    """
    # A copy, for overrides to go into; a section may be named with nothing in it.
    found = {key: {} if value is None and _is_section(key) else copy.deepcopy(value) for key, value in values.items()}
    for override in overrides:
        _apply(found, override)
    try:
        return Config.model_validate(found)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error)}") from None


def override_of(key: str, value: Any) -> str:
    """What `--set` takes to give a key this value: text stands as it is, unless it would then be read as another."""
    return f"{key}={_quoted(value) if isinstance(value, str) else json.dumps(value)}"


def _quoted(text: str) -> str:
    try:
        if _parsed(text, text) == text:
            return text
    except InputError:
        pass
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).removesuffix("\n")


class _DistinctKeys(yaml.SafeLoader):
    """Refuses a key that stands twice in one section: PyYAML keeps the last one, and drops the other without a word."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        """The section as it stands in the file, before what `<<` names is put into it."""
        section = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in section.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise yaml.YAMLError(
                    f"line {line}: the key {key.value!r} is in line {lines[name]} as well; make them one"
                )
            lines[name] = line
        return section


def _is_section(key: str) -> bool:
    kind = Config.value_type(key)
    return isinstance(kind, type) and issubclass(kind, Section)


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    *parents, leaf = key.strip().split(".")
    if not separator or not leaf:
        raise InputError(f"--set {override}: expected section.key=value, such as training.epochs=2")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: {parent} is a single value, not a section")
    values[leaf] = _parsed(text, f"--set {override:.200}: {text!r:.100} is not a value")


def _parsed(text: str, complaint: str) -> Any:
    """A value in YAML.

    Raises:
        InputError: it is none, or nothing that Python can hold; the message starts with `complaint`.
    """
    try:
        return yaml.load(text, _DistinctKeys)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise InputError(f"{complaint} ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise InputError(f"{complaint} (nested too deeply)") from None
    except ValueError as error:  # a number of too many digits, a date that does not exist
        raise InputError(f"{complaint} ({error})") from None
