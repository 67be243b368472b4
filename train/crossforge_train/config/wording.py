"""Words what is wrong with a config: one clause a key, with the nearest right key or value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from crossforge_train.config.run import Config
from crossforge_train.config.section import Section

_LITERALS = re.compile(r"'([^']*)'")  # how pydantic's message names the values that a key may have
# What was expected of a value that is of another type -> by pydantic's name of the problem.
_EXPECTED = {
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true, false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a section"),
    "path_type": "a path",
    "string_type": "a text",
    "literal_error": "another value",
}
_LONGEST = 200  # characters of a value that a message repeats


def explain(error: ValidationError) -> str:
    """Everything that is wrong with a config, in one line."""
    # A value that may have several types gives one problem for each of them, all for one key.
    problems: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for problem in error.errors():
        problems.setdefault(tuple(_key_parts(problem["loc"])), []).append(problem)
    # A section that might be something else in its place is told by its keys alone.
    outer = {key[:length] for key in problems for length in range(1, len(key))}
    told = [_explain_key(key, found) for key, found in problems.items() if key not in outer]
    return "; ".join(dict.fromkeys(told))


def _explain_key(key: Sequence[str], problems: Sequence[ErrorDetails]) -> str:
    """One clause on a value: what it may be if it is none of that, and else what is wrong with it."""
    # Where only an item is wrong, the value is of the right type.
    deepest = max(len(problem["loc"]) for problem in problems)
    problems = [problem for problem in problems if len(problem["loc"]) == deepest]
    first = next((problem for problem in problems if problem["type"] not in _EXPECTED), problems[0])
    if len({problem["type"] for problem in problems}) == 1 or first["type"] not in _EXPECTED:
        return _explain_one(first["type"], key, first["msg"], first["input"])
    *others, last = dict.fromkeys(word for problem in problems for word in _expected(problem))
    value, words = first["input"], [word for problem in problems for word in _literals(problem)]
    close = difflib.get_close_matches(value, words, 1, 0.5) if isinstance(value, str) else []
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"{'.'.join(key)}: expected {', '.join(others)} or {last} (found {_shown(value)}){meant}"


def _expected(problem: ErrorDetails) -> list[str]:
    return _literals(problem) or [_EXPECTED[problem["type"]]]


def _literals(problem: ErrorDetails) -> list[str]:
    return _LITERALS.findall(problem["msg"]) if problem["type"] == "literal_error" else []


def _key_parts(location: Sequence[int | str]) -> list[str]:
    """The parts of a location that are keys of the file: pydantic adds the names of types."""
    parts: list[str] = []
    kind: Any = Config
    named = False  # whether the next part is the name of one of several types
    for part in location:
        if named and _is_section(kind):
            named = False
            if part != kind.__name__:
                break
        elif _is_section(kind):
            parts.append(str(part))
            held = kind.value_type(str(part))
            kind, named = _value_type(held), len(_members(held)) > 1
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


def _members(annotation: Any) -> list[Any]:
    """The types of which a value may be one, without None."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, UnionType):
        return [annotation]
    return [found for kind in get_args(annotation) if kind is not type(None) for found in _members(kind)]


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
    if expected := _expected_alone(kind, location, value):
        return f"{key}: expected {expected} (found {_shown(value)})"
    message = message.removeprefix("Value error, ")
    if not key:
        return message
    return f"{key}: {message}" if kind == "value_error" else f"{key}: {message} (found {_shown(value)})"


def _expected_alone(kind: str, location: Sequence[str], value: Any) -> str:
    """What a value of a single type should have been, with the way there; empty where pydantic's words do."""
    expected = _EXPECTED.get(kind, "")
    if expected == "a section":
        known = _known_keys(location)[:3] if _is_section(_kind_of(location)) else []
        return f"{expected} with keys such as {', '.join(known)}" if known else expected
    if expected == "a list":
        return f"{expected} such as [{value}]" if isinstance(value, str) else expected
    if expected == "a text" and isinstance(value, dict):  # of `query: `, which YAML takes for a section
        return f"{expected}; put it in quotes"
    return expected if expected in ("a text", "a path") else ""


def _shown(value: Any) -> str:
    try:
        found = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of too many digits"
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def _known_keys(parents: Iterable[str]) -> list[str]:
    return list(_kind_of(parents).known_keys())


def _kind_of(location: Iterable[str]) -> Any:
    """The type of what stands under a key; of a list of sections, that of a section. None if it is unknown."""
    section: Any = Config
    for part in location:
        if not _is_section(section):
            return None
        kind = _value_type(section.value_type(part.partition("[")[0]))
        section = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return section
