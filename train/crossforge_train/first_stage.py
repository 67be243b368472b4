"""The first stage that a config asks for."""

from __future__ import annotations

from collections.abc import Collection

from crossforge.documents import Document
from crossforge.retrievers.base import StoredRetriever
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.config.first_stage import FirstStageConfig


def fit_first_stage(documents: Collection[Document], config: FirstStageConfig) -> StoredRetriever:
    """Index documents as the config says.

    Raises:
        InputError: a setting is wrong, or there is nothing to index.
    """
    return fit_retriever(documents, config.kind, config.settings)
