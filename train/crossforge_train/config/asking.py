"""`AskingConfig`: how an endpoint is asked over HTTP, whatever it answers."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.section import Section


class AskingConfig(Section):
    """An endpoint that answers over HTTP."""

    url: str = Field(pattern=r"^https?://", description="URL of the endpoint")
    key_variable: str = Field(description="environment variable that holds the API key, if one is needed")
    concurrency: int = Field(4, ge=1, le=64, description="concurrent requests")
    timeout: float = Field(60, gt=0, description="seconds before a request fails")
    retries: int = Field(3, ge=0, le=10, description="retries of a failed request")
