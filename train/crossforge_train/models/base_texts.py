"""A base model with the texts that a config puts around its pairs: the instruction of a decoder, prompts of an encoder.

They go into a folder that is the base model's in all else, so whatever reads a model's folder applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import write_json, written_atomically
from crossforge.heads.modular import SETTINGS_FILE
from crossforge.loading import pair_tokenizer, token_limit
from crossforge.package_files import read_optional_json
from crossforge.prompts import Prompts, with_prompts
from crossforge.templates import TEMPLATE_FILE, read_template, write_template
from crossforge_train.models.tokenizer_files import rewrite_tokenizer

_NAME = "instruction"  # among the prompts of sentence-transformers
# Names of prompts for queries and for documents, the first that there is counts.
_ROLES = (("query",), ("document", "passage", "corpus"))


def own_prompts(bi_encoder: Path) -> Prompts:
    """What sentence-transformers puts before queries and documents of a bi-encoder, as its settings say."""
    settings = read_optional_json(bi_encoder / SETTINGS_FILE)
    # A loaded model has these two keys, whatever was saved.
    return role_prompts({"query": "", "document": "", **(settings.get("prompts") or {})}, None)


def role_prompts(named: Mapping[str, str], default: str | None) -> Prompts:
    """The prompts of queries and documents, by the rules of `encode_query` and `encode_document`.

    Args:
        named: a SentenceTransformer's prompts by name.
        default: the name of the one where there is none for a role.
    """
    otherwise = named.get(default or "", "")
    return Prompts(*(next((named[name] for name in names if name in named), otherwise) for names in _ROLES))


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
                rewrite_tokenizer(base, beside, lambda tokenizer: with_prompts(tokenizer, prompts))
    return folder


def _link(base: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in base.resolve().iterdir():
        (folder / path.name).symlink_to(path)


def _write_instruction(folder: Path, instruction: str) -> None:
    """As sentence-transformers' default prompt, which it and `Decoder` put into the template; and as the runtime's."""
    settings = read_optional_json(folder / SETTINGS_FILE)
    prompts = {**(settings.get("prompts") or {}), _NAME: instruction.strip()}
    (folder / SETTINGS_FILE).unlink(missing_ok=True)  # a link to the base model's
    write_json(folder / SETTINGS_FILE, {**settings, "prompts": prompts, "default_prompt_name": _NAME})
    if template := read_template(folder):
        (folder / TEMPLATE_FILE).unlink(missing_ok=True)
        write_template(folder, template.with_instruction(instruction))
