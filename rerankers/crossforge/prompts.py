"""Short texts before query and document, such as `query: ` and `passage: `, for models that were trained with them.

They become part of the tokenizer, between its special tokens and the texts. So every client that reads its
`tokenizer.json` puts them there, and none cuts them: sentence-transformers' own prompts are for the query alone.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossforge.errors import InputError

_BYTE_LEVEL, _TEMPLATE, _SEQUENCE = "ByteLevel", "TemplateProcessing", "Sequence"
_HELD = "prompt "  # begins the names of prompts in a tokenizer's template; the text follows
# Texts to see whether a prompt's tokens are the same by themselves as before a text.
_PROBES = ("bread", "The oven", "7 days", "über alles")


@dataclass(frozen=True, slots=True)
class Prompts:
    """What stands before the query and before the document; empty: nothing."""

    query: str = ""
    document: str = ""

    def __bool__(self) -> bool:
        return bool(self.query or self.document)


def as_prompts(value: Prompts | Mapping[str, str] | None) -> Prompts:
    """Prompts from a mapping with the keys `query` and `document`.

    Raises:
        InputError: it has other keys, or values that are no texts.
    """
    if value is None or isinstance(value, Prompts):
        return value or Prompts()
    if not isinstance(value, Mapping) or not set(value) <= {"query", "document"}:
        raise InputError("prompts: expected a mapping with the keys query and document")
    if not all(isinstance(text, str) for text in value.values()):
        raise InputError("prompts: expected texts")
    return Prompts(**value)


def with_prompts(tokenizer: Any, prompts: Prompts) -> Any:
    """A copy of a `tokenizers.Tokenizer` that puts prompts before the texts of a pair.

    The tokens are those of prompt and text as one text. A space at a prompt's end is given to the text where the
    tokenizer keeps spaces with the words that follow.

    Raises:
        InputError: the tokenizer holds other prompts, joins texts in an unknown way, or makes other tokens of a prompt
            and a text together than apart.
    """
    state = json.loads(tokenizer.to_str())
    if held := _held(state):
        if held == prompts:
            return tokenizer
        raise InputError(f"the tokenizer holds the prompts {held.query!r} and {held.document!r} already")
    for text in (prompts.query, prompts.document):
        if text and not text.strip():
            raise InputError("a prompt is blank; leave it out")
    for made, bare in _candidates(state):
        plain = _loaded(made)
        cut = Prompts(*(text.rstrip() if bare else text for text in (prompts.query, prompts.document)))
        if _as_one(tokenizer, plain, prompts, cut):
            return _loaded({**made, "post_processor": _processor(made.get("post_processor"), tokenizer, prompts, cut)})
    raise InputError(
        f"the tokenizer makes other tokens of the prompts {prompts.query!r} and {prompts.document!r} and a text "
        "together than apart; give both, each with a space at its end"
    )


def with_document_token(tokenizer: Any, token: str) -> Any:
    """A copy of a `tokenizers.Tokenizer` that begins the second segment of a pair with a special token.

    Where it joins texts in one segment, as RoBERTa's do, it joins them in two instead, each of which ends as a text
    does by itself.

    Raises:
        InputError: the tokenizer joins texts in an unknown way.
    """
    state = json.loads(tokenizer.to_str())
    made, template = _with_template(state.get("post_processor"))
    start = _second_segment(template)
    template["pair"].insert(start, _token(token, 1))
    ids = [tokenizer.token_to_id(token)]
    template["special_tokens"][token] = {"id": token, "ids": ids, "tokens": [token]}
    return _loaded({**state, "post_processor": {"type": _SEQUENCE, "processors": made}})


def _second_segment(template: dict[str, Any]) -> int:
    """Where the second segment of a template's pair begins; if it had one segment, it has two from then on."""
    pair = template["pair"]
    segments = [next(iter(piece.values()))["type_id"] for piece in pair]
    if 1 in segments:
        return segments.index(1)
    alone = template["single"]
    start = _place(pair, "A") + len(alone) - _place(alone, "A")
    between = [piece for piece in pair[start : _place(pair, "B")] if _name(piece).startswith(_HELD)]
    second = copy.deepcopy(between + pair[_place(pair, "B") :])
    for piece in second:
        next(iter(piece.values()))["type_id"] = 1
    pair[start:] = second
    return start


def held_prompts(tokenizer: Any) -> Prompts:
    """The prompts that a `tokenizers.Tokenizer` got from `with_prompts`."""
    return _held(json.loads(tokenizer.to_str()))


def _held(state: Mapping[str, Any]) -> Prompts:
    for processor in _processors(state.get("post_processor")):
        if processor["type"] == _TEMPLATE:
            found = {"A": "", "B": ""}
            for piece, following in zip(processor["pair"], processor["pair"][1:], strict=False):
                name = _name(piece)
                if name.startswith(_HELD) and "Sequence" in following:
                    found[following["Sequence"]["id"]] = name.removeprefix(_HELD)
            return Prompts(found["A"], found["B"])
    return Prompts()


def _candidates(state: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Tokenizers to try, and whether the prompt's last space is left to them."""
    yield state, False
    yield state, True
    spaced = copy.deepcopy(state)
    changed = [part for part in _byte_levels(spaced) if not part.get("add_prefix_space")]
    for part in changed:
        part["add_prefix_space"] = True
    if changed:
        yield spaced, True


def _byte_levels(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    splitting = state.get("pre_tokenizer") or {}
    parts = splitting.get("pretokenizers", [splitting]) + list(_processors(state.get("post_processor")))
    return [part for part in parts if part.get("type") in (_BYTE_LEVEL, "RobertaProcessing")]


def _as_one(before: Any, after: Any, prompts: Prompts, cut: Prompts) -> bool:
    """Whether prompt and text by themselves give `after` the tokens that both together give `before`."""
    return all(
        _ids(before, whole + probe) == (_ids(before, kept) if kept else []) + _ids(after, probe)
        for whole, kept in ((prompts.query, cut.query), (prompts.document, cut.document))
        for probe in _PROBES
    )


def _processor(found: dict[str, Any] | None, tokenizer: Any, prompts: Prompts, cut: Prompts) -> dict[str, Any]:
    """The post-processor with the prompts in its template."""
    made, template = _with_template(found)
    for sequence, whole, kept in (("A", prompts.query, cut.query), ("B", prompts.document, cut.document)):
        if whole:
            _insert(template, sequence, _HELD + whole, tokenizer.encode(kept, add_special_tokens=False))
    return {"type": _SEQUENCE, "processors": made}


def _with_template(found: dict[str, Any] | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The parts of a post-processor, and the one of them that is the template of a pair."""
    parts = list(_processors(found))
    made = [_as_template(part) for part in parts]
    templates = [part for part in made if part["type"] == _TEMPLATE]
    if len(templates) != 1:
        kinds = ", ".join(part["type"] for part in parts) or "nothing"
        raise InputError(f"the tokenizer joins query and document by {kinds}, which takes nothing before a text")
    # Trimming the offsets of words is what RoBERTa's does besides.
    trims = [
        {"type": _BYTE_LEVEL, "add_prefix_space": part["add_prefix_space"], "trim_offsets": True, "use_regex": True}
        for part in parts
        if part["type"] == "RobertaProcessing" and part.get("trim_offsets")
    ]
    return [*trims, *made], templates[0]


def _processors(found: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if found and found["type"] == _SEQUENCE:
        for part in found["processors"]:
            yield from _processors(part)
    elif found:
        yield found


def _as_template(part: dict[str, Any]) -> dict[str, Any]:
    """BERT's and RoBERTa's ways of joining two texts, as the template that they are; others stay."""
    if part["type"] not in ("BertProcessing", "RobertaProcessing"):
        return copy.deepcopy(part)
    (start, start_id), (end, end_id) = part["cls"], part["sep"]
    second = int(part["type"] == "BertProcessing")
    pair = [_token(start), _text("A"), _token(end), *([] if second else [_token(end)])]
    return {
        "type": _TEMPLATE,
        "single": [_token(start), _text("A"), _token(end)],
        "pair": [*pair, _text("B", second), _token(end, second)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ((start, start_id), (end, end_id))
        },
    }


def _insert(template: dict[str, Any], sequence: str, name: str, encoding: Any) -> None:
    place = _place(template["pair"], sequence)
    template["pair"].insert(place, _token(name, template["pair"][place]["Sequence"]["type_id"]))
    template["special_tokens"][name] = {"id": name, "ids": encoding.ids, "tokens": encoding.tokens}


def _place(pieces: Sequence[Mapping[str, Any]], sequence: str) -> int:
    return next(n for n, piece in enumerate(pieces) if piece.get("Sequence", {}).get("id") == sequence)


def _name(piece: Mapping[str, Any]) -> str:
    """The name of a special token; empty for a text."""
    name: str = piece.get("SpecialToken", {}).get("id", "")
    return name


def _token(name: str, type_id: int = 0) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": type_id}}


def _text(name: str, type_id: int = 0) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": type_id}}


def _loaded(state: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(state))


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found
