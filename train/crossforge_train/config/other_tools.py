"""Sources in the formats of other tools: one pydantic model each."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from crossforge_train.config.files import SplitFiles
from crossforge_train.config.section import Section
from crossforge_train.config.thresholds import Thresholds


class FlagEmbeddingSource(Section):
    """Training rows of FlagEmbedding: `query`, `pos`, `neg`."""

    files: SplitFiles = Field(description="JSON Lines file, or one for each split")


class CohereSource(Section):
    """Rows for fine-tuning Cohere's reranker: `query`, `relevant_passages`, `hard_negatives`."""

    files: SplitFiles = Field(description="JSON Lines file, or one for each split")


class MsSwiftSource(Section):
    """Rows for rerankers and embeddings of ms-swift: messages, or `query`, `response`, `rejected_response`."""

    files: SplitFiles = Field(description="JSON Lines file, or one for each split")


class TevatronSource(Section):
    """Training rows of Tevatron, with passages or, if `corpus` is given, with document ids."""

    files: SplitFiles = Field(description="JSON Lines file, or one for each split")
    corpus: Path | None = Field(None, description="table of `docid`, `title`, `text`, if rows hold document ids")


class SentenceTransformersSource(Section):
    """A table as sentence-transformers trains on it: columns count by order, except for labels and scores."""

    files: SplitFiles = Field(description="JSON Lines, CSV, TSV or Parquet file, or one for each split")
    thresholds: Thresholds = ()  # not null as elsewhere: that is how earlier runs recorded it


class LlamaIndexSource(Section):
    """`EmbeddingQAFinetuneDataset.save_json` of LlamaIndex: `queries`, `corpus`, `relevant_docs`."""

    files: SplitFiles = Field(description="JSON file, or one for each split")


class LangChainSource(Section):
    """Documents of LangChain, and queries with the ids of relevant documents."""

    documents: Path = Field(
        description="documents as JSON, one per line or in a list: `page_content`, `id`, `metadata`"
    )
    id_key: str | None = Field(None, description="metadata key that holds the id; `null`: `id`")
    queries: SplitFiles = Field(description="JSON object of query → ids, or rows of both; or one file for each split")
    query_key: str = Field("query", description="key of the query in a row or in its `inputs`")
    ids_key: str = Field("ids", description="key of the ids in a row or in its `outputs`")
