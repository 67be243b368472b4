"""Texts around query and document, for models that were trained to answer a question about both.

Only the document is ever cut: neither the template nor the instruction in it, nor the query.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import write_json
from crossforge.package_files import read_package_json
from crossforge.tokenization import CHARACTERS, EncodedPair, PairTokenizer, cleaned, read_tokenizer

# Holds a folder's template in the form that needs no template language.
TEMPLATE_FILE = "pair_template.json"
# Stands for the instruction in `PairTemplate.instructed`.
INSTRUCTION = "INSTRUCTIONPLACEHOLDER"
NO_TEMPLATE = "the model has no template, so nothing takes an instruction; leave it out"
_TEXTS = {"before", "between", "after"}


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """What a model reads is `before` + query + `between` + document + `after`.

    Attributes:
        before: with the default instruction, if there is one.
        between: likewise.
        after: likewise.
        instructed: the same three texts with `INSTRUCTION` in place of an instruction; None if the template has no
            place for one.
    """

    before: str
    between: str
    after: str
    instructed: tuple[str, str, str] | None = None

    def around(self, query: str, document: str) -> str:
        """The text that the model reads."""
        return f"{self.before}{query}{self.between}{document}{self.after}"

    def with_instruction(self, instruction: str) -> PairTemplate:
        """The template with another instruction.

        Raises:
            InputError: it has no place for one, or the instruction is no text.
        """
        if not isinstance(instruction, str) or not instruction.strip():
            raise InputError("the instruction is empty; leave it out for the default one")
        if self.instructed is None:
            raise InputError("this model's template has no place for an instruction; leave it out")
        before, between, after = (text.replace(INSTRUCTION, cleaned(instruction.strip())) for text in self.instructed)
        return PairTemplate(before, between, after, self.instructed)


def read_template(folder: Path) -> PairTemplate | None:
    """The template that `write_template` left in a folder; None if it left none.

    Raises:
        PackageError: it is not one.
    """
    path = folder / TEMPLATE_FILE
    if not path.is_file():
        return None
    found = read_package_json(path)
    instructed = found.pop("instructed", None)
    if set(found) != _TEXTS or not _are_texts(found.values()) or not _are_three(instructed):
        raise PackageError(f"{path}: expected the texts before, between and after; copy the model again")
    return PairTemplate(**found, instructed=tuple(instructed) if instructed else None)


def _are_texts(found: Iterable[Any]) -> bool:
    return all(isinstance(text, str) for text in found)


def _are_three(found: Any) -> bool:
    return found is None or (isinstance(found, list) and len(found) == len(_TEXTS) and _are_texts(found))


def write_template(folder: Path, template: PairTemplate) -> None:
    """Write a template into a model's folder."""
    write_json(folder / TEMPLATE_FILE, asdict(template))


class TemplateTokenizer(PairTokenizer):
    """Encodes pairs within a template, as one text; all else is as in `PairTokenizer`.

    Args:
        tokenizer_file: path to a `tokenizer.json`.
        max_length: maximum tokens of the template, query and document together.
        template: the texts around both.
        pad_id: id of the padding token.

    Raises:
        PackageError: `tokenizer_file` cannot be read.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, template: PairTemplate, *, pad_id: int = 0) -> None:
        super().__init__(tokenizer_file, max_length, pad_id=pad_id, segments=False)
        self.template = template
        self._whole = read_tokenizer(tokenizer_file)
        self._whole.no_truncation()
        self._special_tokens = len(self._ids(template.around("", "")))

    def instructed(self, instruction: str) -> TemplateTokenizer:
        """The same tokenizer with another instruction in its template; see `PairTemplate.with_instruction`."""
        found = copy.copy(self)
        found.template = self.template.with_instruction(instruction)
        found._special_tokens = len(found._ids(found.template.around("", "")))
        return found

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPair]:
        """See `PairTokenizer.encode`."""
        for query in dict.fromkeys(query for query, _ in pairs):
            self.require_room(query)
        return [self._encoded(cleaned(query), cleaned(document)) for query, document in pairs]

    def document_room(self, query: str) -> int:
        """See `PairTokenizer.document_room`."""
        return self.max_length - len(self._ids(self.template.around(cleaned(query), "")))

    def _encoded(self, query: str, document: str) -> EncodedPair:
        end = self.max_length * CHARACTERS
        found = self._cut(query, document[:end])
        if len(document) > end and not found.truncated:  # its tokens are so long that all of it may fit
            found = self._cut(query, document)
        return found

    def _cut(self, query: str, document: str) -> EncodedPair:
        """Encode all of it and take out the document's last tokens, as many as do not fit."""
        start = len(self.template.before) + len(query) + len(self.template.between)
        encoding = self._whole.encode(self.template.around(query, document), add_special_tokens=False)
        ids: list[int] = encoding.ids
        excess = len(ids) - self.max_length
        if excess <= 0:
            return EncodedPair(ids, [0] * len(ids), truncated=False)
        stop = start + len(document)
        own = [place for place, (first, last) in enumerate(encoding.offsets) if first >= start and last <= stop]
        dropped = set(own[-excess:])
        kept = [token for place, token in enumerate(ids) if place not in dropped]
        return EncodedPair(kept, [0] * len(kept), truncated=True)

    def _ids(self, text: str) -> Any:
        return self._whole.encode(text, add_special_tokens=False).ids
