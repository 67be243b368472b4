"""A causal language model that answers yes or no: its score is the logit of the one less that of the other.

Both logits are products of the last token's hidden state with rows of the output matrix, so their difference is the
product with the difference of the rows: an ordinary sequence classifier with one label, which is what this loads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, stays_within
from crossforge.heads.chat_template import has_chat_template, is_for_any_chat, pair_template
from crossforge.heads.modular import MODULES_FILE, holds_modules
from crossforge.heads.one_label import OneLabel, architecture, cannot_load, pad_token_id, token_id
from crossforge.package_files import read_package_json
from crossforge.templates import PairTemplate

_YES, _NO = "yes", "no"
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
        """Whether the model is a causal language model that is asked about pairs, and not saved as a bi-encoder."""
        is_causal = architecture(read_package_json(folder / "config.json")).endswith("ForCausalLM")
        return is_causal and not _embeds(folder) and _is_asked(folder)

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


def _is_asked(folder: Path) -> bool:
    """Whether its files ask it about a query and a document: they name its answers, or have a template for pairs.

    The template of a chat model, which writes any role's name as it is, asks for neither yes nor no.
    """
    if _logit_score(folder) is not None:
        return True
    try:
        return has_chat_template(folder) and not is_for_any_chat(folder)
    except PackageError:
        return True  # a template that cannot be read is told as a defect


def _template(folder: Path) -> PairTemplate:
    if not has_chat_template(folder):
        raise PackageError(
            "a causal language model without a chat template, so nothing says how it reads a query and a document; "
            'give it one for the roles "query" and "document" (chat_template.jinja), as sentence-transformers asks '
            "for, too"
        )
    return pair_template(folder)


def _answers(folder: Path) -> list[int]:
    """Ids of the tokens that mean relevant and, if any does, not: those of a LogitScore module, else yes and no."""
    if (settings := _logit_score(folder)) is not None:
        return [found for key in ("true_token_id", "false_token_id") if (found := settings.get(key)) is not None]
    ids = [token_id(folder, word) for word in (_YES, _NO)]
    missing = [word for word, found in zip((_YES, _NO), ids, strict=True) if found is None]
    if missing:
        raise PackageError(
            f"{missing[0]!r} is no single token of its vocabulary, so it has no logit of its own; name the tokens of "
            "its answers in a LogitScore module, as sentence-transformers does (modules.json)"
        )
    return [found for found in ids if found is not None]


def _logit_score(folder: Path) -> Mapping[str, Any] | None:
    """The settings of the LogitScore module with which sentence-transformers saves a reranker; None if it has none."""
    path = folder / MODULES_FILE
    for entry in read_json(path) if path.is_file() else []:
        if str(entry.get("type", "")).endswith(".LogitScore"):
            if not stays_within(place := str(entry["path"])):
                raise PackageError(f"{path}: {place!r} points outside the model's folder")
            return dict(read_package_json(folder / place / "config.json"))
    return None


def _embeds(folder: Path) -> bool:
    """Whether its list of modules is a bi-encoder's."""
    return (folder / MODULES_FILE).is_file() and not holds_modules(folder) and _logit_score(folder) is None


def _pad_id(folder: Path) -> int:
    found = pad_token_id(folder, read_package_json(folder / "config.json"))
    if found is None:
        raise PackageError(
            "its tokenizer has no padding token, so texts of several lengths make no batch; name one of its tokens as "
            "pad_token in tokenizer_config.json"
        )
    return found


def _output_rows(folder: Path, model: Any, ids: list[int]) -> list[Any]:
    """Rows of the output matrix, in fp32: of its own file entry, or of the input matrix where both are one."""
    from safetensors import safe_open

    files: dict[str, Path] = {}  # by the tensors in them
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as tensors:
            files.update(dict.fromkeys(tensors.keys(), path))
    if "lm_head.bias" in files:
        raise PackageError(f"{folder}: its output layer has a bias, which a classifier's head has not")
    if "lm_head.weight" in files:
        with safe_open(files["lm_head.weight"], framework="pt") as tensors:
            matrix = tensors.get_slice("lm_head.weight")
            return [matrix[found].float() for found in ids]
    if not getattr(model.config, "tie_word_embeddings", False):
        raise PackageError(f"{folder}: the weights lack lm_head.weight; copy the model again")
    embeddings = model.get_input_embeddings().weight
    return [embeddings[found].detach().float() for found in ids]
