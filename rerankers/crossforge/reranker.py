"""`Reranker`: one model that reads query and document together and gives one score."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.choice import AUTO, EXACT
from crossforge.batching import CPU_TOKEN_BUDGET, token_budget_batches
from crossforge.calibration import descending, fuse
from crossforge.documents import Document, as_documents, refuse_duplicate_ids
from crossforge.errors import InputError
from crossforge.loading import Parts, load_parts
from crossforge.manifest import Manifest, Verify
from crossforge.passages import PassageWindows
from crossforge.results import RankedResults, Result
from crossforge.tokenization import EncodedPair, PairTokenizer

# Pairs that are tokenized at a time: bounds memory on very long lists.
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of (query, text) pairs in input order: `logits` of shape (pairs,), and whether each text was cut."""

    logits: NDArray[np.float32]
    truncated: list[bool]


class Reranker:
    """Loads a reranker package, a plain one-label cross-encoder folder, or a hub id.

    Args:
        reference: path or hub id.
        backend: "onnx", "onnx-int8", "openvino", "openvino-bf16" or "torch"; "auto" is the fastest that the machine has
            and that differs from fp32 by no more than `tolerance`, as far as the package says.
        tolerance: of "auto": difference of logits. 1e-4 is exact fp32; 0.1 takes bf16 too.
        verify: how a package's files are checked: "full" (sha256), "size" or "off".
        local_files_only: False allows a hub id to be fetched; nothing is fetched otherwise.
        max_length: read fewer or more tokens than the package says.
        max_passages: how many windows of a document that does not fit are scored; the best one counts (MaxP).
        token_budget: padded tokens of one batch.

    Raises:
        PackageError: the reranker cannot be loaded, or is not to be trusted.
    """

    def __init__(
        self,
        reference: str | Path,
        *,
        backend: str = AUTO,
        tolerance: float = EXACT,
        verify: Verify = "full",
        local_files_only: bool = True,
        max_length: int | None = None,
        max_passages: int = 1,
        token_budget: int = CPU_TOKEN_BUDGET,
    ) -> None:
        parts = load_parts(
            reference, backend=backend, tolerance=tolerance, verify=verify, local_files_only=local_files_only,
            max_length=max_length,
        )  # fmt: skip
        # What a process that shares no memory with this one needs to load the same reranker.
        made_by = partial(
            type(self), reference, backend=backend, tolerance=tolerance, verify=verify,
            local_files_only=local_files_only, max_length=max_length, max_passages=max_passages,
            token_budget=token_budget,
        )  # fmt: skip
        self._assemble(parts, max_passages, token_budget, made_by)

    def __reduce__(self) -> tuple[partial[Reranker], tuple[()]]:
        if self._made_by is None:
            raise TypeError("a reranker made of parts in memory cannot be sent to another process")
        return self._made_by, ()

    @classmethod
    def from_parts(cls, parts: Parts, *, max_passages: int = 1, token_budget: int = CPU_TOKEN_BUDGET) -> Reranker:
        """A reranker from a tokenizer, a backend and a manifest that are in memory already."""
        reranker = cls.__new__(cls)
        reranker._assemble(parts, max_passages, token_budget)
        return reranker

    def _assemble(
        self, parts: Parts, max_passages: int, token_budget: int, made_by: partial[Reranker] | None = None
    ) -> None:
        require_count("max_passages", max_passages)
        self._parts = parts
        self._made_by = made_by
        self._max_passages = max_passages
        self._token_budget = token_budget
        self._windows = PassageWindows(parts.tokenizer)

    @property
    def manifest(self) -> Manifest:
        """What the package says of itself (defaults for a plain folder)."""
        return self._parts.manifest

    @property
    def tokenizer(self) -> PairTokenizer:
        """The tokenizer with the model's maximum length."""
        return self._parts.tokenizer

    @property
    def backend_name(self) -> str:
        """The backend in use."""
        return self._parts.backend.name

    def score(self, query: str, documents: Sequence[Document | Mapping[str, Any] | str]) -> NDArray[np.float32]:
        """Raw logits of the documents, float32 of shape (documents,), in input order.

        Raises:
            InputError: the query is empty or too long, or something that is no document stands in the list.
        """
        require_query(query)
        return self.score_passages(query, self._passages(query, as_documents(documents)))[0].logits

    def rank(
        self,
        query: str,
        documents: Sequence[Document | Mapping[str, Any] | str],
        *,
        doc_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        top_k: int | None = None,
    ) -> RankedResults:
        """Order documents by their logits, best first; equal logits keep their input order.

        Args:
            query: what is searched for.
            documents: strings, mappings with "text" (and "_id", "title"), or `Document`s.
            doc_ids: ids of the documents, where these do not carry their own.
            metadata: metadata of the documents, likewise.
            top_k: return only so many.

        Raises:
            InputError: the query is empty or too long, a document is none, the lists differ in length, or `top_k`
                is negative.
        """
        require_query(query)
        if top_k is not None:
            require_count("top_k", top_k, least=0)
        found = _with_ids(as_documents(documents), doc_ids, metadata)
        passages = self._passages(query, found)
        return self.rank_passages(query, found, passages, top_k=top_k)

    def rank_passages(
        self,
        query: str,
        documents: Sequence[Document],
        passages: Sequence[Sequence[str]],
        *,
        first_stage_scores: NDArray[np.float64] | None = None,
        top_k: int | None = None,
    ) -> RankedResults:
        """Order documents by their best passage, and by the first stage's scores where the package fuses them in.

        Args:
            query: what is searched for.
            documents: the candidates, in the first stage's order if there is one.
            passages: for each document the texts that are read of it, at least one.
            first_stage_scores: shape (documents,); None where there was no first stage.
            top_k: return only so many.
        """
        scored, chosen = self.score_passages(query, passages)
        probabilities = self.manifest.calibrator.probabilities(scored.logits)
        order = descending(self.ordering(scored.logits, first_stage_scores))[:top_k]
        results = tuple(
            Result(
                document=documents[position],
                rank=rank,
                score=float(scored.logits[position]),
                probability=float(probabilities[position]),
                passage=chosen[position],
                truncated=scored.truncated[position],
                first_stage_rank=None if first_stage_scores is None else int(position) + 1,
                first_stage_score=None if first_stage_scores is None else float(first_stage_scores[position]),
            )
            for rank, position in enumerate(order, start=1)
        )
        return RankedResults(query, results, self.manifest.threshold)

    def ordering(
        self, logits: NDArray[np.float32], first_stage_scores: NDArray[np.float64] | None = None
    ) -> NDArray[np.floating]:
        """What decides the shipped order: logits, fused with first-stage scores where the package says so."""
        weight = self.manifest.fusion_weight
        if first_stage_scores is None or weight == 0:
            return logits
        return fuse(logits, first_stage_scores, weight)

    def rank_batch(
        self, queries: Sequence[str], documents: Sequence[Sequence[Document | Mapping[str, Any] | str]]
    ) -> list[RankedResults]:
        """`rank` for several queries, each with its own documents."""
        if len(queries) != len(documents):
            raise InputError(f"{len(queries)} queries but {len(documents)} lists of documents")
        return [self.rank(query, found) for query, found in zip(queries, documents, strict=True)]

    async def rank_async(
        self, query: str, documents: Sequence[Document | Mapping[str, Any] | str], **options: Any
    ) -> RankedResults:
        """`rank` in a worker thread, so that an event loop stays free."""
        return await asyncio.to_thread(self.rank, query, documents, **options)

    def warmup(self) -> None:
        """Score one short pair, so that the first real call does not pay for lazy set-up."""
        self.score("warm", ["up"])

    def score_passages(self, query: str, passages: Sequence[Sequence[str]]) -> tuple[Scored, list[str]]:
        """Score each document by the best of its passages; returns the scores and the passages that won."""
        owners = [owner for owner, texts in enumerate(passages) for _ in texts]
        texts = [text for document in passages for text in document]
        scored = self.score_pairs([(query, text) for text in texts])
        best: dict[int, int] = {}
        for position, owner in enumerate(owners):
            if owner not in best or scored.logits[position] > scored.logits[best[owner]]:
                best[owner] = position
        winners = [best[owner] for owner in range(len(passages))]
        kept = Scored(scored.logits[winners], [scored.truncated[position] for position in winners])
        return kept, [texts[position] for position in winners]

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Scored:
        """Score (query, text) pairs in length-sorted batches under the token budget.

        Raises:
            InputError: a query is empty, or too long for a document to fit beside it.
        """
        for query, _ in pairs:
            require_query(query)
        logits = np.empty(len(pairs), dtype=np.float32)
        truncated: list[bool] = []
        for start in range(0, len(pairs), _CHUNK):
            encoded = self.tokenizer.encode(pairs[start : start + _CHUNK])
            truncated += [pair.truncated for pair in encoded]
            logits[start : start + len(encoded)] = self.logits_of(encoded)
        return Scored(logits, truncated)

    def logits_of(self, encoded: Sequence[EncodedPair]) -> NDArray[np.float32]:
        """The logits of encoded pairs, shape (pairs,), computed in length-sorted batches under the token budget."""
        logits = np.empty(len(encoded), dtype=np.float32)
        for batch in token_budget_batches([len(pair.ids) for pair in encoded], self._token_budget):
            padded = self.tokenizer.pad([encoded[position] for position in batch])
            logits[batch] = self._parts.backend.logits(padded)
        return logits

    def _passages(self, query: str, documents: Sequence[Document]) -> list[list[str]]:
        if self._max_passages == 1:
            return [[document.full_text] for document in documents]
        return [self._windows.split(query, document)[: self._max_passages] for document in documents]


def require_query(query: object) -> None:
    """Raise `InputError` unless `query` is text with something in it."""
    if not isinstance(query, str):
        raise InputError(f"the query is a {type(query).__name__}; expected text")
    if not query.strip():
        raise InputError("the query is empty")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Raise `InputError` unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number of {least} or more")


def _with_ids(
    documents: list[Document], doc_ids: Sequence[str] | None, metadata: Sequence[Mapping[str, Any]] | None
) -> list[Document]:
    for name, values in (("doc_ids", doc_ids), ("metadata", metadata)):
        if values is None:
            continue
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__getitem__"):
            raise InputError(f"{name} is a {type(values).__name__}; expected a list")
        if len(values) != len(documents):
            raise InputError(f"{len(documents)} documents but {len(values)} {name}")
    for position, value in enumerate(() if metadata is None else metadata):
        if not isinstance(value, Mapping):
            raise InputError(f"metadata {position} is a {type(value).__name__}; expected a mapping")
    found = [
        Document(
            document.doc_id if doc_ids is None else str(doc_ids[position]),
            document.text,
            document.title,
            document.metadata if metadata is None else metadata[position],
        )
        for position, document in enumerate(documents)
    ]
    refuse_duplicate_ids(found)
    return found
