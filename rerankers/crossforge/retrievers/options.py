"""Checks the options of a kind of first stage: a frozen dataclass says which there are, their types and defaults."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from crossforge.errors import InputError

Options = TypeVar("Options")

_WHERE = "first_stage.options"


def read_options(settings: Mapping[str, Any], options: type[Options], secrets: str = "") -> Options:
    """The settings as a value of that dataclass.

    Args:
        settings: what a config says.
        options: a dataclass with a field for each option.
        secrets: where credentials belong, for the refusal of those that stand in a config.

    Raises:
        InputError: an option is unknown, missing, of the wrong type, or a secret.
    """
    known = {field.name: field for field in fields(options)}  # type: ignore[arg-type]
    for key in settings:
        if secrets and any(word in key.lower() for word in ("password", "passwd", "user", "api_key", "token", "auth")):
            raise InputError(f"{_WHERE}.{key}: credentials do not belong into a config; {secrets}")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"have {', '.join(known)}"
            raise InputError(f"unknown key {_WHERE}.{key}; {hint}")
    types = get_type_hints(options)
    for key, field in known.items():
        if key in settings:
            _require_type(key, settings[key], types[key])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{_WHERE}.{key} is missing")
    return options(**settings)


def refuse_option(key: str, problem: str) -> InputError:
    """The error for an option whose value cannot be used."""
    return InputError(f"{_WHERE}.{key}: {problem}")


def _require_type(key: str, value: object, wanted: Any) -> None:
    allowed = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    plain = tuple(get_origin(one) or one for one in allowed)
    is_number = float in plain and isinstance(value, int)
    if (isinstance(value, bool) and bool not in plain) or not (isinstance(value, plain) or is_number):
        names = " or ".join(getattr(one, "__name__", str(one)) for one in plain)
        raise refuse_option(key, f"expected {names.replace('str', 'a text')} (found {value!r})")
