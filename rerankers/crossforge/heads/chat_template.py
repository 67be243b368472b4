"""The chat template of a tokenizer, by which sentence-transformers gives a model query and document as two roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError
from crossforge.package_files import SENTENCE_BERT_FILE, SENTENCE_TRANSFORMERS_FILE, read_optional_json
from crossforge.templates import INSTRUCTION, PairTemplate

_QUERY, _DOCUMENT = "QUERYPLACEHOLDER", "DOCUMENTPLACEHOLDER"
_UNKNOWN_ROLE = "ROLEPLACEHOLDER"
# Among the options of a chat template: how sentence-transformers cuts and pads.
_OF_LENGTH = ("padding", "truncation", "max_length", "return_tensors", "restore_suffix")


def has_chat_template(folder: Path) -> bool:
    """Whether a folder's tokenizer has a chat template."""
    written = read_optional_json(folder / "tokenizer_config.json").get("chat_template")
    return bool(written) or (folder / "chat_template.jinja").is_file()


def pair_template(folder: Path) -> PairTemplate:
    """A chat template as texts around query and document, with the default prompt as the instruction.

    Raises:
        PackageError: it has no one place for each of the two roles, or cannot be read.
    """
    tokenizer = _tokenizer(folder)
    settings = read_optional_json(folder / SENTENCE_TRANSFORMERS_FILE)
    prompt = (settings.get("prompts") or {}).get(settings.get("default_prompt_name"))
    return PairTemplate(*_rendered(folder, tokenizer, prompt), _instructed(folder, tokenizer))


def is_for_any_chat(folder: Path) -> bool:
    """Whether a chat template was not made for pairs: it lets a role that it cannot know speak, under its name.

    Raises:
        PackageError: the tokenizer cannot be loaded.
    """
    tokenizer = _tokenizer(folder)
    try:
        rendered = _spoken(folder, tokenizer, [(_UNKNOWN_ROLE, _QUERY)])
    except PackageError:
        return False
    return _UNKNOWN_ROLE.casefold() in rendered.casefold()  # templates also capitalize it


def template_options(folder: Path) -> dict[str, Any]:
    """The options with which sentence-transformers renders a folder's chat template."""
    processing: Mapping[str, Any] = read_optional_json(folder / SENTENCE_BERT_FILE).get("processing_kwargs") or {}
    options: Mapping[str, Any] = processing.get("chat_template") or {}
    return {key: value for key, value in options.items() if key not in _OF_LENGTH}


def _tokenizer(folder: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise PackageError('a chat template that is in no package needs pip install "crossforge[torch]"') from None
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many types; all mean "cannot be loaded"
        raise PackageError(f"transformers cannot load its tokenizer ({type(error).__name__})") from None


def _instructed(folder: Path, tokenizer: Any) -> tuple[str, str, str] | None:
    """The texts around a pair with a placeholder for the instruction; None if it has no one place there."""
    try:
        texts = _rendered(folder, tokenizer, INSTRUCTION)
    except PackageError:
        return None
    return texts if "".join(texts).count(INSTRUCTION) == 1 else None


def _rendered(folder: Path, tokenizer: Any, instruction: str | None) -> tuple[str, str, str]:
    """The texts before, between and after query and document, under an instruction."""
    texts = [("system", instruction)] if instruction else []
    rendered = _spoken(folder, tokenizer, [*texts, ("query", _QUERY), ("document", _DOCUMENT)])
    before, found, rest = rendered.partition(_QUERY)
    between, found_too, after = rest.partition(_DOCUMENT)
    if not found or not found_too or _QUERY in after or _DOCUMENT in after:
        raise PackageError(
            'its chat template does not use the roles "query" and "document" once each; add one that does '
            "(chat_template.jinja), which sentence-transformers needs, too"
        )
    return before, between, after


def _spoken(folder: Path, tokenizer: Any, texts: Sequence[tuple[str, str]]) -> str:
    """What a chat template makes of texts by their roles."""
    messages = [{"role": role, "content": _content(folder, text)} for role, text in texts]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **template_options(folder)))
    except Exception as error:  # templates raise what they like
        raise PackageError(f"its chat template cannot be rendered ({type(error).__name__})") from None


def _content(folder: Path, text: str) -> Any:
    """A message's content in the form that the folder's settings name."""
    modalities = read_optional_json(folder / SENTENCE_BERT_FILE).get("modality_config") or {}
    structured = (modalities.get("message") or {}).get("format") == "structured"
    return [{"type": "text", "text": text}] if structured else text
