"""Windows over documents that are longer than the model reads."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.passages import PassageWindows, whole_words, window_bounds
from crossforge.tokenization import PairTokenizer

WORDS = ["bread", "dough", "oven", "flour", "yeast", "crust", "loaf", "knead", "butter", "pastry"]
LONG = " ".join(WORDS[position % 10] for position in range(100))
QUERY = "sail boat"

SIZES = st.integers(1, 50)
OVERLAPS = st.floats(0, 0.95)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return PairTokenizer(tiny_encoder / "tokenizer.json", 32)


@pytest.fixture(scope="module")
def wide(tiny_encoder):
    return PairTokenizer(tiny_encoder / "tokenizer.json", 96)


@given(st.integers(0, 400), SIZES, OVERLAPS)
def test_windows_cover_everything(length, size, overlap):
    bounds = window_bounds(length, size, overlap)
    assert {token for start, end in bounds for token in range(start, end)} == set(range(length))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == length


@given(st.integers(0, 400), SIZES, OVERLAPS)
def test_every_window_is_full_unless_the_text_is_shorter(length, size, overlap):
    assert {end - start for start, end in window_bounds(length, size, overlap)} == {min(length, size)}


@given(st.integers(0, 400), SIZES, OVERLAPS)
def test_windows_move_forward_and_overlap_by_at_least_the_share(length, size, overlap):
    bounds = window_bounds(length, size, overlap)
    for (start, end), (next_start, _) in pairwise(bounds):
        assert start < next_start
        # A window moves by at least one token, so a window of one token overlaps with nothing.
        assert end - next_start >= min(size * overlap, size - 1) - 1e-9


def test_a_short_document_is_one_unchanged_passage(tokenizer):
    document = Document("1", "Bread,  and  BUTTER!", title="Baking")
    assert PassageWindows(tokenizer).split(QUERY, document) == [document.full_text]


def test_a_document_that_just_fits_is_not_cut(tokenizer):
    room = tokenizer.document_room(QUERY)
    exact, longer = (Document("1", " ".join(["bread"] * length)) for length in (room, room + 1))
    assert PassageWindows(tokenizer).split(QUERY, exact) == [exact.text]
    assert len(PassageWindows(tokenizer).split(QUERY, longer)) == 2


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([*WORDS, "zx9", "q", "breads", "naïve", "面包", "🥖", "…"]), min_size=1, max_size=150),
    st.sampled_from(["", "Baking", "old bread and new bread"]),
    st.sampled_from(["sail", "a boat with a mast", "x y z"]),
)
def test_every_window_fits_beside_the_query_and_begins_with_the_title(tokenizer, words, title, query):
    passages = PassageWindows(tokenizer).split(query, Document("1", " ".join(words), title=title))
    encoded = tokenizer.encode([(query, passage) for passage in passages])
    assert not any(pair.truncated for pair in encoded)
    assert all(passage.startswith(title) for passage in passages)


@pytest.mark.parametrize("title", ["", "Old bread"])
def test_windows_hold_every_word_of_a_long_document_in_order(tokenizer, title):
    numbered = [f"{word} {letter}" for letter in "abcdefghij" for word in WORDS]
    passages = PassageWindows(tokenizer).split(QUERY, Document("1", " ".join(numbered), title=title))
    bodies = [passage.removeprefix(f"{title}\n").split() for passage in passages]
    assert len(bodies) > 5
    assert all(passage.startswith(f"{title}\n") for passage in passages if title)
    text = " ".join(numbered).split()
    place = 0
    for body in bodies:
        start = next(n for n in range(len(text)) if text[n : n + len(body)] == body)
        assert start <= place
        place = start + len(body)
    assert place == len(text)


def test_more_overlap_gives_more_windows(tokenizer):
    counts = [len(PassageWindows(tokenizer, overlap).split(QUERY, Document("1", LONG))) for overlap in (0, 0.5, 0.9)]
    assert counts == sorted(set(counts))


def test_lone_surrogates_do_not_shift_the_windows(tokenizer):
    passages = PassageWindows(tokenizer).split(QUERY, Document("1", "\ud800 " + LONG))
    assert passages[0].startswith("\ud800 bread dough")
    assert passages[-1].endswith("butter pastry")


def test_a_document_with_a_long_title_and_no_text_has_a_passage(tokenizer):
    passages = PassageWindows(tokenizer).split(QUERY, Document("1", "", title=LONG))
    assert passages
    assert all(passage.startswith("bread dough") for passage in passages)


def test_the_text_under_a_very_long_title_is_still_read(tokenizer):
    passages = PassageWindows(tokenizer).split(QUERY, Document("1", "pawn rook bishop " * 20, title=LONG))
    read = {tuple(pair.ids) for pair in tokenizer.encode([(QUERY, passage) for passage in passages])}
    alone = tuple(tokenizer.encode([(QUERY, LONG)])[0].ids)
    assert read != {alone}, "every window is cut down to the same piece of the title"


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["zx9qv7", "breads", "loaf", "naïvely", "oven.", "don't"]), min_size=40, max_size=150))
def test_windows_cut_no_word_and_lose_none(wide, words):
    passages = PassageWindows(wide).split(QUERY, Document("1", " ".join(words)))
    pieces = [re.findall(r"\w+", passage) for passage in passages]
    known = {piece for word in words for piece in re.findall(r"\w+", word)}
    assert {piece for found in pieces for piece in found} == known


def test_a_word_of_many_tokens_is_cut():
    text = "a" * 6 + " b"
    spans = [(position, position + 1) for position in range(6)] + [(7, 8)]
    assert whole_words(text, spans, 1, 7, 5) == (7, 8)
    assert whole_words(text, spans, 1, 7, 4) == (1, 8)
    assert whole_words(text, spans, 0, 3, 2) == (0, 3)


@pytest.mark.parametrize("text", ["a हिन्दी b", "a re\u0301sume\u0301 b"])
def test_marks_belong_to_the_word_that_they_stand_in(text):
    spans = [(position, position + 1) for position, character in enumerate(text) if character != " "]
    kept = {whole_words(text, spans, first, len(spans), 8)[0] for first in range(len(spans))}
    assert {text[start:] for start in kept} == {text, text[2:], "b"}
