"""A base model with the texts that a config puts around its pairs: the instruction of a decoder, prompts of an encoder.

They go into a folder that is the base model's in all else, so whatever reads a model's folder applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import write_json, written_atomically
from crossforge.loading import pair_tokenizer, token_limit, uses_segments
from crossforge.package_files import SENTENCE_TRANSFORMERS_FILE, read_optional_json
from crossforge.prompts import Prompts, with_prompts
from crossforge.templates import TEMPLATE_FILE, read_template, write_template
from crossforge_train.models.base_model import is_bi_encoder
from crossforge_train.models.tokenizer_files import rewrite_tokenizer

_NAME = "instruction"  # among the prompts of sentence-transformers


def own_prompts(bi_encoder: Path) -> Prompts:
    """What sentence-transformers puts before queries and documents of a bi-encoder, as its settings say."""
    return role_prompts(read_optional_json(bi_encoder / SENTENCE_TRANSFORMERS_FILE).get("prompts") or {})


def role_prompts(named: Mapping[str, str | None]) -> Prompts:
    """A SentenceTransformer's prompts of queries and documents, of those by name.

    A loaded model has these two names, whatever was saved, so that `encode_query` and `encode_document` take no other.
    """
    return Prompts(named.get("query") or "", named.get("document") or "")


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
                segments = uses_segments(base)
                rewrite_tokenizer(base, beside, lambda made: with_prompts(made, prompts), segments=segments)
            if prompts and is_bi_encoder(base):  # its cosines are those of texts with prompts, too
                _write_prompts(beside, {"query": prompts.query, "document": prompts.document})
    return folder


def _link(base: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in base.resolve().iterdir():
        (folder / path.name).symlink_to(path)


def _write_instruction(folder: Path, instruction: str) -> None:
    """As sentence-transformers' default prompt, which it and `Decoder` put into the template; and as the runtime's."""
    _write_prompts(folder, {_NAME: instruction.strip()}, default_prompt_name=_NAME)
    if template := read_template(folder):
        (folder / TEMPLATE_FILE).unlink(missing_ok=True)
        write_template(folder, template.with_instruction(instruction))


def _write_prompts(folder: Path, prompts: Mapping[str, str], **settings: str) -> None:
    """Add prompts by name to those of sentence-transformers, and change settings of its file."""
    known = read_optional_json(folder / SENTENCE_TRANSFORMERS_FILE)
    (folder / SENTENCE_TRANSFORMERS_FILE).unlink(missing_ok=True)  # a link to the base model's
    write_json(
        folder / SENTENCE_TRANSFORMERS_FILE,
        {**known, "prompts": {**(known.get("prompts") or {}), **prompts}, **settings},
    )
