"""A base model with the texts that a config puts around its pairs: the instruction of a decoder, prompts of an encoder.

They go into a folder that is the base model's in all else, so whatever reads a model's folder applies them.
"""

from __future__ import annotations

import json
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, write_json, written_atomically
from crossforge.heads.modular import SETTINGS_FILE
from crossforge.loading import pair_tokenizer, token_limit, uses_segments
from crossforge.package_files import read_optional_json
from crossforge.prompts import Prompts, with_prompts
from crossforge.templates import TEMPLATE_FILE, read_template, write_template
from crossforge.tokenization import read_tokenizer

_NAME = "instruction"  # among the prompts of sentence-transformers


def require_texts(base: Path, instruction: str | None, prompts: Prompts) -> None:
    """Raise `InputError` if a base model takes no such instruction or prompts; the message says why."""
    if instruction is None and not prompts:
        return
    try:
        pair_tokenizer(base, token_limit(base), instruction, prompts)
    except InputError as error:
        raise InputError(f"base model {error}") from None


def with_texts(base: Path, folder: Path, instruction: str | None, prompts: Prompts) -> Path:
    """The base model with these texts: `folder`, which is made unless it exists; `base` itself if there are none.

    Raises:
        InputError: as for `require_texts`.
    """
    if instruction is None and not prompts:
        return base
    if not folder.is_dir():
        require_texts(base, instruction, prompts)
        with written_atomically(folder) as beside:
            _link(base, beside)
            if instruction is not None:
                _write_instruction(beside, instruction)
            if prompts:
                _write_prompts(base, beside, prompts)
    return folder


def _link(base: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in base.resolve().iterdir():
        (folder / path.name).symlink_to(path)


def _write_instruction(folder: Path, instruction: str) -> None:
    """As sentence-transformers' default prompt, which it and `Decoder` put into the template; and as the runtime's."""
    settings = read_optional_json(folder / SETTINGS_FILE)
    prompts = {**(settings.get("prompts") or {}), _NAME: instruction.strip()}
    _replace(folder / SETTINGS_FILE)
    write_json(folder / SETTINGS_FILE, {**settings, "prompts": prompts, "default_prompt_name": _NAME})
    if template := read_template(folder):
        _replace(folder / TEMPLATE_FILE)
        write_template(folder, template.with_instruction(instruction))


def _write_prompts(base: Path, folder: Path, prompts: Prompts) -> None:
    from transformers import AutoTokenizer

    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        _replace(folder / name)
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    tokenizer.save_pretrained(folder)
    made = with_prompts(read_tokenizer(folder / "tokenizer.json"), prompts)
    state = {**json.loads(made.to_str()), "truncation": None, "padding": None}
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
    settings = read_json(folder / "tokenizer_config.json")
    # transformers' own class for the architecture would build its template anew, without the prompts.
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    segments = ["token_type_ids"] if uses_segments(base) else []
    settings["model_input_names"] = ["input_ids", *segments, "attention_mask"]
    if (state.get("pre_tokenizer") or {}).get("add_prefix_space") is not None:
        settings["add_prefix_space"] = state["pre_tokenizer"]["add_prefix_space"]
    write_json(folder / "tokenizer_config.json", settings)


def _replace(link: Path) -> None:
    """Make room for a file where there is a link to the base model's."""
    link.unlink(missing_ok=True)
