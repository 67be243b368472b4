"""The source `documents:` of a `collection:` section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from crossforge_train.config.chat import ChatConfig
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.config.plugins import OpenSection
from crossforge_train.config.query_log import QueryLogConfig
from crossforge_train.config.section import Section, Seed
from crossforge_train.registries import MAKERS

Quota = Annotated[float, Field(ge=0, le=100)]


class DocumentColumns(Section):
    """Columns of the documents."""

    id: str | None = Field(None, description="document id; `null`: `_id`, `doc_id`, `id`, `docid` or the row number")
    title: str = Field("title", description="document title; only a column of this default name may be missing")
    text: str = Field("text", description="document text")


class GeneratorConfig(Section):
    """A seq2seq or causal model of `transformers` that writes queries."""

    model: str = Field(description="folder or hub id")
    prompt: str = Field(
        "Write a short search query that the following text answers.\n\n{text}\n\nQuery:",
        description="prompt; `{text}` stands for the document",
    )
    queries: int = Field(1, ge=1, le=10, description="queries per document")
    max_document_tokens: int = Field(256, ge=16, description="maximum document tokens in the prompt")
    max_new_tokens: int = Field(32, ge=4, le=256, description="longest query, in tokens")
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature; 0 takes the likeliest query")
    batch: int = Field(8, ge=1, description="documents per batch")
    cache: Path = Field(Path("runs/generated"), description="folder where generated queries are kept")

    @model_validator(mode="after")
    def _prompts(self) -> GeneratorConfig:
        _check_prompt(self.prompt, self.queries, self.temperature)
        return self


class EndpointConfig(ChatConfig):
    """An OpenAI-compatible endpoint that writes queries."""

    prompt: str = Field(
        "Write a short search query that the following text answers. Answer with the query alone.\n\n{text}",
        description="prompt; `{text}` stands for the document",
    )
    queries: int = Field(1, ge=1, le=10, description="queries per document")
    temperature: float | None = Field(
        0.7,
        ge=0,
        le=2,
        description="sampling temperature; `null` sends none, for models that accept only their default",
    )
    cache: Path = Field(Path("runs/generated"), description="folder where generated queries are kept")

    @model_validator(mode="after")
    def _prompts(self) -> EndpointConfig:
        _check_prompt(self.prompt, self.queries, self.temperature)
        return self


def _check_prompt(prompt: str, queries: int, temperature: float | None) -> None:
    if "{text}" not in prompt:
        raise ValueError("prompt has no {text}, where the document goes")
    if queries > 1 and temperature == 0:
        raise ValueError(f"queries is {queries}, but at temperature 0 they would all be the same")


def _what_it_makes(kind: str) -> str:
    return MAKERS.built_in[kind].description


class Quotas(OpenSection):
    """Share of each kind of pseudo-query; a kind that falls short leaves its places to the others.

    The name of a third party's maker is also a key.
    """

    plugins = MAKERS

    title: Quota = Field(1, description=_what_it_makes("title"))
    sentence: Quota = Field(1, description=_what_it_makes("sentence"))
    keywords: Quota = Field(1, description=_what_it_makes("keywords"))
    question: Quota = Field(1, description=_what_it_makes("question"))
    generator: Quota = Field(0, description=_what_it_makes("generator"))
    endpoint: Quota = Field(0, description=_what_it_makes("endpoint"))

    @classmethod
    def plugin_type(cls, name: str) -> Any:
        """A quota, whatever the maker."""
        return Quota


def _file_alone(value: Any) -> Any:
    return {"file": value} if isinstance(value, str | Path) else value


def _path_alone(value: Any) -> Any:
    return {"corpus": value} if isinstance(value, str | Path) else value


class DocumentsSource(Section):
    """Documents alone; queries are generated from them."""

    corpus: Path = Field(description="a table, a text file, a BEIR folder, or a folder of `.md` and `.txt` files")
    columns: DocumentColumns = Field(DocumentColumns(), description="columns of the table")
    queries: int = Field(4000, ge=10, description="maximum number of pseudo-queries")
    per_document: int = Field(2, ge=1, le=10, description="maximum number of pseudo-queries of one kind per document")
    quotas: Quotas = Field(Quotas(), description="share of each kind of pseudo-query")
    kept_in: float = Field(
        0.25, ge=0, le=1, description="share of the training queries whose words are not removed from their documents"
    )
    consistency: int | None = Field(
        20, ge=1, description="rank within which a pseudo-query must retrieve its own document; `null`: no check"
    )
    consistency_model: str | None = Field(
        None, description="SentenceTransformer that is asked when TF-IDF does not retrieve that document"
    )
    dev: float = Field(0.05, gt=0, lt=0.5, description="share of the documents whose queries go to dev")
    test: float = Field(0.1, gt=0, lt=0.5, description="share of the documents whose queries go to test")
    log: Annotated[QueryLogConfig | None, BeforeValidator(_file_alone)] = Field(
        None, description="queries that people asked, without judgements; some become dev, the others join train"
    )
    judge: JudgeConfig | None = Field(
        None, description="language model that judges which documents are relevant to the queries of `log`"
    )
    judged: Path | None = Field(
        None, description="folder that `crossforge judge` wrote; 20 or more judged queries become dev"
    )
    seed: Seed = Field(0, description="seed for drawing pseudo-queries")
    generator: GeneratorConfig | None = Field(None, description="model for `quotas.generator`")
    endpoint: EndpointConfig | None = Field(None, description="endpoint for `quotas.endpoint`")

    @model_validator(mode="after")
    def _fits(self) -> DocumentsSource:
        if not any(self.quotas.model_dump().values()):
            raise ValueError("quotas are all 0: no pseudo-query is left")
        if self.judge is not None and self.log is None:
            raise ValueError("judge grades documents for the queries of log: give both")
        if self.judge is not None and self.log is not None and self.judge.test + self.log.dev >= 1:
            raise ValueError("log.dev and judge.test together leave no query of the log to train on")
        for kind in ("generator", "endpoint"):
            if bool(getattr(self.quotas, kind)) != (getattr(self, kind) is not None):
                raise ValueError(f"{kind} and quotas.{kind} belong together: give both or neither")
        return self


DocumentsKey = Annotated[DocumentsSource | None, BeforeValidator(_path_alone)]
