"""Query and document as one sequence in which only the document is cut."""

import json

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.passages import PassageWindows
from crossforge.tokenization import MIN_DOCUMENT_TOKENS, EncodedPair, PairTokenizer, TextTokenizer

CLS, SEP = 2, 3
LENGTH = 24
ODD_TEXTS = ["", " ", "🥖 bread", "naïve CAFÉ", "面包", "bread\x00\n\tdough", "a" * 300, "bread " * 100, "ﬁn İ ß"]


@pytest.fixture(scope="module")
def tokenizer_file(tiny_encoder):
    return tiny_encoder / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(tokenizer_file):
    return PairTokenizer(tokenizer_file, LENGTH)


@pytest.fixture(scope="module")
def reference(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def parts(pair):
    """Query and document ids of `[CLS] query [SEP] document [SEP]`."""
    assert pair.ids[0] == CLS
    assert pair.ids[-1] == SEP
    between = pair.ids.index(SEP)
    return pair.ids[1:between], pair.ids[between + 1 : -1]


@pytest.mark.parametrize("query_words", [1, 5, LENGTH - 3 - MIN_DOCUMENT_TOKENS])
def test_only_the_document_is_cut(tokenizer, reference, query_words):
    query, document = "boat sail " * query_words, "bread dough oven " * 20
    query = " ".join(query.split()[:query_words])
    found_query, found_document = parts(tokenizer.encode([(query, document)])[0])
    assert found_query == reference.encode(query, add_special_tokens=False)
    room = LENGTH - 3 - query_words
    assert found_document == reference.encode(document, add_special_tokens=False)[:room]


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_truncated_says_whether_the_document_was_cut(tokenizer, spare):
    room = tokenizer.document_room("boat sail")
    (pair,) = tokenizer.encode([("boat sail", "bread " * (room - spare))])
    assert pair.truncated is (spare < 0)
    assert len(pair.ids) == LENGTH - max(spare, 0)


def test_each_pair_of_a_batch_has_its_own_flag(tokenizer):
    encoded = tokenizer.encode([("boat", "bread"), ("boat", "bread " * 50), ("boat", "")])
    assert [pair.truncated for pair in encoded] == [False, True, False]


def test_the_longest_query_that_leaves_room_is_read(tokenizer):
    longest = LENGTH - 3 - MIN_DOCUMENT_TOKENS
    assert tokenizer.fits("boat " * longest)
    assert not tokenizer.fits("boat " * (longest + 1))


def test_a_query_without_room_for_a_document_is_an_input_error(tokenizer):
    with pytest.raises(InputError, match=r"the query has 40 tokens and the model reads 24 .* shorten") as caught:
        tokenizer.encode([("boat", "bread"), ("sail " * 40, "bread")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, b"bread"])
def test_what_is_no_text_is_an_input_error(tokenizer, value):
    with pytest.raises(InputError, match="expected text"):
        tokenizer.encode([("boat", value)])
    with pytest.raises(InputError, match="expected text"):
        tokenizer.encode([(value, "bread")])


def test_an_empty_document_is_only_special_tokens(tokenizer):
    query, document = parts(tokenizer.encode([("boat", "")])[0])
    assert len(query) == 1
    assert document == []


@pytest.mark.parametrize("surrogate", ["\ud800", "\udfff", "\ud83d\ude00"])
def test_lone_surrogates_read_as_question_marks(tokenizer, surrogate):
    found, expected = tokenizer.encode(
        [(f"boat {text}", f"bread {text} dough") for text in (surrogate, "?" * len(surrogate))]
    )
    assert found == expected


def test_emoji_are_read_as_unknown_tokens(tokenizer):
    query, document = parts(tokenizer.encode([("boat ⛵", "🥖 bread")])[0])
    assert query[-1] == document[0] == 1
    assert document[1] != 1


@pytest.mark.parametrize("query", ["boat", "Old BOAT, new boat?", "⛵"])
@pytest.mark.parametrize("document", ODD_TEXTS)
def test_encoding_equals_transformers_with_only_second_truncation(tokenizer, reference, query, document):
    (pair,) = tokenizer.encode([(query, document)])
    # As a batch of one: outside of a batch, transformers takes an empty document for a missing one.
    expected = reference([query], [document], truncation="only_second", max_length=LENGTH, return_token_type_ids=True)
    assert [pair.ids] == expected["input_ids"]
    assert [pair.type_ids] == expected["token_type_ids"]


def test_spans_point_at_the_characters_of_each_token(tokenizer):
    text = "🥖 Bread…dough ab"
    assert [text[start:end] for start, end in tokenizer.spans(text)] == ["🥖", "Bread", "…", "dough", "a", "b"]


def test_padding_fills_to_the_longest_pair(tokenizer_file):
    padded = PairTokenizer(tokenizer_file, LENGTH, pad_id=9).pad(
        [EncodedPair([2, 5, 3, 3], [0, 0, 0, 1], False), EncodedPair([2, 3], [0, 1], False)]
    )
    assert {name: array.tolist() for name, array in padded.items()} == {
        "input_ids": [[2, 5, 3, 3], [2, 3, 9, 9]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 0, 0]],
        "token_type_ids": [[0, 0, 0, 1], [0, 1, 0, 0]],
    }
    assert {array.dtype for array in padded.values()} == {np.dtype(np.int64)}


def test_padding_equals_that_of_transformers(tokenizer, reference):
    pairs = [("boat", "bread"), ("old boat", "bread " * 50), ("boat", "")]
    padded = tokenizer.pad(tokenizer.encode(pairs))
    expected = reference(
        [query for query, _ in pairs], [document for _, document in pairs],
        truncation="only_second", max_length=LENGTH, padding=True, return_tensors="np", return_token_type_ids=True,
    )  # fmt: skip
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(padded[name], expected[name])


def test_a_model_without_segments_gets_no_type_ids(tokenizer_file):
    tokenizer = PairTokenizer(tokenizer_file, LENGTH, segments=False)
    assert set(tokenizer.pad(tokenizer.encode([("boat", "bread")]))) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_tokenizer_file_is_a_package_error(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(PackageError, match=r"tokenizer\.json: not a readable tokenizer"):
        PairTokenizer(path, LENGTH)


@pytest.mark.parametrize(
    ("config", "settings", "expected"),
    [
        ({"type_vocab_size": 2}, {}, True),
        ({"type_vocab_size": 1}, {"model_input_names": ["input_ids", "token_type_ids"]}, False),
        ({}, {}, False),
        ({"type_vocab_size": 2}, {"model_input_names": ["input_ids", "attention_mask"]}, False),
        ({"type_vocab_size": 2}, {"tokenizer_class": "BertTokenizer"}, True),
        ({"type_vocab_size": 2}, {"tokenizer_class": "PreTrainedTokenizerFast"}, False),
    ],
)
def test_segments_are_used_where_transformers_would_use_them(tmp_path, config, settings, expected):
    from crossforge.loading import uses_segments

    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert uses_segments(tmp_path) is expected


class Counting:
    """A tokenizer that counts the characters it is given."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.characters = 0

    def encode_batch(self, texts):
        self.characters += sum(len(text if isinstance(text, str) else text[1]) for text in texts)
        return self._tokenizer.encode_batch(texts)

    def encode(self, text, **options):
        self.characters += len(text)
        return self._tokenizer.encode(text, **options)


LONG_TEXTS = {
    "words": "bread dough oven " * 5_000,
    "one word": "bread" * 10_000,
    "a gap": "bread " + " " * 50_000 + "dough oven " * 50,
    "nothing but a gap": " " * 50_000,
    "a gap before the end of what fits": "bread " * 6 + " " * 50_000 + "oven " * 50,
    "no spaces": "面包烤箱" * 10_000,
    "emoji": "🥖👩‍🍳" * 10_000,
}


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_long_document_gives_the_same_tokens_as_tokenized_whole(tokenizer, tokenizer_file, name):
    text = LONG_TEXTS[name]
    whole = tokenizer._tokenizer.encode("boat", text)
    (found,) = tokenizer.encode([("boat", text)])
    assert (found.ids, found.type_ids, found.truncated) == (whole.ids, whole.type_ids, bool(whole.overflowing))
    spans = tokenizer.spans(text)
    assert tokenizer.spans(text, 10)[:10] == spans[:10]
    alone = TextTokenizer(tokenizer_file, LENGTH)
    assert alone.encode([text, "oven"]) == [found.ids for found in alone._tokenizer.encode_batch([text, "oven"])]


@pytest.fixture(scope="module")
def normalizing(tmp_path_factory):
    """A token for each character after NFKC, which makes several of one, as XLM-R's tokenizer does."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": CLS, "[SEP]": SEP, "▁": 4}, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("▁")])
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    path = tmp_path_factory.mktemp("normalizing") / "tokenizer.json"
    made.save(str(path))
    return PairTokenizer(path, 64)


@pytest.mark.parametrize("character", ["\u337f", "\ufdfa", "a"])
def test_a_query_fits_by_its_tokens_and_not_by_its_characters(normalizing, character):
    of_each = len(normalizing.spans(character)) - 1
    longest = (64 - 3 - 1 - MIN_DOCUMENT_TOKENS) // of_each
    normalizing.encode([(character * longest, "bread" * 20)])
    assert normalizing.fits(character * longest)
    assert not normalizing.fits(character * (longest + 1))
    with pytest.raises(InputError, match="shorten the query"):
        normalizing.encode([(character * (longest + 1), "bread")])


@pytest.mark.parametrize("character", ["\u337f", "a"])
def test_a_document_is_read_whole_only_if_its_tokens_fit(normalizing, character):
    windows, of_each = PassageWindows(normalizing), len(normalizing.spans(character)) - 1
    longest = (normalizing.document_room("boat") - 1) // of_each
    assert len(windows.split("boat", Document("1", character * longest))) == 1
    assert len(windows.split("boat", Document("1", character * (longest + 1)))) > 1


def test_no_more_of_a_long_document_is_tokenized_than_can_be_read(tokenizer_file):
    tokenizer = PairTokenizer(tokenizer_file, LENGTH)
    counting = [Counting(tokenizer._tokenizer), Counting(tokenizer._plain)]
    tokenizer._tokenizer, tokenizer._plain = counting
    tokenizer.encode([("boat", LONG_TEXTS["words"])])
    PassageWindows(tokenizer).split("boat", Document("1", LONG_TEXTS["words"], LONG_TEXTS["words"]), 2)
    assert 0 < sum(found.characters for found in counting) < len(LONG_TEXTS["words"]) / 10


@pytest.mark.parametrize("text", [LONG_TEXTS["words"], "x" * 1_000 + " " + LONG_TEXTS["words"]])
def test_no_more_of_a_long_query_is_tokenized_than_tells_that_it_does_not_fit(tokenizer_file, text):
    tokenizer = PairTokenizer(tokenizer_file, LENGTH)
    tokenizer._plain = Counting(tokenizer._plain)
    assert not tokenizer.fits(text)
    with pytest.raises(InputError, match=f"the query has more than {LENGTH} tokens"):
        tokenizer.require_room(text)
    assert 0 < tokenizer._plain.characters < len(text) / 2


def test_a_long_word_at_the_beginning_is_no_reason_to_tokenize_all(tokenizer_file):
    text = "x" * 1_000 + " " + LONG_TEXTS["words"]
    tokenizer, alone = PairTokenizer(tokenizer_file, LENGTH), TextTokenizer(tokenizer_file, LENGTH)
    whole = tokenizer._tokenizer.encode("boat", text).ids
    for reads in (tokenizer, alone):
        reads._tokenizer = Counting(reads._tokenizer)
    assert tokenizer.encode([("boat", text)])[0].ids == whole
    assert len(alone.encode([text])[0]) == LENGTH
    assert 0 < tokenizer._tokenizer.characters + alone._tokenizer.characters < len(text) / 2


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("title", ["", "boat", "sail " * 2_000])
def test_the_first_windows_are_those_of_the_whole_document(tokenizer, most, title):
    windows, document = PassageWindows(tokenizer), Document("1", LONG_TEXTS["words"], title)
    assert windows.split("boat", document, most) == windows.split("boat", document)[:most]
    short = Document("1", "bread dough " * 12, title)
    assert windows.split("boat", short, most) == windows.split("boat", short)[:most]
