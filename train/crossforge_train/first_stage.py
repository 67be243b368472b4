"""The first stage that a config asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.pipeline import fit_first_stage as fit_as_proven
from crossforge.reranker import Reranker
from crossforge.retrievers.base import (
    ApproximableRetriever,
    Approximation,
    CombinedRetriever,
    OutsideKind,
    Retriever,
    StoredRetriever,
    VectorRetriever,
)
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.registry import DENSE, HYBRID, LEXICAL, RETRIEVERS
from crossforge.retrievers.trust import trust
from crossforge_train.config.first_stage import AUTO, FirstStageConfig
from crossforge_train.encoders.embeddings import Embeddings, exported_embeddings
from crossforge_train.reporting import Reporter

# Makes the index of terms from the settings of its kind.
MakeIndex = Callable[[Mapping[str, Any]], StoredRetriever]

# The longest that `kind: auto` embeds a corpus.
MOST_SECONDS = 600


@dataclass(frozen=True)
class Choice:
    """The kind of first stage of a run.

    Attributes:
        kind: its name.
        why: the reason, and what the other would have cost; empty if the config names the kind.
        weight: lexical share of a hybrid, chosen on judged queries; .3 if they are too few.
        moved: how far a map moves the queries' vectors, chosen on dev; 0 is not at all.
        tuned: whether the encoder was trained on the training queries.
        approximation: how vectors are searched where they are served; None: exactly.
        encoder_tokens: tokens that the encoder reads of a text; None: all that it can.
    """

    kind: str
    why: str = ""
    weight: float | None = None
    moved: float = 0.0
    tuned: bool = False
    approximation: Mapping[str, float] | None = None
    encoder_tokens: int | None = None


def choose_kind(documents: Collection[Document], config: FirstStageConfig, embeddings: Embeddings | None) -> Choice:
    """The kind that a config names, or with `auto` the best that can be had in ten minutes.

    Args:
        documents: the corpus, of which a sample is embedded.
        config: the section.
        embeddings: of the base model, if it is a bi-encoder.
    """
    if config.kind != AUTO:
        return Choice(config.kind)
    if embeddings is None:
        return Choice(LEXICAL, "there is no bi-encoder to embed the corpus with")
    seconds = embeddings.seconds(documents)
    cost = f"embedding {len(documents):,} documents with {embeddings.model} takes about {_duration(seconds)}"
    if seconds > MOST_SECONDS:
        return Choice(LEXICAL, f"{cost}; first_stage.kind: hybrid does it all the same")
    return Choice(HYBRID, f"{cost} once; first_stage.kind: lexical does without")


def fit_first_stage(
    documents: Collection[Document],
    config: FirstStageConfig,
    embeddings: Embeddings | None = None,
    weight: float | None = None,
    make_index: MakeIndex | None = None,
    search_vectors: Mapping[str, Any] | None = None,
) -> StoredRetriever:
    """Index documents as the config says; with `auto`, as `choose_kind` does.

    Args:
        documents: the corpus.
        config: the section.
        embeddings: of the encoder; the kinds `dense` and `hybrid` need them.
        weight: of the lexical part of a hybrid; None joins by rank.
        make_index: makes the index of terms of these documents, if another place than this process does.
        search_vectors: settings of the kind `dense` that say where the vectors are and what searches them, likewise.

    Raises:
        InputError: a setting is wrong, or there is nothing to index.
    """
    kind = choose_kind(documents, config, embeddings).kind
    config = config.of_kind(kind)
    if kind == LEXICAL:
        return make_index(config.lexical) if make_index else fit_retriever(documents, kind, config.lexical)
    if kind not in (DENSE, HYBRID):
        return fit_retriever(documents, kind, config.options)
    if embeddings is None:
        return fit_retriever(documents, kind)  # says what it lacks
    with embeddings.settings(documents) as encoder:
        dense = {**encoder, **(search_vectors or {})}
        lexical = make_index(config.lexical) if make_index and kind == HYBRID else config.lexical
        parts = {"lexical": lexical, "dense": dense}
        settings: dict[str, Any] = {**parts, "weight": weight, "pool": config.depth}
        return fit_retriever(documents, kind, settings if kind == HYBRID else dense)


def first_stage_of(
    reranker: Reranker, documents: Collection[Document], runs: Path, reporter: Reporter
) -> StoredRetriever:
    """Index documents as the first stage of a reranker's proof did; with TF-IDF if its folder does not say how.

    Args:
        reranker: of the proof.
        documents: the corpus.
        runs: folder of all runs, which share what is embedded.
        reporter: shows progress.

    Raises:
        InputError: there is nothing to index.
        PackageError: the package is damaged.
    """
    with ExitStack() as shown:

        def embedding(encoder: Path) -> Mapping[str, Any]:
            return shown.enter_context(exported_embeddings(encoder, runs, reporter).settings(documents))

        return fit_as_proven(documents, reranker, embedding)


def vector_part(retriever: Retriever) -> VectorRetriever | None:
    """The first stage if it searches vectors, or that part of it which does."""
    parts = retriever.parts if isinstance(retriever, CombinedRetriever) else (retriever,)
    return next((part for part in parts if isinstance(part, VectorRetriever)), None)


def with_query_map(retriever: StoredRetriever, query_map: NDArray[np.float32] | None) -> StoredRetriever:
    """The first stage with or without a map of query vectors; one that searches no vectors stays as it is."""
    part = vector_part(retriever)
    if part is None:
        return retriever
    return with_vector_part(retriever, part.with_query_map(query_map))


def approximation_of(retriever: Retriever) -> Approximation | None:
    """How a first stage searches its vectors, if not exactly."""
    part = vector_part(retriever)
    return part.approximation if isinstance(part, ApproximableRetriever) else None


def approximated(retriever: StoredRetriever, approximation: Approximation | None) -> StoredRetriever:
    """The first stage with its vectors searched so; one that searches none stays as it is."""
    part = vector_part(retriever)
    if not isinstance(part, ApproximableRetriever) or part.approximation == approximation:
        return retriever
    return with_vector_part(retriever, part.approximated(approximation))


def with_vector_part(retriever: StoredRetriever, part: VectorRetriever) -> StoredRetriever:
    """The first stage with another part that searches vectors."""
    return retriever.with_part(part) if isinstance(retriever, CombinedRetriever) else part


def in_words(retriever: Retriever) -> str:
    """A first stage's name, and how it reads texts."""
    return f"{retriever.name} ({retriever.description})" if isinstance(retriever, StoredRetriever) else retriever.name


def first_stage_depends_on(config: FirstStageConfig) -> Mapping[str, Any]:
    """What its candidates depend on besides corpus and config, such as the contents of files; empty for most kinds.

    Raises:
        InputError: a setting is wrong, or what it names is not there.
    """
    kind = _outside(config)
    return {"outside": kind.depends_on(config.options)} if kind else {}


def trust_first_stage(config: FirstStageConfig) -> None:
    """Let the stages of a run load again what its own config names: functions, and the addresses of engines.

    Raises:
        InputError: a setting is wrong.
    """
    if kind := _outside(config):
        trust(*kind.reaches(config.options))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _outside(config: FirstStageConfig) -> OutsideKind | None:
    kind = None if config.kind == AUTO else RETRIEVERS.load(config.kind)
    return kind if isinstance(kind, OutsideKind) else None
