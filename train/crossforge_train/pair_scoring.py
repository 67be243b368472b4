"""Scoring pairs on an engine: every worker loads the reranker itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossforge.backends.choice import AUTO
from crossforge.loading import find_folder
from crossforge.reranker import Reranker, Scored

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class ScorePairs:
    """Makes a worker that scores (query, text) pairs; pickled, it holds how the reranker was loaded, and no model.

    Attributes:
        reranker: as this process has it; a worker of this process uses it as it is.
    """

    reranker: Reranker

    def __call__(self) -> Callable[[Pairs], Scored]:
        """The worker."""
        return self.reranker.score_pairs


# Queries, each with the passages of its documents.
Asked = Sequence[tuple[str, Sequence[Sequence[str]]]]


@dataclass(frozen=True)
class ScorePassages:
    """Makes a worker that scores documents by their best passages and tells how long these are; like `ScorePairs`."""

    reranker: Reranker

    def __call__(self) -> Callable[[Asked], list[tuple[Scored, list[int]]]]:
        """The worker."""
        return self._scored

    def _scored(self, asked: Asked) -> list[tuple[Scored, list[int]]]:
        found = (self.reranker.score_passages(query, passages) for query, passages in asked)
        return [(scored, list(map(len, best))) for scored, best in found]


def for_workers(reranker: Reranker, gpus: float) -> Reranker:
    """The reranker as workers load it: on the GPU, if each of them has one, or a share of one, for itself."""
    return reranker.loaded_on("cuda") if gpus else reranker


def backend_for(asked: str) -> str:
    """The backend that this process computes with: `auto` is torch where it has a GPU."""
    import torch

    return "torch" if asked == AUTO and torch.cuda.is_available() else asked


def place_for_workers(reference: str | Path, *, local_files_only: bool = True) -> Path:
    """The absolute folder of a path or hub id, since workers have other working folders.

    Raises:
        PackageError: there is no such folder.
    """
    return find_folder(reference, local_files_only).absolute()
