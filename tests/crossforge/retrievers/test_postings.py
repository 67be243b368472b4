"""Exact top-k, whatever the blocks and however many processes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random

from crossforge.retrievers.postings import _blocks, best_documents


def problem(seed, queries=7, terms=12, documents=40, levels=3):
    """Weights with few distinct values, so that many scores tie."""
    draw = np.random.default_rng(seed)

    def weights(rows, columns):
        matrix = random(rows, columns, 0.3, format="csr", dtype=np.float32, rng=draw)
        matrix.data = draw.integers(1, levels + 1, len(matrix.data)).astype(np.float32)
        matrix.sort_indices()
        return matrix

    return weights(queries, terms), weights(terms, documents)


def by_sorting(queries, postings, k):
    """(position, score) pairs of the best documents of each query, from the whole table of scores."""
    table = (queries @ postings).toarray()
    ranked = [sorted((-score, position) for position, score in enumerate(row) if score) for row in table]
    return [[(position, -score) for score, position in row[:k]] for row in ranked]


def pairs(found):
    return [list(zip(positions.tolist(), scores.tolist(), strict=True)) for positions, scores in found]


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(0, 50), st.integers(1, 200))
def test_the_best_are_those_of_the_whole_table_for_any_size_of_block(seed, k, block):
    queries, postings = problem(seed)
    assert pairs(best_documents(queries, postings, k, block=block)) == by_sorting(queries, postings, k)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(0, 20), st.integers(1, 200), st.randoms(use_true_random=False))
def test_ties_in_another_order_are_those_of_a_corpus_in_that_order(seed, k, block, shuffle):
    queries, postings = problem(seed)
    places = list(range(postings.shape[1]))
    shuffle.shuffle(places)
    moved = csr_matrix(postings[:, np.argsort(places)])
    moved.sort_indices()
    found = pairs(best_documents(queries, postings, k, order=np.array(places), block=block))
    expected = by_sorting(queries, moved, k)
    assert [[(places[position], score) for position, score in best] for best in found] == expected


def test_processes_and_blocks_change_no_bit():
    draw = np.random.default_rng(0)
    queries, postings = problem(1, queries=40, terms=200, documents=3000, levels=2)
    for matrix in (queries, postings):
        matrix.data = draw.random(len(matrix.data), dtype=np.float32)
    expected = pairs(best_documents(queries, postings, 50))
    assert pairs(best_documents(queries, postings, 50, block=3000, processes=2)) == expected
    assert pairs(best_documents(queries, postings, 50, block=1)) == expected


def test_no_queries_and_empty_queries():
    _, postings = problem(2)
    assert pairs(best_documents(csr_matrix((0, 12), dtype=np.float32), postings, 5)) == []
    assert pairs(best_documents(csr_matrix((3, 12), dtype=np.float32), postings, 5)) == [[], [], []]


@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 30))
def test_blocks_hold_every_row_once_and_no_more_than_the_limit(sizes, limit):
    blocks = _blocks(np.array(sizes, dtype=np.int64), limit)
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(len(sizes)))
    for block in blocks:
        assert sum(sizes[block]) <= limit or block.stop - block.start == 1


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_1_gives_nothing(k):
    queries, postings = problem(3)
    assert pairs(best_documents(queries, postings, k)) == [[]] * 7
