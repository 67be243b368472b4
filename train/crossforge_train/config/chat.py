"""`ChatConfig`: how an endpoint is asked that speaks OpenAI's chat completions, whatever for."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.section import Section


class ChatConfig(Section):
    """An endpoint that speaks OpenAI's chat completions."""

    url: str = Field(pattern=r"^https?://", description="base URL, without `/chat/completions`")
    model: str = Field(description="model name, as the endpoint knows it")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the API key, if one is needed"
    )
    max_document_characters: int = Field(2000, ge=100, description="document characters in the prompt")
    max_new_tokens: int = Field(64, ge=4, description="longest answer, in tokens")
    concurrency: int = Field(4, ge=1, le=64, description="concurrent requests")
    timeout: float = Field(60, gt=0, description="seconds before a request fails")
    retries: int = Field(3, ge=0, le=10, description="retries of a failed request")
