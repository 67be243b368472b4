"""The key `judge` of the source `documents:`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from crossforge_train.config.chat import ChatConfig

# The grades, and the order of the steps, are UMBRELA's: Upadhyay et al., "UMBRELA: UMbrela is the (Open-Source
# Reproduction of the) Bing RELevance Assessor", 2024.
PROMPT = """\
Say how relevant a passage is to a query, on a scale of whole numbers from 0 to 3:
0 = the passage has nothing to do with the query
1 = the passage seems related to the query, but does not answer it
2 = the passage has some answer to the query, but the answer is a bit unclear, or hidden among other things
3 = the passage is dedicated to the query and contains the exact answer

Give 1 if the passage is on the topic in part only, 2 if it says something important about the topic but much else \
besides, and 3 only if all of it is about the topic. If none of these holds, give 0.

Query: {query}

Passage: {text}

Go through these steps, without writing them down:
First consider what whoever asked the query most likely wants.
Then measure how well the passage matches that, and how far it can be trusted.
Weigh both, and decide on a grade.
Answer with JSON alone: {"grade": 0, 1, 2 or 3}"""


# Of the settings, what says how an endpoint is asked.
_ENDPOINTS_OWN = (
    "key_variable",
    "format",
    "temperature",
    "max_new_tokens",
    "concurrency",
    "timeout",
    "retries",
    "price",
    "answer_price",
)


class JudgeConfig(ChatConfig):
    """A language model that grades documents from 0 to 3, behind an OpenAI-compatible endpoint or on this machine."""

    url: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="base URL of the endpoint, without `/chat/completions`; if empty, `transformers` runs the model on "
        "this machine",
    )
    model: str = Field(
        description="model name, as the endpoint knows it; without `url`, a causal model: a folder, or a hub id in "
        "the local cache"
    )
    prompt: str = Field(PROMPT, description="prompt; `{query}` and `{text}` stand for query and document")
    format: Literal["json_schema", "json_object"] | None = Field(
        "json_schema", description="how to make the endpoint answer in JSON; `null`: by the prompt alone"
    )
    temperature: float | None = Field(
        0.0,
        ge=0,
        le=2,
        description="sampling temperature; `null` sends none, for models that accept only their default",
    )
    max_document_characters: int = Field(4000, ge=100, description="maximum document characters in the prompt")
    retries: int = Field(5, ge=0, le=10, description="retries of a failed request")
    batch: int | None = Field(None, ge=1, description="pairs per batch of a model on this machine; `null`: 8")
    depth: int = Field(10, ge=1, le=100, description="candidates to grade for each query")
    relevant: int = Field(2, ge=1, le=3, description="lowest grade that is relevant; lower grades count as judged 0")
    test: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the queries of `log` that become test, in place of its pseudo-queries; 0: none, because "
        "a machine's judgements prove nothing",
    )
    # Of 200 pairs, kappa has a standard deviation of .07; of 800, it is within .05 of the true one in 82 to 91% of
    # draws (benchmarks/noisy_judge.py). Only what people judged is asked about, and their time is the larger cost.
    compared: int = Field(
        800, ge=0, description="maximum number of pairs judged by people that are graded as well, to measure agreement"
    )
    least_kappa: float | None = Field(
        0.3,
        ge=-1,
        le=1,
        description="weighted kappa with people, over 30 or more pairs, below which the grades are not trained on; "
        "`null`: they always are",
    )
    least_posterior: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="leave out a label of relevant if the probability of relevance, given grade and rank, is below "
        "this, and a label of not relevant if it is not; only where people's judgements suffice for `least_kappa`; "
        "0: leave out none",
    )
    max_calls: int = Field(
        10_000,
        ge=1,
        description="maximum number of requests, including retries and those of a killed run for the same pairs; "
        "with a model on this machine, of pairs",
    )
    max_tokens: int | None = Field(
        None, ge=1, description="maximum number of tokens in requests and answers; `null`: no limit"
    )
    price: float | None = Field(
        None, ge=0, description="price of a million tokens, in any currency, for the estimate shown beforehand"
    )
    answer_price: float | None = Field(
        None, ge=0, description="price of a million tokens of the answers, where it differs; `null`: `price`"
    )
    cache: Path = Field(Path("runs/graded"), description="folder where grades are kept")

    @model_validator(mode="after")
    def _places(self) -> JudgeConfig:
        if missing := next((place for place in ("{query}", "{text}") if place not in self.prompt), None):
            raise ValueError(f"prompt has no {missing}")
        return self

    @model_validator(mode="after")
    def _both_prices(self) -> JudgeConfig:
        if self.answer_price is not None and self.price is None:
            raise ValueError("answer_price is for the estimate, which needs price as well")
        return self

    @model_validator(mode="after")
    def _suits_its_place(self) -> JudgeConfig:
        unused = _ENDPOINTS_OWN if self.local else ("batch",)
        usual = {key: type(self).model_fields[key].default for key in unused}
        if given := [key for key in unused if getattr(self, key) != usual[key]]:
            place = "a model on this machine, as judge.url names no endpoint" if self.local else "an endpoint"
            raise ValueError(f"{', '.join(given)}: no use for {place}")
        return self

    @property
    def local(self) -> bool:
        """Whether the model runs on this machine."""
        return not self.url
