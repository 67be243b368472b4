"""A transformer's last layer, computed for the one token that its head reads.

The head of a BERT-like classifier reads the first token alone. All tokens feed that token's attention, but what the
last layer would make of the others nobody looks at; of six layers that saves most of one, in scoring and in training.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# Their layers have one shape, and their heads read `hidden_states[:, 0]`.
_KNOWN = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
_PLAIN_MASKS = {"eager", "sdpa"}  # flash attention is given no mask of (batch, 1, queries, keys)


def shorten_last_layer(model: Any) -> bool:
    """Let the last layer of a sequence classifier give (batch, 1, hidden): the first token. Its scores stay the same.

    Weights and their names stay as they are, so it is saved, adapted and merged like any other.

    Args:
        model: a `transformers` sequence classifier; changed in place.

    Returns:
        Whether it was done; models of other architectures are left alone.
    """
    import transformers

    config = model.config
    if (
        not type(model).__name__.endswith("ForSequenceClassification")  # another head may read all tokens
        or config.model_type not in _KNOWN
        or int(transformers.__version__.split(".")[0]) < 5  # where layers give tuples
        or config._attn_implementation not in _PLAIN_MASKS
        or config.is_decoder
    ):
        return False
    layer = model.base_model.encoder.layer[-1]
    layer.forward = MethodType(_first_token, layer)
    return True


def _first_token(layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """The forward pass of such a layer for its first token. Modules are looked up each time: adapters replace them."""
    from torch.nn.functional import scaled_dot_product_attention

    attention = layer.attention.self
    first = hidden_states[:, :1]

    def heads(projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], attention.num_attention_heads, -1).transpose(1, 2)

    attended = scaled_dot_product_attention(
        heads(attention.query(first)),
        heads(attention.key(hidden_states)),
        heads(attention.value(hidden_states)),
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        dropout_p=attention.dropout.p if layer.training else 0.0,
    )
    output: Tensor = layer.feed_forward_chunk(layer.attention.output(attended.transpose(1, 2).flatten(2), first))
    return output
