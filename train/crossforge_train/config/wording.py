"""Words what is wrong with a config: one clause a key, with the nearest right key or value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from crossforge_train.config.run import Config
from crossforge_train.config.section import Section

_LITERALS = re.compile(r"'([^']*)'")  # how pydantic's message names the values that a key may have
_LONGEST = 200  # characters of a value that a message repeats


def explain(error: ValidationError) -> str:
    """Everything that is wrong with a config, in one line."""
    # A value that may have several types gives one problem for each of them, all for one key.
    problems: dict[str, str] = {}
    for problem in error.errors():
        location = _key_parts(problem["loc"])
        message = _explain_one(problem["type"], location, problem["msg"], problem["input"])
        problems.setdefault(".".join(location) or message, message)
    return "; ".join(problems.values())


def _key_parts(location: Sequence[int | str]) -> list[str]:
    """The parts of a location that are keys of the file: pydantic adds the names of types."""
    parts: list[str] = []
    kind: Any = Config
    for part in location:
        if _is_section(kind):
            parts.append(str(part))
            kind = _value_type(kind.value_type(str(part)))
        elif get_origin(kind) is tuple and isinstance(part, int) and _is_section(get_args(kind)[0]):
            parts[-1] += f"[{part}]"
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict and part != "[key]":
            parts.append(str(part))
            kind = None
        else:
            break
    return parts


def _value_type(annotation: Any) -> Any:
    """What may stand under a key: of `X | None` the X, of `Annotated[X, …]` the X."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _explain_one(kind: str, location: Sequence[str], message: str, value: Any) -> str:
    key = ".".join(location)
    if kind == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join([*location[:-1], close[0]])}?" if close else f"known here: {', '.join(known)}"
        return f"unknown key {key}; {hint}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error" and (
        close := difflib.get_close_matches(
            value if isinstance(value, str) else _shown(value), _LITERALS.findall(message), 1, 0.5
        )
    ):
        return f"{key}: no value {_shown(value)}; did you mean {close[0]}?"
    message = message.removeprefix("Value error, ")
    if not key:
        return message
    return f"{key}: {message}" if kind == "value_error" else f"{key}: {message} (found {_shown(value)})"


def _shown(value: Any) -> str:
    try:
        found = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of too many digits"
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def _known_keys(parents: Iterable[str]) -> list[str]:
    section: Any = Config
    for parent in parents:
        kind = _value_type(section.value_type(parent.partition("[")[0]))
        section = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return list(section.known_keys())
