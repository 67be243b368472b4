"""What a model is, how it would be used, and what reads a package that is made of it."""

from __future__ import annotations

from pathlib import Path

from crossforge.backends.model_files import MODEL_FILE
from crossforge.files import read_json
from crossforge.heads.choice import named_head, without_head
from crossforge.heads.one_label import OneLabel, architecture
from crossforge.heads.own_code import own_code
from crossforge.loading import token_limit
from crossforge.prompts import held_prompts
from crossforge.tokenization import read_tokenizer
from crossforge_train.models.base_model import find_base_model, is_bi_encoder


def model_facts(folder: Path) -> dict[str, str | int]:
    """Facts about a model's folder, in words; nothing of it is loaded but its settings.

    Raises:
        InputError: it is of no use here; the message says why.
        PackageError: it has no readable `config.json`.
    """
    find_base_model(str(folder))
    head = named_head(folder)
    reading = reading_facts(folder)
    needed = "" if (folder / MODEL_FILE).is_file() else own_code(read_json(folder / "config.json"))
    unusable = needed and f"no, {needed}, which is run of a base model only"
    return {
        "is": reading.pop("is"),
        "as base": _as_base(folder),
        "as teacher": unusable or _as_teacher(folder),
        "as incumbent": unusable or ("yes" if head else "no, it has no scoring head"),
        "reads": f"{token_limit(folder)} tokens of query and document together",
        "a package of it is read by": reading.pop("is read by"),
        **reading,
    }


def reading_facts(folder: Path) -> dict[str, str]:
    """What a model or package is, how it reads query and document, and what can read it."""
    head = named_head(folder)
    template = head.template(folder) if head else None
    pairs = template.around("{query}", "{document}") if template else "none: the tokenizer joins query and document"
    return {
        "is": head.kind if head else _without_head(folder),
        "template": pairs,
        "instruction": "may be given" if template and template.instructed else "takes none",
        "prompts": _prompts(folder),
        "is read by": _templated_readers() if template else (head or OneLabel()).readers,
    }


def holds_model(folder: Path) -> bool:
    """Whether a folder looks like a model's."""
    return (folder / "config.json").is_file()


def _without_head(folder: Path) -> str:
    if is_bi_encoder(folder):
        return "a bi-encoder"
    is_causal = architecture(read_json(folder / "config.json")).endswith("ForCausalLM")
    return "a causal language model, not asked about pairs" if is_causal else "an encoder"


def _as_base(folder: Path) -> str:
    if named_head(folder):
        return "trained further from its own scores"
    fresh = "training starts with a fresh head"
    if not is_bi_encoder(folder):
        return f"{fresh}: {without_head(folder)}"
    from crossforge_train.grafting.as_bert import why_not_bert

    why_not = why_not_bert(read_json(folder / "config.json"))
    return f"{fresh}: {why_not}" if why_not else "training starts from its cosines where it can be grafted"


def _as_teacher(folder: Path) -> str:
    if named_head(folder):
        return "its logits (mining.teacher: its path)"
    return "its cosines (mining.teacher: base)" if is_bi_encoder(folder) else "no, it scores nothing yet"


def _prompts(folder: Path) -> str:
    found = held_prompts(read_tokenizer(folder / "tokenizer.json"))
    return f"{found.query!r} before queries, {found.document!r} before documents" if found else "none"


def _templated_readers() -> str:
    return "crossforge and sentence-transformers from 6, which apply the template; others need texts that are within it"
