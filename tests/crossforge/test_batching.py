"""Batches under a token budget."""

from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.batching import blocks, padding_share, token_budget_batches

LENGTHS = st.lists(st.integers(1, 12), max_size=40)
BUDGETS = st.integers(1, 40)


@settings(deadline=None)
@given(LENGTHS, BUDGETS)
def test_every_position_stands_in_exactly_one_batch(lengths, budget):
    batches = token_budget_batches(lengths, budget)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert all(batches)


@settings(deadline=None)
@given(LENGTHS, BUDGETS)
def test_only_a_single_item_may_exceed_the_budget(lengths, budget):
    for batch in token_budget_batches(lengths, budget):
        padded = len(batch) * max(lengths[position] for position in batch)
        assert padded <= budget or len(batch) == 1


@settings(deadline=None)
@given(LENGTHS, BUDGETS)
def test_longest_come_first_and_ties_keep_their_order(lengths, budget):
    order = [position for batch in token_budget_batches(lengths, budget) for position in batch]
    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))


def cost(lengths, batches):
    return sum(len(batch) * max(lengths[position] for position in batch) + 64 for batch in batches)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.integers(300, 1000))
def test_no_other_split_of_the_sorted_lengths_is_cheaper(lengths, budget):
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    for cuts in product([False, True], repeat=len(order) - 1):
        places = [0, *(place + 1 for place, cut in enumerate(cuts) if cut), len(order)]
        split = [order[start:end] for start, end in pairwise(places)]
        if all(len(batch) * lengths[batch[0]] <= budget for batch in split):
            assert cost(lengths, token_budget_batches(lengths, budget)) <= cost(lengths, split)


@settings(deadline=None)
@given(LENGTHS, BUDGETS)
def test_padding_share_lies_between_zero_and_one(lengths, budget):
    share = padding_share(lengths, token_budget_batches(lengths, budget))
    assert 0 <= share < 1


def test_padding_share_counts_padded_positions():
    assert padding_share([4, 2], [[0, 1]]) == 0.25
    assert padding_share([4, 2], [[0], [1]]) == 0
    assert padding_share([], []) == 0


def test_sorting_by_length_saves_padding():
    lengths = [1, 100] * 20
    in_input_order = [list(range(start, start + 4)) for start in range(0, 40, 4)]
    assert padding_share(lengths, token_budget_batches(lengths, 400)) < 0.1 < padding_share(lengths, in_input_order)


@given(st.lists(st.integers(), max_size=40), st.integers(1, 12))
def test_blocks_hold_every_item_once_in_its_order(items, size):
    found = list(blocks(iter(items), size))
    assert [item for block in found for item in block] == items
    assert all(len(block) == size for block in found[:-1])
    assert all(found)
