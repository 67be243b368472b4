"""The first stage that a config asks for."""

from __future__ import annotations

from collections.abc import Collection

from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.config.first_stage import FirstStageConfig


def fit_first_stage(documents: Collection[Document], config: FirstStageConfig) -> TfidfRetriever:
    """Index documents as the config says."""
    analyzer = None if config.analyzer == "auto" else Analyzer(config.analyzer, config.language)
    return TfidfRetriever.fit(documents, analyzer, weighting=config.weighting, title_weight=config.title_weight)
