"""Loads a language model of `transformers` that writes or reads texts; nothing of a model's own code is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge_train.libraries import quieten


def load_language_model(name: str, key: str) -> tuple[Any, Any]:
    """A seq2seq or causal model, on the GPU if there is one, and its tokenizer.

    Args:
        name: folder or hub id.
        key: the section's name in a config, for errors.

    Raises:
        InputError: it cannot be loaded, or generates nothing.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    quieten()
    local = Path(name).is_dir()
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=local)
        kind, side = (AutoModelForSeq2SeqLM, "right") if config.is_encoder_decoder else (AutoModelForCausalLM, "left")
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local, padding_side=side)
        model = kind.from_pretrained(name, local_files_only=local, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{key}: {name}: cannot be loaded ({' '.join(str(error).split())})") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer
