"""crossforge: load a reranker package and run it after a first stage.

from crossforge import Reranker, RetrieveAndRerank

search = RetrieveAndRerank.from_documents(documents, Reranker("runs/quickstart/package"))
for result in search("straight line through noisy points", k=5):
    ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossforge.documents import Document
    from crossforge.errors import CrossforgeError, InputError, PackageError
    from crossforge.explanation import Explanation
    from crossforge.pipeline import RetrieveAndRerank
    from crossforge.reranker import Reranker
    from crossforge.results import RankedResults, Result
    from crossforge.retrievers.tfidf import TfidfRetriever

__version__ = "0.1.0"

# Imported on first use, so that `import crossforge` takes milliseconds and apps pay only for what they use.
_HOMES = {
    "Document": "documents",
    "CrossforgeError": "errors",
    "Explanation": "explanation",
    "InputError": "errors",
    "PackageError": "errors",
    "RankedResults": "results",
    "Reranker": "reranker",
    "Result": "results",
    "RetrieveAndRerank": "pipeline",
    "TfidfRetriever": "retrievers.tfidf",
}

__all__ = [
    "CrossforgeError",
    "Document",
    "Explanation",
    "InputError",
    "PackageError",
    "RankedResults",
    "Reranker",
    "Result",
    "RetrieveAndRerank",
    "TfidfRetriever",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossforge' has no attribute {name!r}")
    return getattr(import_module(f"crossforge.{_HOMES[name]}"), name)
