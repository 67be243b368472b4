"""README's story in Python: data frames in, a proven reranker out. `python examples/train.py [FOLDER]`.

The documents are NumPy's docstrings without their first sentence, and the queries are these sentences: enough to watch
every step in a few minutes, without a network. Needs `pip install "crossforge[train,minilm]" pandas`.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import crossforge_train as ct
from crossforge import RetrieveAndRerank


def docstrings() -> pd.DataFrame:
    """One row a function of NumPy: `doc_id`, `summary` (its first sentence) and `text` (the rest)."""
    rows = {}
    for module in (np, np.linalg, np.fft, np.random, np.polynomial.polynomial):
        for name in dir(module):
            summary, _, text = (inspect.getdoc(getattr(module, name)) or "").partition("\n\n")
            if "(" in summary:  # a signature, as compiled functions have it
                summary, _, text = text.partition("\n\n")
            if not name.startswith("_") and 3 < len(summary.split()) <= 30 and len(text.split()) > 20:
                rows.setdefault(summary, {"doc_id": f"{module.__name__}.{name}", "summary": summary, "text": text})
    return pd.DataFrame(rows.values())


def settings(folder: Path, data: Path) -> dict[str, Any]:
    """A config: what it leaves out is chosen. The small numbers keep the example short; drop them for your own data."""
    return {
        "name": "numpy",
        "runs": folder,
        "collection": {"beir": data, "dev": 0.2},
        "first_stage": {"tune_encoder": False},
        "mining": {"max_queries": 150},
        "training": {"max_length": 96, "epochs": 1, "evaluations": 1, "dev_queries": 30, "dev_depth": 20},
        "evaluation": {
            "depth": 20, "depths": [10, 20], "max_queries": 60, "max_dev_queries": 40, "latency_queries": 0
        },
        "package": {"allow_regression": True},
    }  # fmt: skip


def collection_of(table: pd.DataFrame) -> ct.Collection:
    """The docstrings as documents, their summaries as queries; a seeded draw puts each query into train or test."""
    queries = pd.DataFrame({"query_id": "query-" + table["doc_id"], "text": table["summary"]})
    judgements = pd.DataFrame({"query_id": queries["query_id"], "doc_id": table["doc_id"]})
    judgements["split"] = np.where(np.random.default_rng(0).random(len(table)) < 0.7, "train", "test")
    return ct.Collection.from_dataframe(table[["doc_id", "text"]], queries, judgements, name="numpy")


def main() -> None:
    """Train, prove and try a reranker."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    table = docstrings()
    data = collection_of(table).to_beir(folder / "numpy-collection")
    run = ct.run(ct.load_config(settings(folder, data)))
    print(run.report.verdict)
    print(run.report.to_frame().round(3).to_string(index=False))

    search = RetrieveAndRerank.from_documents(table["text"].tolist(), run.reranker())
    for result in search("straight line through noisy points", k=3):
        print(result.rank, f"{result.probability:.2f}", table["doc_id"][int(result.doc_id)])


if __name__ == "__main__":
    main()
