"""Gives encoders that compute what BERT computes the form of a `BertModel`, of which grafts are made.

RoBERTa and its family count positions from after the padding token's id; DistilBERT names its layers
differently. Both lack segments, of which a graft needs two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

_ROBERTAS = "roberta", "xlm-roberta", "camembert"
_DISTILBERT = "distilbert"
_POSITIONS, _SEGMENTS = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"
_SEGMENT_COUNT = 2
_POOLER = "pooler."  # `transformers` puts one on top, which a bi-encoder does not use
# BERT's settings -> DistilBERT's
_SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "max_position_embeddings": "max_position_embeddings",
    "initializer_range": "initializer_range",
    "pad_token_id": "pad_token_id",
}
# parts of DistilBERT's names -> BERT's, in the order in which they are replaced
_NAMES = {
    "transformer.layer.": "encoder.layer.",
    ".attention.q_lin.": ".attention.self.query.",
    ".attention.k_lin.": ".attention.self.key.",
    ".attention.v_lin.": ".attention.self.value.",
    ".attention.out_lin.": ".attention.output.dense.",
    ".sa_layer_norm.": ".attention.output.LayerNorm.",
    ".ffn.lin1.": ".intermediate.dense.",
    ".ffn.lin2.": ".output.dense.",
    ".output_layer_norm.": ".output.LayerNorm.",
}


def why_not_bert(config: Mapping[str, Any]) -> str:
    """The reason why an encoder with this `config.json` cannot be a `BertModel`; empty if it can."""
    kind = config.get("model_type")
    if kind not in ("bert", *_ROBERTAS, _DISTILBERT):
        return f"its architecture is {kind}, not bert, roberta or distilbert"
    if kind == "bert" and config.get("type_vocab_size") != _SEGMENT_COUNT:
        return "it has no segment embeddings"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return "its positions are relative"
    activation = str(config.get("activation" if kind == _DISTILBERT else "hidden_act"))
    return "" if activation.startswith("gelu") else f"its activation is {activation}, not gelu"


@torch.no_grad()
def as_bert(encoder: Any) -> Any:
    """An encoder as a `BertModel` of two segments, both of them its first.

    Args:
        encoder: a `transformers` encoder without a `why_not_bert`, in fp32.
    """
    from transformers import BertModel

    kind = encoder.config.model_type
    if kind == "bert":
        return encoder
    weights = {name: value for name, value in encoder.state_dict().items() if not name.startswith(_POOLER)}
    if kind == _DISTILBERT:
        weights = {_renamed(name): value for name, value in weights.items()}
        weights[_SEGMENTS] = torch.zeros(1, encoder.config.dim)
    else:
        weights[_POSITIONS] = weights[_POSITIONS][encoder.config.pad_token_id + 1 :]
    weights[_SEGMENTS] = weights[_SEGMENTS][:1].repeat(_SEGMENT_COUNT, 1)
    model = BertModel(_config(encoder.config, len(weights[_POSITIONS])), add_pooling_layer=False)
    model.load_state_dict(weights)
    return model.eval()


def _config(config: Any, positions: int) -> Any:
    from transformers import BertConfig

    if config.model_type == _DISTILBERT:
        settings = {ours: getattr(config, theirs) for ours, theirs in _SETTINGS.items()}
    else:
        settings = {name: getattr(config, name) for name in (*_SETTINGS, "layer_norm_eps")}
    return BertConfig(**{**settings, "max_position_embeddings": positions, "type_vocab_size": _SEGMENT_COUNT})


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name
