"""The kind `lexical`: `TfidfRetriever` from the settings of a config."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.base import Retriever
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.retrievers.weighting import Weighting


class LexicalKind:
    """See `RetrieverKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> TfidfRetriever:
        """Index documents.

        Args:
            documents: the corpus.
            settings: `analyzer` ("auto", "word" or "char") and its `language`, `weighting` and `title_weight`; each may
                be left out.

        Raises:
            InputError: a setting is wrong, or there is nothing to index.
        """
        analyzer, options = read_settings(settings)
        return TfidfRetriever.fit(documents, analyzer, **options)

    @staticmethod
    def load(folder: Path) -> TfidfRetriever:
        """Read an index."""
        return TfidfRetriever.load(folder)


def read_settings(settings: Mapping[str, Any]) -> tuple[Analyzer | None, dict[str, Any]]:
    """The analyzer that settings name, None if it is chosen from the corpus; and the other settings.

    Raises:
        InputError: there is no such analyzer or language.
    """
    options = dict(settings)
    analyzer, language = options.pop("analyzer", "auto"), options.pop("language", "english")
    return None if analyzer == "auto" else Analyzer(analyzer, language), options


def bm25_beside(first_stage: Retriever, documents: Collection[Document]) -> TfidfRetriever:
    """The documents indexed with BM25 weights, their texts read as a lexical first stage reads them."""
    return _beside(first_stage, documents, "bm25")


def lexical_rival(first_stage: Retriever, documents: Collection[Document]) -> TfidfRetriever:
    """Another lexical first stage than the given one: BM25, or beside BM25 TF-IDF."""
    weighted_so = isinstance(first_stage, TfidfRetriever) and first_stage.settings["weighting"] == "bm25"
    return _beside(first_stage, documents, "tfidf" if weighted_so else "bm25")


def _beside(first_stage: Retriever, documents: Collection[Document], weighting: Weighting) -> TfidfRetriever:
    if not isinstance(first_stage, TfidfRetriever):
        return TfidfRetriever.fit(documents, weighting=weighting)
    return TfidfRetriever.fit(
        documents, first_stage.analyzer, weighting=weighting, title_weight=first_stage.title_weight
    )
