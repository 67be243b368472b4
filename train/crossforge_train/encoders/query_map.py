"""A linear map of a bi-encoder's query vectors, learned from judged queries; the documents' vectors stay as they are.

Nothing is embedded again, so that it costs seconds. The same map is built into the cross-encoder that training starts
from, and moves the cosines that it is taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_STEPS, _PAIRS_PER_STEP = 200, 64
_RATE = 1e-3
_TEMPERATURE = 0.05  # that with which sentence-transformers trains bi-encoders
_PULL = 0.01  # towards leaving queries where they are
_MOST_DOCUMENTS = 100_000


def fit_query_map(
    queries: NDArray[np.float32],
    documents: NDArray[np.floating],
    positives: Sequence[Sequence[int]],
    seed: int,
    spared: Mapping[int, Sequence[int]] | None = None,
) -> NDArray[np.float32]:
    """A map of shape (dimension, dimension) that query vectors are multiplied by.

    It is trained by the softmax of a positive's cosine over those of all documents but the query's other positives and
    those spared, from the identity and pulled towards it.

    Args:
        queries: unit vectors of shape (queries, dimension).
        documents: unit vectors of shape (documents, dimension); of very many, a draw stands for the rest.
        positives: the rows of each query's relevant documents.
        seed: seed of the draws.
        spared: row of a query -> rows of other documents that are no negatives of it.

    Source: the loss is that of V. Karpukhin et al., "Dense Passage Retrieval", EMNLP 2020; that a query encoder alone
    can be trained against a fixed index is from J. Lee et al., "Learning dense representations of phrases at scale",
    ACL 2021.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    draw = np.random.default_rng(seed)
    documents, positives, spared = _fewer(documents, positives, spared or {}, draw)
    pairs = [(query, row) for query, rows in enumerate(positives) for row in rows]
    no_negatives = [{*rows, *spared.get(query, ())} for query, rows in enumerate(positives)]
    asked, texts = torch.from_numpy(queries), torch.from_numpy(np.asarray(documents, dtype=np.float32))
    identity = torch.eye(asked.shape[1])
    found = identity.clone().requires_grad_()
    optimizer = torch.optim.Adam([found], lr=_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / _STEPS, _STEPS)
    with torch.enable_grad():
        for batch in _batches(len(pairs), draw):
            numbers, wanted = zip(*(pairs[position] for position in batch), strict=True)
            logits = normalize(asked[list(numbers)] @ found) @ texts.T / _TEMPERATURE
            for place, (query, row) in enumerate(zip(numbers, wanted, strict=True)):
                logits[place, list(no_negatives[query] - {row})] = -torch.inf
            loss = cross_entropy(logits, torch.tensor(wanted)) + _PULL * (found - identity).pow(2).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return np.asarray(found.detach().numpy(), dtype=np.float32)


def shrunk(query_map: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """The map that moves queries by a share of the way, from 0 to 1."""
    identity = np.eye(len(query_map), dtype=np.float32)
    return identity + np.float32(share) * (query_map - identity)


def _batches(pairs: int, draw: np.random.Generator) -> list[list[int]]:
    """Positions of the pairs of each step; every pair comes up before one does again."""
    size = min(_PAIRS_PER_STEP, pairs)
    rounds = -(-_STEPS * size // pairs)
    order = np.concatenate([draw.permutation(pairs) for _ in range(rounds)]).tolist()
    return [order[start : start + size] for start in range(0, _STEPS * size, size)]


def _fewer(
    documents: NDArray[np.floating],
    positives: Sequence[Sequence[int]],
    spared: Mapping[int, Sequence[int]],
    draw: np.random.Generator,
) -> tuple[NDArray[np.floating], Sequence[Sequence[int]], Mapping[int, Sequence[int]]]:
    """All relevant documents and a draw of the others, with the rows of positives and spared ones among them."""
    if len(documents) <= _MOST_DOCUMENTS:
        return documents, positives, spared
    relevant = np.unique([row for rows in positives for row in rows])
    drawn = draw.choice(len(documents), _MOST_DOCUMENTS, replace=False)
    kept = np.union1d(relevant, drawn)
    rows = {row: place for place, row in enumerate(kept.tolist())}
    left = {query: [rows[row] for row in found if row in rows] for query, found in spared.items()}
    return documents[kept], [[rows[row] for row in found] for found in positives], left
