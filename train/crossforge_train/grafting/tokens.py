"""Gives the document of a pair a first token of its own, as it has one where a bi-encoder reads it alone.

It is the mask token, which no text holds; so the vocabulary stays as it is. The tokenizer puts it there, as it does
with the other special tokens, so that every client does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossforge.files import read_json
from crossforge.prompts import with_document_token
from crossforge_train.models.tokenizer_files import rewrite_tokenizer


def joined(tokenizer: Any) -> Any:
    """A `transformers` tokenizer that joins a pair as [CLS] query [SEP] [MASK] document [SEP].

    The second segment begins with [MASK].
    """
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=with_document_token(tokenizer.backend_tokenizer, tokenizer.mask_token),
        pad_token=tokenizer.pad_token,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def write_joined(folder: Path) -> None:
    """Let the tokenizer of a graft's folder join pairs like that."""
    mask_token = read_json(folder / "special_tokens_map.json")["mask_token"]
    rewrite_tokenizer(folder, folder, lambda made: with_document_token(made, mask_token), segments=True)
