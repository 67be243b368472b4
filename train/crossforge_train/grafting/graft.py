"""`graft`: a bi-encoder's layers, one more on top, and a head: a cross-encoder that starts from the cosines.

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
from crossforge.files import read_json
from crossforge_train.grafting.calibration import observe
from crossforge_train.grafting.comparison import Evenness, add_comparison, fit_logits
from crossforge_train.grafting.segments import (
    ADDED_UNITS,
    keep_segments_apart,
    least_important_axis,
    load_with_added_units,
)

_EVENNESS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # values to try; the best depends on how much longer the documents are
_OBSERVED = 128  # queries, and as many documents, whose activations are observed
_BATCH = 64
_SCALE = 20.0  # logit units per unit of cosine: the scale with which sentence-transformers trains bi-encoders


@dataclass(frozen=True)
class Graft:
    """A cross-encoder to train.

    Attributes:
        model: a `BertForSequenceClassification` with one label.
        correlation: correlation of its logits with the bi-encoder's cosines within a query, over the pairs it was
            fitted to.
    """

    model: Any
    correlation: float


def obstacle(bi_encoder: Path) -> str:
    """The reason why a bi-encoder cannot be grafted; empty if it can."""
    config = read_json(bi_encoder / "config.json")
    if config.get("model_type") != "bert":
        return f"its architecture is {config.get('model_type')}, not bert"
    if config.get("type_vocab_size") != 2:
        return "it has no segment embeddings"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return "its positions are relative"
    if not str(config.get("hidden_act")).startswith("gelu"):
        return f"its activation is {config.get('hidden_act')}, not gelu"
    modules = _open(bi_encoder)
    kinds = [type(module).__name__ for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"it is made of {', '.join(kinds)}"
    return "" if modules[1].pooling_mode == "mean" else f"it pools by {modules[1].pooling_mode}, not mean"


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
    encoder, tokenizer = modules[0].auto_model.float().eval(), modules.tokenizer
    documents = _as_read(tokenizer, pairs, max_length)
    queries = list(dict.fromkeys(query for query, _ in pairs))
    activations = observe(encoder, tokenizer, [*queries[:_OBSERVED], *documents[:_OBSERVED]])
    model = _one_layer_more(encoder)
    axis = least_important_axis(encoder, activations)
    keep_segments_apart(model.bert, axis, tokenizer.cls_token_id, encoder.config.num_hidden_layers, activations)
    averaging = _averaging(modules)
    query_vectors, document_vectors = (
        embed(texts, convert_to_tensor=True, show_progress_bar=False).float()
        for embed, texts in ((averaging.encode_query, queries), (averaging.encode_document, documents))
    )
    entering = _entering_last_layer(model, tokenizer, pairs, max_length)
    numbers = {query: number for number, query in enumerate(queries)}
    groups = torch.tensor([numbers[query] for query, _ in pairs])
    moving = torch.eye(len(query_vectors.T)) if query_map is None else torch.from_numpy(query_map)
    cosines = torch.cosine_similarity((query_vectors @ moving)[groups], document_vectors)

    def compare(evenness: Evenness) -> float:
        add_comparison(model, axis, query_vectors, document_vectors, moving, activations, evenness)
        return fit_logits(model, axis, entering, cosines, groups, _SCALE)

    alike = max((Evenness(each, each) for each in _EVENNESS), key=compare)
    query = max((alike._replace(query=each) for each in _EVENNESS), key=compare)
    return Graft(model, compare(max((query._replace(document=each) for each in _EVENNESS), key=compare)))


def _entering_last_layer(
    model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int
) -> tuple[Tensor, Tensor]:
    """Inputs of the last layer, computed only once: hidden states (pairs, length, hidden) and attention mask."""
    queries, documents = map(list, zip(*pairs, strict=True))
    batch = tokenizer(queries, documents, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    seen: list[Tensor] = []
    hook = model.bert.encoder.layer[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        for start in range(0, len(pairs), _BATCH):
            model(**{name: values[start : start + _BATCH] for name, values in batch.items()})
    finally:
        hook.remove()
    # The layers' own masks are None in a batch without padding.
    return torch.cat(seen), batch["attention_mask"][:, None, None].bool()


def _one_layer_more(encoder: Any) -> Any:
    """A one-label classifier with the layers of a `BertModel`, `ADDED_UNITS` wider, and a random layer after them."""
    from transformers import BertConfig, BertForSequenceClassification

    kept = {key: value for key, value in encoder.config.to_dict().items() if key not in ("id2label", "label2id")}
    config = BertConfig(**{**kept, "num_hidden_layers": encoder.config.num_hidden_layers + 1, "num_labels": 1})
    config.intermediate_size += ADDED_UNITS
    model = BertForSequenceClassification(config).eval()
    shorten_last_layer(model)
    load_with_added_units(model.bert, encoder)
    return model


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


def _averaging(modules: Any) -> Any:
    """The bi-encoder with its prompts, up to the mean of the tokens: before any normalisation."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=[modules[0], modules[1]], device="cpu", prompts=modules.prompts)
