"""Writes a tokenizer that joins query and document in a way of its own, as files that all clients read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossforge.files import read_json, write_json
from crossforge.tokenization import read_tokenizer

_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def rewrite_tokenizer(base: Path, folder: Path, change: Callable[[Any], Any], *, segments: bool) -> None:
    """Write a model's tokenizer, changed, into a folder; files and links of its names there are replaced.

    Args:
        base: the model's folder; may be `folder`.
        folder: output folder.
        change: makes one `tokenizers.Tokenizer` of another.
        segments: whether the model that reads it distinguishes query from document by `token_type_ids`.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    made = change(read_tokenizer(folder / "tokenizer.json"))
    state = {**json.loads(made.to_str()), "truncation": None, "padding": None}
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
    settings = read_json(folder / "tokenizer_config.json")
    # transformers' own class for the architecture would build its template anew, without what was changed.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["model_input_names"] = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
    if (state.get("pre_tokenizer") or {}).get("add_prefix_space") is not None:
        settings["add_prefix_space"] = state["pre_tokenizer"]["add_prefix_space"]
    write_json(folder / "tokenizer_config.json", settings)
