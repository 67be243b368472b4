"""`Reranker` scores (query, document) pairs with a cross-encoder and ranks documents by score."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossforge.arguments import require_count, require_query
from crossforge.backends.base import Backend
from crossforge.backends.choice import AUTO, EXACT
from crossforge.backends.devices import AUTO_DEVICE
from crossforge.batching import CPU_TOKEN_BUDGET, GPU_TOKEN_BUDGET, token_budget_batches
from crossforge.calibration import descending, fuse
from crossforge.documents import Document, as_documents, read_each, refuse_duplicate_ids
from crossforge.errors import InputError
from crossforge.loading import Parts, load_parts
from crossforge.manifest import Manifest, Verify
from crossforge.passages import PassageWindows
from crossforge.prompts import Prompts, as_prompts
from crossforge.results import RankedResults, Result
from crossforge.retrievers.registry import INDEXED
from crossforge.templates import NO_TEMPLATE, TemplateTokenizer
from crossforge.tokenization import EncodedPair, PairTokenizer

if TYPE_CHECKING:
    from typing_extensions import Self

_logger = logging.getLogger(__name__)

# Pairs tokenized at a time, to bound memory on very long lists.
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of (query, text) pairs in input order: `logits` of shape (pairs,), and whether each text was truncated."""

    logits: NDArray[np.float32]
    truncated: list[bool]


class Reranker:
    """A reranker loaded from a package, a plain one-label cross-encoder folder, or a hub id.

    Args:
        reference: path or hub id.
        backend: "onnx", "onnx-int8", "openvino", "openvino-bf16", "torch", "torch-bf16" or "torch-fp16"; "auto" picks
            the fastest available on this machine whose logits, by the package's own measurements, differ from fp32 by
            at most `tolerance`.
        tolerance: largest difference in logits that "auto" accepts. 1e-4 means exact fp32; 0.1 also admits bf16.
        verify: how to check a package's files: "full" (sha256), "size" or "off".
        local_files_only: if False, a hub id may be downloaded; otherwise nothing is.
        max_length: overrides the package's limit on tokens of query and document together.
        max_passages: maximum windows scored of a document that does not fit; the best one counts (MaxP).
        token_budget: maximum padded tokens per batch; None: 1,024 on the CPU, 32,768 on a GPU.
        instruction: what the template of a decoder says in place of its default instruction.
        prompts: texts before each "query" and "document", for a plain folder of an encoder that was trained with them;
            a package holds its own.
        device: where torch or ONNX Runtime computes: "cpu", "cuda", "cuda:1" or "mps"; "auto": on a GPU if the backend
            finds one.

    Raises:
        PackageError: the reranker cannot be loaded, or fails verification.
        InputError: an argument is invalid.
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
        token_budget: int | None = None,
        instruction: str | None = None,
        prompts: Prompts | Mapping[str, str] | None = None,
        device: str = AUTO_DEVICE,
    ) -> None:
        parts = load_parts(
            reference, backend=backend, tolerance=tolerance, verify=verify, local_files_only=local_files_only,
            max_length=max_length, instruction=instruction, prompts=as_prompts(prompts), device=device,
        )  # fmt: skip
        # Pickling stores these arguments, so that another process loads the same reranker itself.
        made_by = partial(
            type(self), reference, backend=backend, tolerance=tolerance, verify=verify,
            local_files_only=local_files_only, max_length=max_length, max_passages=max_passages,
            token_budget=token_budget, instruction=instruction, prompts=prompts, device=device,
        )  # fmt: skip
        self._assemble(parts, max_passages, token_budget, made_by)

    def __reduce__(self) -> tuple[partial[Reranker], tuple[()]]:
        if self._made_by is None:
            raise TypeError("a reranker built by from_parts cannot be pickled or sent to another process")
        return self._made_by, ()

    @classmethod
    def from_parts(cls, parts: Parts, *, max_passages: int = 1, token_budget: int | None = None) -> Reranker:
        """Build a reranker from a tokenizer, a backend and a manifest that are already loaded."""
        reranker = cls.__new__(cls)
        reranker._assemble(parts, max_passages, token_budget)
        return reranker

    def _assemble(
        self, parts: Parts, max_passages: int, token_budget: int | None, made_by: partial[Reranker] | None = None
    ) -> None:
        require_count("max_passages", max_passages)
        if token_budget is not None:
            require_count("token_budget", token_budget)
        self._parts = parts
        self._made_by = made_by
        self._max_passages = max_passages
        self._token_budget = token_budget
        self._windows = PassageWindows(parts.tokenizer)

    def alone(self) -> Self:
        """The same model, whose order takes nothing from first-stage scores."""
        found = self._copied()
        found._parts = replace(self._parts, manifest=replace(self.manifest, fusion_weight=0.0))
        found._made_by = partial(_made_alone, self._made_by) if self._made_by else None
        return found

    def behind(self, kind: str | None) -> Self:
        """The same model as it ranks behind a first stage of this kind: alone, unless its proof had one of this kind.

        The package's weight of first-stage scores was chosen with that one, and says nothing about another. The scores
        of an engine are taken to be those of any other that searches elsewhere, such as a run that it wrote.

        Args:
            kind: such as "lexical" or "hybrid"; None if it is not known, which changes nothing.
        """
        proven = self.manifest.first_stage
        if kind is None or proven is None or kind == proven or not {kind, proven} & INDEXED:
            return self
        if self.manifest.fusion_weight:
            _logger.info("proven behind %s; behind %s, first-stage scores are ignored", proven, kind)
        return self.alone()

    def instructed(self, instruction: str | None) -> Self:
        """The same model with another instruction in its template; itself for None.

        Raises:
            InputError: its template has no place for one, or it has no template.
        """
        if instruction is None:
            return self
        tokenizer = self.tokenizer
        if not isinstance(tokenizer, TemplateTokenizer):
            raise InputError(NO_TEMPLATE)
        found = self._copied()
        found._parts = replace(self._parts, tokenizer=tokenizer.instructed(instruction))
        found._windows = PassageWindows(found.tokenizer)
        found._made_by = partial(self._made_by, instruction=instruction) if self._made_by else None
        return found

    def loaded_on(self, device: str) -> Self:
        """The same reranker, which another process that is sent it loads on this device; here it stays where it is."""
        found = self._copied()
        found._made_by = partial(self._made_by, device=device) if self._made_by else None
        return found

    def _copied(self) -> Self:
        found = object.__new__(type(self))
        found.__dict__.update(self.__dict__)  # the backend is shared, and so are a service's batches
        return found

    @property
    def manifest(self) -> Manifest:
        """The package's manifest (defaults for a plain folder)."""
        return self._parts.manifest

    @property
    def folder(self) -> Path | None:
        """The folder that it was loaded from; None if it was built from parts."""
        return self._parts.folder

    @property
    def tokenizer(self) -> PairTokenizer:
        """The tokenizer with the model's maximum length."""
        return self._parts.tokenizer

    @property
    def backend_name(self) -> str:
        """Name of the backend in use, which "auto" may have chosen."""
        return self._parts.backend.name

    def score(
        self,
        query: str,
        documents: Sequence[Document | Mapping[str, Any] | str],
        *,
        instruction: str | None = None,
    ) -> NDArray[np.float32]:
        """The model's logits of the documents, float32 of shape (documents,), in input order.

        `manifest.raw_logits` turns them into those of the model before its calibration was folded in.

        Args:
            query: the search query.
            documents: as for `rank`.
            instruction: as for `rank`.

        Raises:
            InputError: the query is empty or too long, an item is no valid document, or nothing takes an instruction.
        """
        require_query(query)
        reranker = self.instructed(instruction)
        passages = reranker._passages(query, as_documents(documents))
        return reranker.score_passages(query, passages)[0].logits

    def rank(
        self,
        query: str,
        documents: Sequence[Document | Mapping[str, Any] | str],
        *,
        doc_ids: Sequence[str] | None = None,
        metadata: Sequence[Mapping[str, Any]] | None = None,
        top_k: int | None = None,
        instruction: str | None = None,
    ) -> RankedResults:
        """Rank documents by their logits, best first; ties keep their input order.

        Args:
            query: the search query.
            documents: strings, mappings with "text" (and optionally "_id" and "title"), or `Document`s.
            doc_ids: ids that replace the documents' own, one per document.
            metadata: metadata that replaces the documents' own, one mapping per document.
            top_k: return only the best `top_k` results.
            instruction: what the template of a decoder says in place of its default instruction; see `instructed`.

        Raises:
            InputError: the query is empty or too long, a document is invalid, the lists differ in length, `top_k` is
                negative, or nothing takes an instruction.
        """
        require_query(query)
        if top_k is not None:
            require_count("top_k", top_k, least=0)
        found = _with_ids(read_each(documents), doc_ids, metadata)
        reranker = self.instructed(instruction)
        passages = reranker._passages(query, found)
        return reranker.rank_passages(query, found, passages, top_k=top_k)

    def rank_passages(
        self,
        query: str,
        documents: Sequence[Document],
        passages: Sequence[Sequence[str]],
        *,
        first_stage_scores: NDArray[np.float64] | None = None,
        top_k: int | None = None,
    ) -> RankedResults:
        """Rank documents by their best passage, fused with the first-stage scores if the package has a fusion weight.

        Args:
            query: the search query.
            documents: the candidates, in the first stage's order if there is one.
            passages: for each document, the texts to score, at least one.
            first_stage_scores: shape (documents,); None without a first stage.
            top_k: return only the best `top_k` results.
        """
        scored, chosen = self.score_passages(query, passages)
        results = self._results(documents, scored, chosen, first_stage_scores, top_k)
        return RankedResults(query, results, self.manifest.threshold)

    def keep_order(
        self,
        query: str,
        documents: Sequence[Document],
        first_stage_scores: NDArray[np.float64],
        *,
        top_k: int | None = None,
    ) -> RankedResults:
        """The first stage's order, marked as not reranked, for a query that leaves the model no room for a document.

        Args: as for `rank_passages`.
        """
        unread = Scored(np.zeros(len(documents), dtype=np.float32), [True] * len(documents))
        texts = [document.full_text for document in documents]
        results = self._results(documents, unread, texts, first_stage_scores, top_k)
        return RankedResults(query, results, threshold=None, reranked=False)

    def _results(
        self,
        documents: Sequence[Document],
        scored: Scored,
        passages: Sequence[str],
        first_stage_scores: NDArray[np.float64] | None,
        top_k: int | None,
    ) -> tuple[Result, ...]:
        probabilities = self.manifest.calibrator.probabilities(scored.logits)
        order = descending(self.ordering(scored.logits, first_stage_scores))[:top_k]
        return tuple(
            Result(
                document=documents[position],
                rank=rank,
                score=float(scored.logits[position]),
                probability=float(probabilities[position]),
                passage=passages[position],
                truncated=scored.truncated[position],
                first_stage_rank=None if first_stage_scores is None else int(position) + 1,
                first_stage_score=None if first_stage_scores is None else float(first_stage_scores[position]),
            )
            for rank, position in enumerate(order, start=1)
        )

    def ordering(
        self, logits: NDArray[np.float32], first_stage_scores: NDArray[np.float64] | None = None
    ) -> NDArray[np.floating]:
        """The values that decide the shipped order: logits, fused with first-stage scores at the package's weight."""
        weight = self.manifest.fusion_weight
        if first_stage_scores is None or weight == 0:
            return logits
        return fuse(logits, first_stage_scores, weight)

    def rank_batch(
        self,
        queries: Sequence[str],
        documents: Sequence[Sequence[Document | Mapping[str, Any] | str]],
        *,
        instruction: str | None = None,
    ) -> list[RankedResults]:
        """Run `rank` on several queries, each with its own documents, all with one instruction."""
        if len(queries) != len(documents):
            raise InputError(f"{len(queries)} queries but {len(documents)} lists of documents")
        reranker = self.instructed(instruction)
        return [reranker.rank(query, found) for query, found in zip(queries, documents, strict=True)]

    async def rank_async(
        self, query: str, documents: Sequence[Document | Mapping[str, Any] | str], **options: Any
    ) -> RankedResults:
        """Run `rank` in a worker thread, so that it does not block the event loop."""
        return await asyncio.to_thread(self.rank, query, documents, **options)

    def warmup(self) -> None:
        """Score one short pair, so that lazy initialization does not slow down the first real call."""
        self.score("warm", ["up"])

    def score_passages(self, query: str, passages: Sequence[Sequence[str]]) -> tuple[Scored, list[str]]:
        """Score each document by its best passage; return the scores and those passages, one per document."""
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
            InputError: a query is empty, or too long to leave room for a document.
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
        """Logits of encoded pairs, float32 of shape (pairs,), computed in length-sorted batches under the budget."""
        logits = np.empty(len(encoded), dtype=np.float32)
        backend = self._parts.backend
        budget = _usual_budget(backend) if self._token_budget is None else self._token_budget
        for batch in token_budget_batches([len(pair.ids) for pair in encoded], budget):
            logits[batch] = backend.logits(self.tokenizer.pad([encoded[position] for position in batch]))
        return logits

    def _passages(self, query: str, documents: Sequence[Document]) -> list[list[str]]:
        if self._max_passages == 1:
            return [[document.full_text] for document in documents]
        return [self._windows.split(query, document, self._max_passages) for document in documents]


def _made_alone(make: Callable[..., Reranker], **options: Any) -> Reranker:
    return make(**options).alone()


def _usual_budget(backend: Backend) -> int:
    # Asked each time: a model that is being trained may be moved. A plug-in need not say where it computes.
    return CPU_TOKEN_BUDGET if getattr(backend, "device", "cpu") == "cpu" else GPU_TOKEN_BUDGET


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
