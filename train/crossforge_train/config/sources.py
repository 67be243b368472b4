"""What a `collection:` section may name as its source: one pydantic model a kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from crossforge_train.config.clicks import ClicksSource
from crossforge_train.config.documents import DocumentsKey
from crossforge_train.config.files import Split, SplitFiles, files_alone, one_split
from crossforge_train.config.other_tools import (
    CohereSource,
    FlagEmbeddingSource,
    LangChainSource,
    LlamaIndexSource,
    MsSwiftSource,
    SentenceTransformersSource,
    TevatronSource,
)
from crossforge_train.config.plugins import OpenSection
from crossforge_train.config.section import Section
from crossforge_train.config.thresholds import Thresholds
from crossforge_train.registries import READERS


def _one_file(value: Any) -> Any:
    return [value] if isinstance(value, str | Path) else value


SeveralFiles = Annotated[tuple[Path, ...], BeforeValidator(_one_file), Field(min_length=1)]


class CorpusColumns(Section):
    """Columns of a corpus."""

    id: str = Field("_id", description="document id")
    title: str = Field("title", description="document title; the column may be missing")
    text: str = Field("text", description="document text")


class QueryColumns(Section):
    """Columns of queries."""

    id: str = Field("_id", description="query id")
    text: str = Field("text", description="query text")


class QrelsColumns(Section):
    """Columns of judgements."""

    query: str = Field("query-id", description="query id")
    document: str = Field("corpus-id", description="document id")
    label: str = Field(
        "score",
        description="whole number, 0 for not relevant, or any number with `thresholds`; without any column of labels, "
        "every row counts as 1",
    )


class PairColumns(Section):
    """Columns of (query, relevant text) pairs."""

    query: str = Field("query", description="query text")
    text: str = Field("text", description="document text")
    title: str = Field("title", description="document title; the column may be missing")


class TripleColumns(PairColumns):
    """Columns of (query, text, label) triples."""

    label: str = Field("label", description="whole number, 0 for judged not relevant; or any number with `thresholds`")


class FilesSource(Section):
    """Corpus, queries and judgements in separate tables."""

    corpus: Path = Field(description="table of documents")
    queries: Path = Field(description="table of queries")
    qrels: SplitFiles = Field(description="table of judgements, or one for each split")
    corpus_columns: CorpusColumns = Field(CorpusColumns(), description="columns of the documents")
    query_columns: QueryColumns = Field(QueryColumns(), description="columns of the queries")
    qrels_columns: QrelsColumns = Field(QrelsColumns(), description="columns of the judgements")
    thresholds: Thresholds = None


class PairsSource(Section):
    """Rows of a query and a relevant text."""

    files: SplitFiles = Field(description="table of pairs, or one for each split")
    columns: PairColumns = Field(PairColumns(), description="columns of the pairs")


class TriplesSource(Section):
    """Rows of a query, a text and its relevance."""

    files: SplitFiles = Field(description="table of triples, or one for each split")
    columns: TripleColumns = Field(TripleColumns(), description="columns of the triples")
    thresholds: Thresholds = None


class TrecSource(Section):
    """A TREC test collection."""

    documents: SeveralFiles = Field(description="file of documents, or several")
    topics: SeveralFiles = Field(description="file of topics, or several")
    qrels: SplitFiles = Field(description="file of judgements, or one for each split")
    topic_field: Literal["title", "description", "narrative"] = Field(
        "title", description="part of a topic to use as the query"
    )


class DatasetsSource(Section):
    """A dataset of the `datasets` library: pairs, triples, or a collection in three configurations."""

    path: str = Field(description="folder or hub id")
    config: str | None = Field(None, description="configuration of pairs or triples")
    revision: str | None = Field(None, description="commit or tag of a hub dataset")
    columns: TripleColumns = Field(TripleColumns(), description="columns of pairs or triples")
    corpus: str | None = Field(None, description="configuration of the documents")
    queries: str | None = Field(None, description="configuration of the queries")
    qrels: str | None = Field(None, description="configuration of the judgements")
    corpus_columns: CorpusColumns = Field(CorpusColumns(), description="columns of the documents")
    query_columns: QueryColumns = Field(QueryColumns(), description="columns of the queries")
    qrels_columns: QrelsColumns = Field(QrelsColumns(), description="columns of the judgements")
    thresholds: Thresholds = None

    @model_validator(mode="after")
    def _whole(self) -> DatasetsSource:
        named = [self.corpus, self.queries, self.qrels]
        if any(named) and not all(named):
            raise ValueError("corpus, queries and qrels belong together: give all three or none of them")
        if self.corpus and self.config:
            raise ValueError("config is for rows of pairs or triples; corpus, queries and qrels name configurations")
        return self


def _what_it_is(kind: str) -> str:
    return READERS.built_in[kind].description


class Source(OpenSection):
    """Exactly one kind of source: a built-in one, or a third party's reader by its name."""

    plugins = READERS
    no_keys = frozenset({"mix"})  # a field of `AnySource`: a part of a mix is no mix

    builtin: Literal["pydocs"] | None = Field(None, description=_what_it_is("builtin"))
    beir: Path | None = Field(None, description=_what_it_is("beir"))
    files: FilesSource | None = Field(None, description=_what_it_is("files"))
    pairs: Annotated[PairsSource | None, BeforeValidator(files_alone)] = Field(None, description=_what_it_is("pairs"))
    triples: Annotated[TriplesSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("triples")
    )
    trec: TrecSource | None = Field(None, description=_what_it_is("trec"))
    datasets: Annotated[
        DatasetsSource | None, BeforeValidator(lambda value: {"path": value} if isinstance(value, str) else value)
    ] = Field(None, description=_what_it_is("datasets"))
    ir_datasets: Annotated[dict[Split, str] | None, BeforeValidator(one_split)] = Field(
        None, description=_what_it_is("ir_datasets")
    )
    flag_embedding: Annotated[FlagEmbeddingSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("flag_embedding")
    )
    cohere: Annotated[CohereSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("cohere")
    )
    ms_swift: Annotated[MsSwiftSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("ms_swift")
    )
    tevatron: Annotated[TevatronSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("tevatron")
    )
    sentence_transformers: Annotated[SentenceTransformersSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("sentence_transformers")
    )
    llama_index: Annotated[LlamaIndexSource | None, BeforeValidator(files_alone)] = Field(
        None, description=_what_it_is("llama_index")
    )
    langchain: LangChainSource | None = Field(None, description=_what_it_is("langchain"))
    clicks: ClicksSource | None = Field(None, description=_what_it_is("clicks"))
    documents: DocumentsKey = Field(None, description=_what_it_is("documents"))

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if len(named := self._named()) != 1:
            found = f"; found {' and '.join(named)}" if named else ""
            raise ValueError(f"give exactly one of {', '.join([*self._built_in(), *self.plugin_keys()])}{found}")
        return self

    def chosen(self) -> tuple[str, Any]:
        """The kind of source that was named, and its settings."""
        (kind,) = self._named()
        return kind, getattr(self, kind)

    def _named(self) -> list[str]:
        others = [name for name in self.model_extra or {} if getattr(self, name) is not None]
        return [kind for kind in self._built_in() if getattr(self, kind) is not None] + others

    @classmethod
    def plugin_type(cls, name: str) -> Any:
        """The settings that a third party's reader declares; anything if it declares none."""
        return READERS.load(name).settings or Any

    @classmethod
    def _built_in(cls) -> list[str]:
        return list(Source.model_fields)


class MixedSource(Source):
    """One of several sources."""

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="prefix of its ids; `null`: the last part of its path",
    )
    weight: float = Field(1.0, gt=0, le=100, description="how often each of its training queries occurs in the mix")

    @model_validator(mode="after")
    def _label_begins_ids(self) -> MixedSource:
        if self.label.split() != [self.label]:
            raise ValueError(
                f"ids cannot begin with {self.label!r}, the last part of the source's path: give it a name"
            )
        return self

    @property
    def label(self) -> str:
        """What its ids begin with."""
        kind, settings = self.chosen()
        place = getattr(settings, "path", settings)
        return self.name or (Path(place).name if kind != "builtin" and isinstance(place, str | Path) else kind)


class AnySource(Source):
    """Exactly one kind of source, or a mix of several."""

    mix: Annotated[tuple[MixedSource, ...], Field(min_length=2)] | None = Field(None, description=_what_it_is("mix"))

    @property
    def makes_queries(self) -> bool:
        """Whether pseudo-queries are made of documents, in a part of a mix at least."""
        return any(part.documents is not None for part in (self, *(self.mix or ())))

    @model_validator(mode="after")
    def _names_differ(self) -> AnySource:
        labels = [part.label for part in self.mix or ()]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"two sources of mix are called {twice}: give each a name")
        return self

    @classmethod
    def _built_in(cls) -> list[str]:
        return [*Source.model_fields, "mix"]
