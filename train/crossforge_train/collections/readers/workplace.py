"""`Workplace`: what a reader may use besides its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.reporting import Reporter, SilentReporter


@dataclass(frozen=True)
class Workplace:
    """Where a collection is read.

    Attributes:
        runs: folder of all runs, which share what is embedded; None: nothing is kept.
        encoder_max_length: tokens that a bi-encoder reads of a text; None: all it can.
        reporter: shows progress.
        may_ask: whether a judge that costs money may be asked.
        judgements: what people judged in the run, query id -> document id -> label.
        typed: texts of the queries in it that people typed, by id.
        engine: where language models work.
    """

    runs: Path | None = None
    encoder_max_length: int | None = None
    reporter: Reporter = SilentReporter()  # noqa: RUF009 - it has no state
    may_ask: bool = False
    judgements: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)
    engine: Engine = field(default_factory=LocalEngine)

    @contextmanager
    def embedding_folder(self) -> Iterator[Path]:
        """The folder of all runs, or one that is gone afterwards."""
        if self.runs is not None:
            yield self.runs
            return
        with TemporaryDirectory() as folder:
            yield Path(folder)


NOWHERE = Workplace()
