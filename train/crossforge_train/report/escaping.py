"""Text from outside as Markdown that shows it as it is: names of files, collections and systems may hold anything."""

from __future__ import annotations

import re

_INLINE = re.compile(r"[\\`*\[\]<>|&~$]")
# An underscore within a word means nothing, and names are full of them.
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
# Addresses become links of their own accord.
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
# What begins a heading, a list, a rule or an underlined heading where it stands first.
_BLOCK = re.compile(r"^(?P<before>\d*)(?P<mark>[#+\-=]|(?<=\d)[.)](?=\s|$))")


def plain(text: str) -> str:
    """The text on one line, with whatever Markdown would read as more than text escaped, also within a table."""
    found = _INLINE.sub(r"\\\g<0>", _on_one_line(text))
    found = _ADDRESS.sub(r"\\\g<0>", _UNDERSCORE.sub(r"\\_", found))
    return _BLOCK.sub(r"\g<before>\\\g<mark>", found)


def code(text: str) -> str:
    """The text on one line as a code span, not for tables; its fence is longer than any row of backticks within."""
    found = _on_one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", found)), default=0))
    space = " " if found.startswith("`") or found.endswith("`") or not found else ""
    return f"{fence}{space}{found}{space}{fence}"


def _on_one_line(text: str) -> str:
    """Without control characters and marks that turn the direction; "?" for what UTF-8 cannot encode."""
    encoded = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(character if character.isprintable() else " " for character in encoded).split())
