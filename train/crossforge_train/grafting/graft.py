"""`graft`: a bi-encoder's layers, two more on top, and a head: a cross-encoder that starts from the cosines.

A cross-encoder with a fresh head must relearn from a few thousand pairs what its base, as a bi-encoder, learned from
millions. A graft starts with that knowledge, as an ordinary `BertForSequenceClassification` that every client loads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossforge.backends.last_layer import shorten_last_layer
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.grafting.as_bert import as_bert, why_not_bert
from crossforge_train.grafting.calibration import observe
from crossforge_train.grafting.comparison import add_comparison, add_pooling, fit_logits, read_score
from crossforge_train.grafting.layout import Layout, layout_of, said
from crossforge_train.grafting.segments import ADDED_UNITS, widen_layers
from crossforge_train.grafting.tokens import joined

ADDED_LAYERS = 2
_OBSERVED = 128  # queries, and as many documents, whose activations are observed
_BATCH = 64
_MEAN, _FIRST = "mean", "cls"  # poolings
_SCALE = 20.0  # logit units per unit of cosine: the scale with which sentence-transformers trains bi-encoders


@dataclass(frozen=True)
class Graft:
    """A cross-encoder to train.

    Attributes:
        model: a `BertForSequenceClassification` with one label; its documents have a first token of their own, see
            `tokens`.
        correlation: correlation of its logits with the bi-encoder's cosines within a query, over the pairs it was
            fitted to.
    """

    model: Any
    correlation: float


def obstacle(bi_encoder: Path) -> str:
    """The reason why a bi-encoder cannot be grafted; empty if it can."""
    if why_not := why_not_bert(read_json(bi_encoder / "config.json")):
        return why_not
    modules = _open(bi_encoder)
    kinds = [type(module).__name__ for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"it is made of {', '.join(kinds)}"
    if modules[1].pooling_mode not in (_MEAN, _FIRST):
        return f"it pools by {modules[1].pooling_mode}, not {_MEAN} or {_FIRST}"
    if not modules.tokenizer.mask_token:
        return "its tokenizer has no mask token"
    try:
        joined(modules.tokenizer)
    except InputError as error:
        return str(error)
    return ""


@torch.no_grad()
def graft(
    bi_encoder: Path,
    pairs: Sequence[tuple[str, str]],
    max_length: int,
    query_map: NDArray[np.float32] | None = None,
) -> Graft:
    """Make a cross-encoder from a bi-encoder without an `obstacle`; seed first, since some weights stay random.

    Args:
        bi_encoder: folder of the bi-encoder.
        pairs: query–document pairs of the domain, both relevant and not; about fifty queries or more, with several
            documents each.
        max_length: maximum tokens read of a pair.
        query_map: moves the queries' vectors before they are compared, shape (hidden, hidden).
    """
    modules = _open(bi_encoder)
    encoder, tokenizer = as_bert(modules[0].auto_model.float().eval()), modules.tokenizer
    pair_tokenizer = joined(tokenizer)
    documents = _as_read(pair_tokenizer, pairs, max_length)
    queries = list(dict.fromkeys(query for query, _ in pairs))
    pooling = _pooling(modules)
    query_vectors, document_vectors = (
        embed(texts, convert_to_tensor=True, show_progress_bar=False).float()
        for embed, texts in ((pooling.encode_query, queries), (pooling.encode_document, documents))
    )
    moving = torch.eye(len(query_vectors.T)) if query_map is None else torch.from_numpy(query_map)
    layout = layout_of(encoder.config)
    model = _wider(encoder, layout)
    spreads = observe(encoder, tokenizer, [*queries[:_OBSERVED], *documents[:_OBSERVED]])
    first_tokens = tokenizer.cls_token_id, tokenizer.mask_token_id
    widen_layers(model.bert, encoder, layout, spreads, first_tokens)
    pools, compares = model.bert.encoder.layer[-ADDED_LAYERS:]
    vectors, of_first = torch.cat([query_vectors, document_vectors]), modules[1].pooling_mode == _FIRST
    directions = add_pooling(pools, layout, vectors, of_first=of_first)
    add_comparison(compares, layout, directions, moving)
    read_score(model, layout)
    numbers = {query: number for number, query in enumerate(queries)}
    groups = torch.tensor([numbers[query] for query, _ in pairs])
    cosines = torch.cosine_similarity((query_vectors @ moving)[groups], document_vectors)
    pooled = _pooled(model, pair_tokenizer, pairs, max_length)
    return Graft(model, fit_logits(model, layout, pooled, cosines, groups, _SCALE))


def _wider(encoder: Any, layout: Layout) -> Any:
    """A random one-label classifier of a `BertModel`'s kind, wider and with two layers more."""
    from transformers import BertConfig, BertForSequenceClassification

    kept = {key: value for key, value in encoder.config.to_dict().items() if key not in ("id2label", "label2id")}
    sizes = {
        "hidden_size": layout.wide,
        "intermediate_size": encoder.config.intermediate_size + ADDED_UNITS,
        "num_hidden_layers": encoder.config.num_hidden_layers + ADDED_LAYERS,
    }
    model = BertForSequenceClassification(BertConfig(**{**kept, **sizes, **said(layout), "num_labels": 1})).eval()
    shorten_last_layer(model)
    return model


def _pooled(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """What the pooler of a `BertForSequenceClassification` makes of pairs, shape (pairs, hidden)."""
    found: list[Tensor] = []
    for start in range(0, len(pairs), _BATCH):
        queries, documents = map(list, zip(*pairs[start : start + _BATCH], strict=True))
        batch = tokenizer(
            queries, documents, padding=True, truncation="only_second", max_length=max_length, return_tensors="pt"
        )
        found.append(model.bert(**batch).pooler_output)
    return torch.cat(found)


def _as_read(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> list[str]:
    """The documents, cut to what is read next to their query: scores cannot follow a cosine with unread text."""
    queries, documents = zip(*pairs, strict=True)
    batch = tokenizer(
        list(queries), list(documents), truncation="only_second", max_length=max_length, return_offsets_mapping=True
    )
    ends = [offsets[-2][1] for offsets in batch["offset_mapping"]]  # the last token before [SEP]
    return [document[:end] for document, end in zip(documents, ends, strict=True)]


def _open(bi_encoder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(bi_encoder), device="cpu", local_files_only=True)


def _pooling(modules: Any) -> Any:
    """The bi-encoder with its prompts, up to its pooling: before any normalisation."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=[modules[0], modules[1]], device="cpu", prompts=modules.prompts)
