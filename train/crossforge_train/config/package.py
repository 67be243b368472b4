"""The config section `package`."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.section import Section


class PackageConfig(Section):
    """The reranker package."""

    allow_regression: bool = Field(False, description="package a reranker that is worse than the first stage")
    int8: bool = Field(
        False, description="also pack an int8 model, if it costs no more than 0.002 of the metric on dev"
    )
    include_corpus: bool = Field(False, description="put corpus and index into the package, for `crossforge search`")
