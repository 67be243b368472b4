"""Draws docs/demo.svg, the picture in the README: `python docs/picture.py runs/quickstart/package`."""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from crossforge import Reranker, RetrieveAndRerank
from crossforge.documents import read_documents
from crossforge.retrievers.choice import fit_retriever
from crossforge_train.cli import display

ROOT = Path(__file__).parents[1]
QUERY, SHOWN, PASSAGES = "LangSmith", 9, 2

documents = read_documents(ROOT / "examples" / "langsmith.jsonl")
search = RetrieveAndRerank(documents, fit_retriever(documents), Reranker(sys.argv[1]).alone(), passages=PASSAGES)
display.console = Console(record=True, width=104, file=io.StringIO())
display.show_side_by_side(search(QUERY, None), SHOWN, search.first_stage, {})
svg = display.console.export_svg(title="make demo")
# The picture is to show without fetching fonts from anywhere.
(ROOT / "docs" / "demo.svg").write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL))
