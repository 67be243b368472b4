"""A bi-encoder whose graft can be told from chance, and pairs to fit it to."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection


@pytest.fixture(scope="module")
def collection(toy_collection: Path) -> Collection:
    return read_beir(toy_collection)


@pytest.fixture(scope="module")
def pairs(collection: Collection) -> Sequence[tuple[str, str]]:
    draw = random.Random(0)
    documents = [found.full_text for found in collection.corpus.values()]
    return [(query, document) for query in collection.queries.values() for document in draw.sample(documents, 3)]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder like real ones: means over the axes of its vectors are small, and texts differ.

    It has no positions, since random ones would make other texts of the documents, which a graft reads after their
    query.
    """
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=2, num_attention_heads=12, intermediate_size=256,
        max_position_embeddings=96,
    )  # fmt: skip
    model = BertModel(config)
    with torch.no_grad():
        model.embeddings.position_embeddings.weight.zero_()
        words = model.embeddings.word_embeddings.weight
        words.copy_(10 * (words - words.mean(1, keepdim=True)))
    folder: Path = tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    transformer = Transformer(str(folder / "plain"), max_seq_length=64)
    SentenceTransformer(modules=[transformer, Pooling(384, "mean")], device="cpu").save(str(folder / "model"))
    return folder / "model"
