"""Prompts within a tokenizer: the tokens of prompt and text as one text, in every family, and never cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from crossforge import Reranker
from crossforge.errors import InputError
from crossforge.loading import pair_tokenizer
from crossforge.prompts import Prompts, as_prompts, held_prompts, with_document_token, with_prompts

WORDS = ["query: bread oven the query: passage: The oven passage 7 days über alles"] * 20
SPECIAL = ["<s>", "<pad>", "</s>"]
PROMPTS = Prompts("query: ", "passage: ")
BERT = processors.BertProcessing(("</s>", 2), ("<s>", 0))
ROBERTA = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
TEMPLATE = processors.TemplateProcessing(
    single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
)


def byte_level(processor: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processor
    return tokenizer


def sentence_pieces(processor: Any) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=SPECIAL, unk_token="<pad>", show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processor
    return tokenizer


def word_pieces(processor: Any) -> Tokenizer:
    pieces = [*SPECIAL, "query", "passage", ":", "bread", "oven", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processor
    return tokenizer


@pytest.mark.parametrize("processor", [BERT, ROBERTA, TEMPLATE], ids=["bert", "roberta", "template"])
@pytest.mark.parametrize("make", [byte_level, sentence_pieces, word_pieces])
def test_tokens_are_those_of_one_text(make: Callable[[Any], Tokenizer], processor: Any) -> None:
    plain = make(processor)
    prompted = with_prompts(plain, PROMPTS)
    for query, document in (("bread oven", "The oven"), ("7 days", ""), ("The bread", "über alles")):
        found, wanted = prompted.encode(query, document), plain.encode("query: " + query, "passage: " + document)
        if document:
            assert (found.ids, found.type_ids) == (wanted.ids, wanted.type_ids)
        own = [prompted.encode(text, add_special_tokens=False).ids for text in (query, document)]
        assert prompted.num_special_tokens_to_add(True) == len(found.ids) - sum(map(len, own))
    assert held_prompts(prompted) == PROMPTS
    assert with_prompts(prompted, PROMPTS) is prompted
    assert not held_prompts(plain)


def test_prompts_are_never_cut() -> None:
    tokenizer = with_prompts(word_pieces(TEMPLATE), PROMPTS)
    tokenizer.enable_truncation(14, strategy="only_second")
    assert tokenizer.encode("bread", "oven " * 40).tokens == [
        "<s>", "query", ":", "bread", "</s>", "passage", ":", *["oven"] * 6, "</s>"
    ]  # fmt: skip


@pytest.mark.parametrize("processor", [BERT, ROBERTA, TEMPLATE], ids=["bert", "roberta", "template"])
def test_a_token_before_the_document_goes_with_prompts_in_either_order(processor: Any) -> None:
    plain = word_pieces(processor)
    marked = with_document_token(plain, "<pad>")
    found = marked.encode("bread oven", "The oven")
    assert found.tokens == ["<s>", "bread", "oven", "</s>", "<pad>", "[UNK]", "oven", "</s>"]
    assert found.type_ids == [0, 0, 0, 0, 1, 1, 1, 1]
    assert marked.encode("bread").ids == plain.encode("bread").ids
    first, last = with_document_token(with_prompts(plain, PROMPTS), "<pad>"), with_prompts(marked, PROMPTS)
    for tokenizer in (first, last):
        assert held_prompts(tokenizer) == PROMPTS
        assert tokenizer.encode("bread", "oven").tokens == [
            "<s>", "query", ":", "bread", "</s>", "<pad>", "passage", ":", "oven", "</s>"
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("tokenizer", "prompts", "why"),
    [
        (byte_level(TEMPLATE), Prompts("query: "), "give both"),
        (word_pieces(TEMPLATE), Prompts("  "), "blank"),
        (with_prompts(word_pieces(TEMPLATE), PROMPTS), Prompts("other: "), "already"),
        (word_pieces(processors.ByteLevel()), PROMPTS, "takes nothing before a text"),
    ],
)
def test_what_a_tokenizer_cannot_hold_is_told_in_one_line(tokenizer: Any, prompts: Prompts, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        with_prompts(tokenizer, prompts)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [{"passage": "x"}, "query: ", {"query": 3}])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match="prompts: expected"):
        as_prompts(value)


def test_a_reranker_reads_its_texts_with_them(toy_package: Path) -> None:
    prompts = {"query": "the query ", "document": "old bread "}
    plain, prompted = Reranker(toy_package), Reranker(toy_package, prompts=prompts)
    texts = ["flour and yeast", "a boat"]
    expected = plain.score("the query oven", ["old bread " + text for text in texts])
    assert prompted.score("oven", texts) == pytest.approx(expected, abs=1e-6)
    assert prompted.tokenizer.document_room("oven") == plain.tokenizer.document_room("oven") - len(
        pair_tokenizer(toy_package, 48).spans("the query old bread")
    )
    long = prompted.rank("oven", ["wind " * 100])[0]
    assert long.truncated
