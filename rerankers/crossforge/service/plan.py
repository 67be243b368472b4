"""`Plan`: what a process of the service loads, as values that another process can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from crossforge.backends.devices import AUTO_DEVICE
from crossforge.documents import Document
from crossforge.errors import PackageError
from crossforge.manifest import Verify
from crossforge.pipeline import RetrieveAndRerank, find_first_stage
from crossforge.retrievers.base import StoredRetriever
from crossforge.service.app import create_app
from crossforge.service.batches import SharedReranker
from crossforge.service.settings import Settings

# Size in bytes and time of change.
Stamp = tuple[int, int]


def stamp_of(path: Path) -> Stamp:
    """What tells whether a file has been replaced."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Plan:
    """What is served.

    Attributes:
        name: of the model, in responses.
        package: a package, a cross-encoder folder or a hub id.
        searches: whether a corpus is served, too.
        corpus: its file; None takes the package's own.
        backend: computes the model.
        depth: see `RetrieveAndRerank`.
        passages: see `RetrieveAndRerank`; also how many windows are read of a document that is sent (None: one).
        settings: limits, key, judgements.
        device: where the model computes.
        verify: how the package's files are checked.
        unchanged: files that must still be what they were: path -> size and time of change.
    """

    name: str
    package: str
    searches: bool
    corpus: Path | None
    backend: str
    depth: int | None
    passages: int | None
    settings: Settings
    device: str = AUTO_DEVICE
    verify: Verify = "full"
    unchanged: Mapping[Path, Stamp] = field(default_factory=dict)

    def reranker(self) -> SharedReranker:
        """The second stage, ready to score.

        Raises:
            PackageError: it cannot be loaded.
        """
        found = SharedReranker(
            self.package,
            backend=self.backend,
            device=self.device,
            verify=self.verify,
            max_passages=self.passages or 1,
        )
        found.warmup()
        return found

    def first_stage(self, reranker: SharedReranker) -> tuple[list[Document], StoredRetriever] | None:
        """The corpus and its index, which is built if it is not there; None if none is served.

        Raises:
            CrossforgeError: the corpus cannot be read, or the index cannot be loaded.
        """
        return find_first_stage(reranker, Path(self.package), self.corpus) if self.searches else None

    def app(self) -> FastAPI:
        """The service.

        Raises:
            PackageError: a file has changed.
            CrossforgeError: as the other methods do.
        """
        for path, stamp in self.unchanged.items():
            if not path.is_file() or stamp_of(path) != stamp:
                raise PackageError(f"{path}: changed since the service was started; start it again")
        reranker = self.reranker()
        search = None
        if found := self.first_stage(reranker):
            search = RetrieveAndRerank(*found, reranker, depth=self.depth, passages=self.passages)
        return create_app(self.name, reranker, search, self.settings)
