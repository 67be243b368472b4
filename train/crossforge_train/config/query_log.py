"""The key `log` of the source `documents:`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from crossforge_train.config.section import Section


class QueryLogConfig(Section):
    """Queries that people asked, without judgements."""

    file: Path = Field(description="text file with a query per line, or JSON Lines, CSV, TSV or Parquet")
    query: str = Field("query", description="column of queries")
    count: str = Field("count", description="column with the number of times each query was asked; it may be missing")
    min_count: int = Field(1, ge=1, description="minimum number of times that a query was asked")
    queries: int = Field(4000, ge=10, description="maximum number of queries, the most frequent first")
    model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="bi-encoder that decides, together with TF-IDF, which document answers a query: a folder or hub id",
    )
    agree: int = Field(
        3, ge=1, description="rank within which both must find the document; queries on which they disagree are dropped"
    )
    dev: float = Field(0.1, gt=0, lt=1, description="share of the queries that become dev")
