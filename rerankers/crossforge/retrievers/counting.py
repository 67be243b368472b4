"""How often each document holds each term: analysis of whole corpora, on all cores where that pays."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge.retrievers.analysis import Analyzer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Documents that one process counts at a time.
_CHUNK = 20_000

Counts = tuple[list[str], "csr_matrix"]


def count_corpus(
    documents: Collection[Document], analyzer: Analyzer, title_weight: float = 1, processes: int | None = None
) -> Counts:
    """The terms of a corpus and how often each document holds them.

    Args:
        documents: the corpus.
        analyzer: how text becomes terms.
        title_weight: how often a word of a title counts.
        processes: how many work at a time; None takes one a core, but not for a corpus that is counted in seconds.

    Returns:
        The terms in sorted order, and float32 counts of shape (documents, terms), columns of each row in order.
    """
    from joblib import Parallel, cpu_count, delayed

    chunks = -(-len(documents) // _CHUNK)
    # Workers take about two seconds to start; they need no guard in the caller's script and outlive the call.
    processes = processes or (cpu_count() if chunks > 2 else 1)
    count_chunk = delayed(_count_chunk)
    parallel = Parallel(n_jobs=min(processes, chunks), return_as="generator")
    fields = _fields(documents, title_weight)
    return _joined(parallel(count_chunk(chunk, analyzer, title_weight) for chunk in blocks(fields, _CHUNK)))


def count_known(texts: Sequence[str], analyzer: Analyzer, columns: Mapping[str, int]) -> csr_matrix:
    """How often each text holds each known term, shape (texts, terms), float32; other terms are passed over.

    Args:
        texts: what to count in.
        analyzer: how text becomes terms.
        columns: term -> column.
    """
    found, ends = array("i"), array("q", [0])
    for text in texts:
        found.extend(columns[term] for term in analyzer.terms(text) if term in columns)
        ends.append(len(found))
    counts = _matrix(np.ones(len(found), dtype=np.float32), found, ends, len(columns))
    counts.sum_duplicates()
    return counts


def _fields(documents: Iterable[Document], title_weight: float) -> Iterator[tuple[str, str]]:
    """(text, title) of each document; no title where titles count for nothing, or their words would be known terms."""
    return ((document.text, document.title if title_weight else "") for document in documents)


def _count_chunk(chunk: Sequence[tuple[str, str]], analyzer: Analyzer, title_weight: float) -> Counts:
    """Counts words first, so that each distinct word is stemmed once, however often it stands there."""
    ids: defaultdict[str, int] = defaultdict(count().__next__)
    found, ends = array("i"), array("q", [0])
    for fields in chunk:
        for field in fields:
            found.extend(map(ids.__getitem__, analyzer.words(field)))
            ends.append(len(found))
    weights = np.repeat(np.tile(np.array([1, title_weight], dtype=np.float32), len(chunk)), np.diff(ends))
    words = _matrix(weights, found, ends[::2], len(ids))
    terms, spread = _spread(analyzer.terms_of_words(list(ids)))
    counts = words @ spread
    counts.sort_indices()
    return terms, counts


def _spread(terms_of_words: Sequence[Sequence[str]]) -> Counts:
    """The distinct terms in sorted order, and how often each word stands for each of them, shape (words, terms)."""
    terms = sorted({term for terms in terms_of_words for term in terms})
    columns = {term: column for column, term in enumerate(terms)}
    found, ends = array("i"), array("q", [0])
    for of_word in terms_of_words:
        found.extend(columns[term] for term in of_word)
        ends.append(len(found))
    return terms, _matrix(np.ones(len(found), dtype=np.float32), found, ends, len(terms))


def _joined(parts: Iterable[Counts]) -> Counts:
    """One vocabulary for all chunks; each column map rises, so rows stay sorted."""
    from scipy.sparse import csr_matrix, vstack

    found = list(parts)
    terms = sorted({term for part, _ in found for term in part})
    columns = {term: column for column, term in enumerate(terms)}
    for position, (part, counts) in enumerate(found):
        moved = np.fromiter((columns[term] for term in part), dtype=np.int32, count=len(part))
        shape = counts.shape[0], len(terms)
        found[position] = part, csr_matrix((counts.data, moved[counts.indices], counts.indptr), shape=shape)
    return terms, vstack([counts for _, counts in found], format="csr")


def _matrix(data: NDArray[np.float32], columns: array[int], ends: array[int], width: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    indices, indptr = np.frombuffer(columns, dtype=np.int32), np.frombuffer(ends, dtype=np.int64)
    return csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, width))
