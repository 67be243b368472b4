"""PyTerrier: a reranking transformer. Needs `python-terrier`."""

from __future__ import annotations

import pandas as pd
import pyterrier as pt

from crossforge.reranker import Reranker


class CrossforgeTransformer(pt.Transformer):
    """Scores each (query, text) row by its logit and ranks the rows of a query: columns `score` and `rank`.

    Equal scores keep the order of the rows, so that a retriever before it decides.

    Args:
        reranker: scores the rows.
        text_field: the column with the text; `retriever >> pt.text.get_text(index, "text") >> this`.
    """

    def __init__(self, reranker: Reranker, *, text_field: str = "text") -> None:
        super().__init__()
        self.reranker = reranker
        self.text_field = text_field

    def transform(self, inp: pd.DataFrame) -> pd.DataFrame:
        """The rows with new scores, each query's together and best first.

        Raises:
            InputValidationError: a column is missing.
            InputError: a query is empty or too long.
        """
        pt.validate.result_frame(inp, extra_columns=["query", self.text_field])
        scored = inp.reset_index(drop=True)
        pairs = list(zip(scored["query"], scored[self.text_field], strict=True))
        ranked = pt.model.add_ranks(scored.assign(score=self.reranker.score_pairs(pairs).logits.astype("float64")))
        queries = pd.Categorical(ranked["qid"], categories=ranked["qid"].unique(), ordered=True)
        ordered = ranked.assign(_query=queries).sort_values(["_query", "rank"])
        return ordered.drop(columns="_query").reset_index(drop=True)
