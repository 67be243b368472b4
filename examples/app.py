"""Retrieve and rerank in an app: `python examples/app.py runs/quickstart/package LangSmith`."""

import sys
from pathlib import Path

from crossforge import Reranker, RetrieveAndRerank
from crossforge.documents import read_documents

if len(sys.argv) != 3:
    sys.exit("usage: python examples/app.py PACKAGE QUERY")
package, query = sys.argv[1:]
documents = read_documents(Path(__file__).parent / "langsmith.jsonl")
search = RetrieveAndRerank.from_documents(documents, Reranker(package))
for result in search(query, k=5):
    before = f"{search.first_stage}: {result.first_stage_rank}"
    print(f"{result.rank}. {result.title} ({before}, probability {result.probability:.2f})")
