"""The config section `package`."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.section import Section


class PackageConfig(Section):
    """The reranker package."""

    allow_regression: bool = Field(False, description="package the reranker even if it is worse than the first stage")
    budget_ms: float | None = Field(
        None,
        gt=0,
        description="milliseconds that one query may take on this machine; depth, passages and backend are picked "
        "on dev to stay within them",
    )
    int8: bool = Field(False, description="add an int8 model if it costs at most 0.002 of the metric on dev")
    include_corpus: bool = Field(False, description="include corpus and index, for `crossforge search`")
