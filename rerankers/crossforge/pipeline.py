"""`RetrieveAndRerank`: initial retrieval, compression to the best passages, reranking, reordered results."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossforge.arguments import require_count, require_query
from crossforge.documents import Document, as_documents, json_metadata, read_documents
from crossforge.errors import InputError, PackageError
from crossforge.explanation import Explanation, explanation
from crossforge.files import read_json, write_json, write_jsonl, written_atomically
from crossforge.long_documents import FIRST_WINDOW, LONG_DOCUMENTS, LongDocuments
from crossforge.manifest import FIRST_STAGE_FOLDER
from crossforge.passages import PassageWindows
from crossforge.reranker import Reranker
from crossforge.results import RankedResults
from crossforge.retrievers.base import CombinedRetriever, Retriever, StoredRetriever
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.recipe import EmbeddingSettings, fit_by_recipe, has_recipe
from crossforge.runs import Candidate

DEFAULT_DEPTH = 100
_SETTINGS_FILE = "pipeline.json"
_DOCUMENTS = "documents.jsonl"
# The settings of a saved search; those that were written before there were formats name none.
_FORMAT = "crossforge-search-1"
_SETTINGS = ("depth", "passages", "long_documents")


@dataclass(frozen=True)
class ScoredPassage:
    """A passage's logit, and whether it leaves out part of its document."""

    logit: float
    cut: bool


class RetrieveAndRerank:
    """The retrieve-and-rerank path over a fixed corpus.

    Args:
        documents: the corpus, in order or by id; a mapping is kept as it is, so that one on disk stays there.
        retriever: first stage over the same documents.
        reranker: second stage; behind a first stage of another kind than in its proof, it alone decides the order.
        depth: how many candidates of the first stage are reranked; None: as many as in the package's proof.
        passages: how many passages of a document that is longer than the model reads are scored. None: as many as in
            the package's proof.
        long_documents: which passages these are: "best_window", those of the highest first-stage similarity to the
            query, or "first_window", those at the beginning. None: what the reranker was trained on.
    """

    def __init__(
        self,
        documents: Sequence[Document] | Mapping[str, Document],
        retriever: Retriever,
        reranker: Reranker,
        *,
        depth: int | None = None,
        passages: int | None = None,
        long_documents: LongDocuments | None = None,
    ) -> None:
        self._documents: Mapping[str, Document] = (
            documents if isinstance(documents, Mapping) else {document.doc_id: document for document in documents}
        )
        depth = depth_for(reranker) if depth is None else depth
        passages = passages_for(reranker) if passages is None else passages
        require_count("depth", depth)
        self._retriever = retriever
        self.reranker = reranker.behind(getattr(retriever, "kind", None))
        self._depth = int(depth)  # JSON takes none of numpy's
        read = reranker.manifest.long_documents if long_documents is None else long_documents
        self._compressor = Compressor(retriever, PassageWindows(reranker.tokenizer), passages, read)

    @classmethod
    def from_documents(
        cls, documents: Sequence[Document | Mapping[str, Any] | str], reranker: Reranker, **options: Any
    ) -> RetrieveAndRerank:
        """Index documents as in the package's proof, else with TF-IDF, and put the reranker behind it.

        A package that was proven behind a dense or hybrid first stage embeds the documents, which takes time: save the
        result with `save`, or keep it.

        Args:
            documents: the corpus.
            reranker: second stage.
            options: `depth`, `passages` and `long_documents`, as in the class.
        """
        found = as_documents(documents)
        return cls(found, fit_first_stage(found, reranker), reranker, **options)

    def instructed(self, instruction: str | None) -> RetrieveAndRerank:
        """The same search with another instruction for the reranker; itself for None. See `Reranker.instructed`."""
        if instruction is None:
            return self
        found = copy.copy(self)
        found.reranker = self.reranker.instructed(instruction)
        found._compressor = self._compressor.with_windows(PassageWindows(found.reranker.tokenizer))
        return found

    def __call__(self, query: str, k: int | None = 10) -> RankedResults:
        """The `k` best documents for a query (all reranked ones if None, and never more than these).

        A query that leaves the model no room for a document keeps the first stage's order; see `RankedResults`.

        Raises:
            InputError: the query is empty, or `k` is negative.
        """
        require_query(query)
        if k is not None:
            require_count("k", k, least=0)
        candidates = self._retriever.search({"query": query}, self._depth)["query"]
        return self.rerank(query, candidates, k)

    def rerank(self, query: str, candidates: Sequence[Candidate], k: int | None = None) -> RankedResults:
        """The steps after retrieval, for candidates that the first stage found already."""
        documents, passages = self.compressed(query, candidates)
        scores = np.array([candidate.score for candidate in candidates], dtype=np.float64)
        if passages is None:
            return self.reranker.keep_order(query, documents, scores, top_k=k)
        return self.reranker.rank_passages(query, documents, passages, first_stage_scores=scores, top_k=k)

    def compressed(self, query: str, candidates: Sequence[Candidate]) -> tuple[list[Document], list[list[str]] | None]:
        """The candidates' documents, and the passages that `rerank` reads of each; None if there is room for none."""
        documents = [self._documents[candidate.doc_id] for candidate in candidates]
        return documents, self.passages(query, documents) if self.reranker.tokenizer.fits(query) else None

    def passage_scores(self, query: str, candidates: Sequence[Candidate]) -> list[list[ScoredPassage]] | None:
        """The score of every passage that `rerank` reads, by candidate; None if the query leaves no room for any."""
        documents, passages = self.compressed(query, candidates)
        if passages is None:
            return None
        scored = self.reranker.score_pairs([(query, text) for texts in passages for text in texts])
        each = iter(zip(scored.logits.tolist(), scored.truncated, strict=True))
        return [
            [
                ScoredPassage(logit, truncated or len(text) < len(document.full_text))
                for text, (logit, truncated) in zip(texts, each, strict=False)
            ]
            for document, texts in zip(documents, passages, strict=True)
        ]

    def origins(self, query: str) -> dict[str, dict[str, int]]:
        """Where the candidates come from, if the first stage combines several: document id -> part -> rank."""
        return self._retriever.origins(query, self._depth) if isinstance(self._retriever, CombinedRetriever) else {}

    @property
    def first_stage(self) -> str:
        """The retriever's name, such as "TF-IDF"; "first stage" if it has none."""
        return str(getattr(self._retriever, "name", "first stage"))

    @property
    def depth(self) -> int:
        """How many candidates of the first stage are reranked, and so how many results there are at most."""
        return self._depth

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, doc_id: object) -> bool:
        return doc_id in self._documents

    def explain(self, query: str) -> Explanation:
        """What each step did to each candidate, in the final order.

        Raises:
            InputError: the query is empty.
        """
        results = self(query, k=None)
        documents = [found.document for found in results]
        windows = self._compressor.window_counts(query, documents) if results.reranked else [1] * len(documents)
        return explanation(
            results,
            dict(zip((found.doc_id for found in results), windows, strict=True)),
            depth=self._depth,
            passages=self._compressor.passages,
            fusion_weight=self.reranker.manifest.fusion_weight,
        )

    def passages(self, query: str, documents: Sequence[Document]) -> list[list[str]]:
        """The compression step by itself: for each document the passages that the reranker reads, best first."""
        return self._compressor.best_passages(query, documents)

    def save(self, folder: Path | str) -> None:
        """Write corpus and index (not the reranker) to a folder that `load` reads.

        Raises:
            InputError: the folder holds something else, or the first stage is of no registered kind.
        """
        if not isinstance(self._retriever, StoredRetriever):
            raise InputError(f"{type(self._retriever).__name__}: this first stage cannot be saved; TF-IDF can")
        target = Path(folder)
        if target.is_dir() and any(target.iterdir()) and not (target / _SETTINGS_FILE).is_file():
            raise InputError(f"{target}: holds something else; choose an empty or a new folder")
        with written_atomically(target) as beside:
            save_first_stage(beside, self._documents.values(), self._retriever)
            compressor = self._compressor
            settings = {
                "format": _FORMAT,
                "depth": self._depth,
                "passages": compressor.passages,
                "long_documents": compressor.long_documents,
            }
            write_json(beside / _SETTINGS_FILE, settings)

    @classmethod
    def load(cls, folder: Path | str, reranker: Reranker) -> RetrieveAndRerank:
        """Read what `save` wrote and put the reranker behind it.

        Raises:
            InputError: the folder holds no saved search.
            PackageError: it is damaged, or of another version.
        """
        path = Path(folder) / _SETTINGS_FILE
        settings = _read_settings(path)
        documents, retriever = load_first_stage(Path(folder))
        try:
            return cls(documents, retriever, reranker, **settings)
        except InputError as error:
            raise PackageError(f"{path}: {error}") from None


def _read_settings(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or found.pop("format", _FORMAT) != _FORMAT or found.keys() - set(_SETTINGS):
        raise PackageError(f"{path}: not of a search that this version saves ({_FORMAT}); save the search again")
    return found


def depth_for(reranker: Reranker) -> int:
    """How many candidates a reranker was proven with; `DEFAULT_DEPTH` if it does not say."""
    return reranker.manifest.depth or DEFAULT_DEPTH


def passages_for(reranker: Reranker) -> int:
    """How many passages of a long document a reranker was proven with; 1 if it does not say."""
    return reranker.manifest.passages or 1


def fit_first_stage(
    documents: Collection[Document], reranker: Reranker, embedding: EmbeddingSettings | None = None
) -> StoredRetriever:
    """Index documents as the first stage of a reranker's proof did; with TF-IDF if its folder does not say how.

    Args:
        documents: the corpus.
        reranker: of the proof.
        embedding: see `fit_by_recipe`.
    """
    folder = reranker.folder / FIRST_STAGE_FOLDER if reranker.folder else None
    return fit_by_recipe(folder, documents, embedding) if folder and has_recipe(folder) else fit_retriever(documents)


def find_first_stage(reranker: Reranker, package: Path, corpus: Path | None) -> tuple[list[Document], StoredRetriever]:
    """The documents of a file, indexed as in the reranker's proof; or, without a file, those that the package holds.

    Raises:
        InputError: the file cannot be read, or there is nothing to index.
        PackageError: the package's index is missing or damaged.
    """
    if corpus is None:
        return load_first_stage(package / FIRST_STAGE_FOLDER)
    documents = read_documents(corpus)
    return documents, fit_first_stage(documents, reranker)


def save_first_stage(folder: Path, documents: Iterable[Document], retriever: StoredRetriever) -> None:
    """Write a corpus and its index: `documents.jsonl` and the folder of its kind, such as `tfidf/`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(
        folder / _DOCUMENTS,
        (
            {
                "_id": found.doc_id,
                "title": found.title,
                "text": found.text,
                "metadata": json_metadata(found.metadata, f"document {found.doc_id!r}"),
            }
            for found in documents
        ),
    )
    save_retriever(folder, retriever)


def holds_documents(folder: Path) -> bool:
    """Whether `save_first_stage` wrote into a folder."""
    return (folder / _DOCUMENTS).is_file()


def load_first_stage(folder: Path) -> tuple[list[Document], StoredRetriever]:
    """Read what `save_first_stage` wrote.

    Raises:
        PackageError: the index is damaged, or holds documents that the corpus lacks.
    """
    documents, retriever = read_documents(folder / _DOCUMENTS), load_retriever(folder)
    lacking = set(getattr(retriever, "doc_ids", ())).difference(document.doc_id for document in documents)
    if lacking:
        raise PackageError(f"{folder}: the index holds {min(lacking)!r}, which is not in {_DOCUMENTS}; copy it again")
    return documents, retriever


class Compressor:
    """Compression to the best passages: of a long document only the windows that promise most are read.

    These are the windows that match the query best, or the first ones: where a document begins with what it is about,
    a window chosen by common words can miss just that (docs/history.md, "Which part of a document is read").

    Args:
        retriever: measures how well a window matches.
        windows: cuts documents.
        passages: how many windows are kept of each document.
        long_documents: which ones.

    Raises:
        InputError: `passages` or `long_documents` is invalid.
    """

    def __init__(
        self, retriever: Retriever, windows: PassageWindows, passages: int, long_documents: LongDocuments
    ) -> None:
        require_count("passages", passages)
        if long_documents not in LONG_DOCUMENTS:
            raise InputError(f"long_documents={long_documents!r}; expected one of: {', '.join(LONG_DOCUMENTS)}")
        self._retriever = retriever
        self._windows = windows
        self.passages = int(passages)
        self.long_documents = long_documents

    def with_windows(self, windows: PassageWindows) -> Compressor:
        """The same choice among other windows."""
        return Compressor(self._retriever, windows, self.passages, self.long_documents)

    def best_passages(self, query: str, documents: Sequence[Document]) -> list[list[str]]:
        """For each document its passages, best first; first windows and equally good ones in the order of the text."""
        if self.long_documents == FIRST_WINDOW:
            return [self._windows.split(query, document, self.passages) for document in documents]
        windows = [self._windows.split(query, document) for document in documents]
        contested = [text for texts in windows if len(texts) > 1 for text in texts]
        scores = iter(self._retriever.similarities(query, contested) if contested else ())
        return [self._best(texts, [next(scores) for _ in texts]) if len(texts) > 1 else texts for texts in windows]

    def window_counts(self, query: str, documents: Sequence[Document]) -> list[int]:
        """How many windows each document is cut into; 1 where the model reads it whole."""
        return [len(self._windows.split(query, document)) for document in documents]

    def _best(self, texts: list[str], scores: list[float]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda position: -scores[position])
        return [texts[position] for position in order[: self.passages]]
