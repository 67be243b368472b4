"""What all adapters do: order the texts that a framework's documents hold, and say which document is meant."""

from __future__ import annotations

from collections.abc import Sequence

from crossforge.reranker import Reranker
from crossforge.results import Result


def order(
    reranker: Reranker, query: str, texts: Sequence[str], *, top_k: int | None = None, only_relevant: bool = False
) -> list[tuple[int, Result]]:
    """The positions of the texts, best first, each with its result.

    Args:
        reranker: scores the texts.
        query: what is searched for.
        texts: what the documents hold, in the framework's order.
        top_k: return only so many.
        only_relevant: leave out what the package's threshold says is not relevant.
    """
    ids = [str(position) for position in range(len(texts))]
    ranked = reranker.rank(query, texts, doc_ids=ids, top_k=top_k)
    return [(int(found.doc_id), found) for found in (ranked.above_threshold() if only_relevant else ranked)]
