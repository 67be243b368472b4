"""A causal language model that answers yes or no: its score is the logit of the one less that of the other.

Both logits are products of the last token's hidden state with rows of the output matrix, so their difference is the
product with the difference of the rows: an ordinary sequence classifier with one label, which is what this loads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import read_json
from crossforge.heads.one_label import OneLabel, architecture, cannot_load
from crossforge.package_files import read_optional_json, read_package_json
from crossforge.templates import INSTRUCTION, PairTemplate
from crossforge.tokenization import read_tokenizer

_YES, _NO = "yes", "no"
_QUERY, _DOCUMENT = "QUERYPLACEHOLDER", "DOCUMENTPLACEHOLDER"
_UNKNOWN_ROLE = "ROLEPLACEHOLDER"
# What a model may do to its logits after the output matrix, and no classifier of transformers does.
_AFTERWARDS = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
_SCORE = "score.weight"


class Decoder:
    """See `ScoringHead`."""

    kind = "a decoder that answers yes or no"
    readers = OneLabel.readers
    native = False

    @staticmethod
    def claims(folder: Path) -> bool:
        """Whether the model is a causal language model."""
        return architecture(read_package_json(folder / "config.json")).endswith("ForCausalLM")

    @staticmethod
    def defect(folder: Path) -> str:
        """What it lacks to answer yes or no about a query and a document."""
        config = read_package_json(folder / "config.json")
        changed = [key for key in _AFTERWARDS if config.get(key) not in (None, 1, 1.0)]
        if changed:
            return f"it changes its logits after the output matrix ({changed[0]}), which no one-label head can"
        try:
            _template(folder)
            _answers(folder)
            _pad_id(folder)
        except (PackageError, InputError) as error:
            return str(error)
        return ""

    @staticmethod
    def template(folder: Path) -> PairTemplate | None:
        """Its chat template with roles "query" and "document", and its default prompt as the instruction."""
        try:
            return _template(folder)
        except PackageError as error:
            raise PackageError(f"{folder}: {error}") from None

    @staticmethod
    def load(folder: Path) -> Any:
        """Load it as a sequence classifier whose head is the direction from no to yes."""
        import torch
        from transformers import AutoModelForSequenceClassification

        try:
            with _unreported():
                model, loading = AutoModelForSequenceClassification.from_pretrained(
                    folder,
                    num_labels=1,
                    pad_token_id=_pad_id(folder),
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
        except PackageError:
            raise
        except Exception as error:  # safetensors and transformers raise many types; all mean "cannot be loaded"
            raise cannot_load(folder, error) from None
        if sorted(loading["missing_keys"]) != [_SCORE]:
            raise PackageError(f"{folder}: the weights lack {', '.join(sorted(loading['missing_keys'])[:3])}")
        rows = _output_rows(folder, model, _answers(folder))
        with torch.no_grad():
            model.score.weight.copy_(rows[0] - rows[1] if len(rows) > 1 else rows[0])
        return model

    @staticmethod
    def drafted(folder: Path, config: Any) -> Any:
        """A classifier with random weights."""
        from transformers import AutoModelForSequenceClassification

        config.num_labels, config.pad_token_id = 1, _pad_id(folder)
        return AutoModelForSequenceClassification.from_config(config)

    @staticmethod
    def made(model: Any) -> bool:
        """Never: what it loads is a sequence classifier."""
        return False

    @staticmethod
    def save(model: Any, folder: Path, max_length: int) -> None:
        """Write it as what it is loaded as, a sequence classifier."""
        OneLabel.save(model, folder, max_length)


@contextmanager
def _unreported() -> Iterator[None]:
    """Keep transformers from warning that the head is random: it is written right after the loading."""
    logger = logging.getLogger("transformers.modeling_utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _template(folder: Path) -> PairTemplate:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise PackageError('a decoder that is no package needs pip install "crossforge[torch]"') from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many types; all mean "cannot be loaded"
        raise PackageError(f"transformers cannot load its tokenizer ({type(error).__name__})") from None
    if not tokenizer.chat_template:
        raise PackageError(
            "a causal language model without a chat template, so nothing says how it reads a query and a document"
        )
    if _logit_score(folder) is None and _is_for_any_chat(folder, tokenizer):
        raise PackageError(
            "its chat template is that of a chat model, which writes any role's name as it is, so nothing asks for yes "
            'or no; give it one for the roles "query" and "document" (chat_template.jinja), as sentence-transformers '
            "asks for, too"
        )
    settings = read_optional_json(folder / "config_sentence_transformers.json")
    prompt = (settings.get("prompts") or {}).get(settings.get("default_prompt_name"))
    return PairTemplate(*_rendered(folder, tokenizer, prompt), _instructed(folder, tokenizer))


def _instructed(folder: Path, tokenizer: Any) -> tuple[str, str, str] | None:
    """The texts around a pair with a placeholder for the instruction; None if it has no one place there."""
    try:
        texts = _rendered(folder, tokenizer, INSTRUCTION)
    except PackageError:
        return None
    return texts if "".join(texts).count(INSTRUCTION) == 1 else None


def _is_for_any_chat(folder: Path, tokenizer: Any) -> bool:
    """Whether a chat template was not made for pairs: it lets a role that it cannot know speak, under its name."""
    try:
        rendered = _spoken(folder, tokenizer, [(_UNKNOWN_ROLE, _QUERY)])
    except PackageError:
        return False
    return _UNKNOWN_ROLE.casefold() in rendered.casefold()  # templates also capitalize it


def _rendered(folder: Path, tokenizer: Any, instruction: str | None) -> tuple[str, str, str]:
    """The texts before, between and after query and document, under an instruction."""
    texts = [("system", instruction)] if instruction else []
    rendered = _spoken(folder, tokenizer, [*texts, ("query", _QUERY), ("document", _DOCUMENT)])
    before, found, rest = rendered.partition(_QUERY)
    between, found_too, after = rest.partition(_DOCUMENT)
    if not found or not found_too or _QUERY in after or _DOCUMENT in after:
        raise PackageError(
            'its chat template has no one place for each of the roles "query" and "document"; give it one that has '
            "(chat_template.jinja), as sentence-transformers asks for, too"
        )
    return before, between, after


def _spoken(folder: Path, tokenizer: Any, texts: Sequence[tuple[str, str]]) -> str:
    """What a chat template makes of texts by their roles."""
    messages = [{"role": role, "content": _content(folder, text)} for role, text in texts]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except Exception as error:  # templates raise what they like
        raise PackageError(f"its chat template cannot be rendered ({type(error).__name__})") from None


def _content(folder: Path, text: str) -> Any:
    """A message's content in the form that the folder's settings name."""
    modalities = read_optional_json(folder / "sentence_bert_config.json").get("modality_config") or {}
    structured = (modalities.get("message") or {}).get("format") == "structured"
    return [{"type": "text", "text": text}] if structured else text


def _answers(folder: Path) -> list[int]:
    """Ids of the tokens that mean relevant and, if any does, not: those of a LogitScore module, else yes and no."""
    if (settings := _logit_score(folder)) is not None:
        return [found for key in ("true_token_id", "false_token_id") if (found := settings.get(key)) is not None]
    ids = [_token_id(folder, word) for word in (_YES, _NO)]
    missing = [word for word, found in zip((_YES, _NO), ids, strict=True) if found is None]
    if missing:
        raise PackageError(f"{missing[0]!r} is no single token of its vocabulary, so it has no logit of its own")
    return [found for found in ids if found is not None]


def _logit_score(folder: Path) -> Mapping[str, Any] | None:
    """The settings of the LogitScore module with which sentence-transformers saves a reranker; None if it has none."""
    path = folder / "modules.json"
    for entry in read_json(path) if path.is_file() else []:
        if str(entry.get("type", "")).endswith(".LogitScore"):
            return dict(read_package_json(folder / str(entry["path"]) / "config.json"))
    return None


def _token_id(folder: Path, word: str) -> int | None:
    found: int | None = read_tokenizer(folder / "tokenizer.json").token_to_id(word)
    return found


def _pad_id(folder: Path) -> int:
    found = pad_token_id(folder, read_package_json(folder / "config.json"))
    if found is None:
        raise PackageError(
            "its tokenizer has no padding token, so texts of several lengths make no batch; name one of its tokens as "
            "pad_token in tokenizer_config.json"
        )
    return found


def pad_token_id(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The padding token of a model's config, or of its tokenizer if the config names none."""
    if config.get("pad_token_id") is not None:
        return int(config["pad_token_id"])
    named = read_optional_json(folder / "tokenizer_config.json").get("pad_token")
    word = named.get("content") if isinstance(named, Mapping) else named
    return None if word is None else _token_id(folder, str(word))


def _output_rows(folder: Path, model: Any, ids: list[int]) -> list[Any]:
    """Rows of the output matrix, in fp32: of its own file entry, or of the input matrix where both are one."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            names = set(tensors.keys())
            if "lm_head.bias" in names:
                raise PackageError(f"{folder}: its output layer has a bias, which a classifier's head has not")
            if "lm_head.weight" in names:
                matrix = tensors.get_slice("lm_head.weight")
                return [matrix[found].float() for found in ids]
    if not getattr(model.config, "tie_word_embeddings", False):
        raise PackageError(f"{folder}: the weights lack lm_head.weight; copy the model again")
    embeddings = model.get_input_embeddings().weight
    return [embeddings[found].detach().float() for found in ids]
