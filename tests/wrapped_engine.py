"""An engine around another, for tests that watch or disturb its work."""

from __future__ import annotations

from dataclasses import dataclass

from crossforge_train.compute.base import Engine


@dataclass
class WrappedEngine:
    """What an engine says of itself; `map` is left to those that derive from this."""

    engine: Engine

    @property
    def workers(self) -> int:
        return self.engine.workers

    @property
    def gpus(self) -> int:
        return self.engine.gpus
