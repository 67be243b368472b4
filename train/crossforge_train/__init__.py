"""crossforge_train: from documents to a proven, packaged reranker.

import crossforge_train as ct

run = ct.run(ct.load_config("configs/quickstart.yaml"))
print(run.report.verdict, run.package)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossforge_train.api.adapting import adapt
    from crossforge_train.api.budgeting import budget
    from crossforge_train.api.collection import Collection
    from crossforge_train.api.measuring import Measurement, compare, evaluate
    from crossforge_train.api.report import Report
    from crossforge_train.api.reranking import RerankedRun, rerank
    from crossforge_train.api.running import Run, load_config, run
    from crossforge_train.api.scoring import score
    from crossforge_train.bulk_scoring.scoring import BulkScores
    from crossforge_train.config.run import Config
    from crossforge_train.learning_curve.outcome import LearningCurve
    from crossforge_train.run_folder import RunFolder
    from crossforge_train.stages.package import RegressionError

# Looked up on first use: reading one name does not import what all of them need.
_HOMES = {
    "BulkScores": "bulk_scoring.scoring",
    "Collection": "api.collection",
    "Config": "config.run",
    "LearningCurve": "learning_curve.outcome",
    "Measurement": "api.measuring",
    "RegressionError": "stages.package",
    "Report": "api.report",
    "RerankedRun": "api.reranking",
    "Run": "api.running",
    "RunFolder": "run_folder",
    "adapt": "api.adapting",
    "budget": "api.budgeting",
    "compare": "api.measuring",
    "evaluate": "api.measuring",
    "load_config": "api.running",
    "rerank": "api.reranking",
    "run": "api.running",
    "score": "api.scoring",
}

__all__ = [
    "BulkScores",
    "Collection",
    "Config",
    "LearningCurve",
    "Measurement",
    "RegressionError",
    "Report",
    "RerankedRun",
    "Run",
    "RunFolder",
    "adapt",
    "budget",
    "compare",
    "evaluate",
    "load_config",
    "rerank",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossforge_train' has no attribute {name!r}")
    return getattr(import_module(f"crossforge_train.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
