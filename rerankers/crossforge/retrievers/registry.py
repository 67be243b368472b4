"""The kinds of first stage by name. To add one: a file, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossforge.plugins import Plugin, Registry

if TYPE_CHECKING:
    from crossforge.retrievers.base import RetrieverKind

LEXICAL = "lexical"
DENSE = "dense"
HYBRID = "hybrid"
RUN = "run"

# The kinds that index the documents here; others search elsewhere.
INDEXED = frozenset({LEXICAL, DENSE, HYBRID})


def kind_of(retriever: object) -> str:
    """The retriever's kind; one of your own that names none counts as lexical."""
    return str(getattr(retriever, "kind", LEXICAL))


RETRIEVERS: Registry[RetrieverKind] = Registry(
    "retrievers",
    "retriever",
    {
        LEXICAL: Plugin("crossforge.retrievers.lexical:LexicalKind", "an index of terms, weighted by TF-IDF or BM25"),
        DENSE: Plugin("crossforge.retrievers.dense:DenseKind", "vectors of a bi-encoder, by their cosine"),
        HYBRID: Plugin("crossforge.retrievers.hybrid:HybridKind", "both lists, fused"),
        RUN: Plugin("crossforge.retrievers.run:RunKind", "TREC runs that any engine has written"),
        "callable": Plugin(
            "crossforge.retrievers.callable:CallableKind", "a Python function, or a LangChain or LlamaIndex retriever"
        ),
        "opensearch": Plugin("crossforge.retrievers.opensearch:OpenSearchKind", "an index of OpenSearch"),
        "elasticsearch": Plugin("crossforge.retrievers.elasticsearch:ElasticsearchKind", "an index of Elasticsearch"),
        "postgres": Plugin(
            "crossforge.retrievers.postgres:PostgresKind", "PostgreSQL: full-text search, or vectors of pgvector"
        ),
    },
)
