"""`ChatConfig`: how an endpoint is asked that speaks OpenAI's chat completions, whatever for."""

from __future__ import annotations

from pydantic import Field

from crossforge_train.config.asking import AskingConfig


class ChatConfig(AskingConfig):
    """An OpenAI-compatible endpoint for chat completions."""

    url: str = Field(pattern=r"^https?://", description="base URL, without `/chat/completions`")
    model: str = Field(description="model name, as the endpoint knows it")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable that holds the API key, if one is needed"
    )
    max_document_characters: int = Field(2000, ge=100, description="maximum document characters in the prompt")
    max_new_tokens: int = Field(64, ge=4, description="longest answer, in tokens")
