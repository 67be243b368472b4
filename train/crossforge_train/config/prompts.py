"""The config section `training.prompts`."""

from __future__ import annotations

from pydantic import Field

from crossforge.prompts import Prompts
from crossforge_train.config.section import Section


class PromptsConfig(Section):
    """Texts before query and document, for encoders trained with them."""

    query: str = Field("", description="text before each query, such as `query: `, for encoders trained with one")
    document: str = Field("", description="text before each document, such as `passage: `")

    @property
    def texts(self) -> Prompts:
        """As the runtime takes them."""
        return Prompts(self.query, self.document)
