"""The kinds of first stage by name. To add one: a file, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from crossforge.retrievers.base import RetrieverKind

LEXICAL = "lexical"

RETRIEVERS: Registry[RetrieverKind] = Registry(
    "retrievers",
    "retriever",
    {LEXICAL: Plugin("crossforge.retrievers.lexical:LexicalKind", "an index of terms, weighted by TF-IDF or BM25")},
)
