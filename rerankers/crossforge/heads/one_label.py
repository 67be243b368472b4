"""A sequence classifier with one label, as sentence-transformers and transformers save cross-encoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import PackageError, first_line
from crossforge.files import read_json, write_json
from crossforge.heads.chat_template import has_chat_template, pair_template
from crossforge.heads.own_code import own_code
from crossforge.package_files import SENTENCE_BERT_FILE, read_optional_json, read_package_json
from crossforge.templates import TEMPLATE_FILE, PairTemplate, read_template
from crossforge.tokenization import read_tokenizer

SIGMOID = "torch.nn.modules.activation.Sigmoid"


class OneLabel:
    """See `ScoringHead`."""

    kind = "a sequence classifier"
    readers = "all clients of docs/clients.md"
    native = True

    @staticmethod
    def claims(folder: Path) -> bool:
        """Whether the model is a sequence classifier."""
        return architecture(read_package_json(folder / "config.json")).endswith("ForSequenceClassification")

    @staticmethod
    def defect(folder: Path) -> str:
        """Which other number of labels it has, or what its chat template lacks."""
        config = read_package_json(folder / "config.json")
        # transformers omits id2label if there are two labels.
        labels = len(config["id2label"]) if config.get("id2label") else config.get("num_labels", 2)
        if labels != 1:
            return f"a classifier with {labels} labels; name a model with exactly one, as a reranker has"
        if _reads_messages(folder):
            try:
                pair_template(folder)
            except PackageError as error:
                return f"{error}; or take its chat template away if it reads query and document as they are"
        return ""

    @staticmethod
    def template(folder: Path) -> PairTemplate | None:
        """The one that crossforge kept in the folder, or its chat template if sentence-transformers applies that."""
        return pair_template(folder) if _reads_messages(folder) else read_template(folder)

    @staticmethod
    def load(folder: Path) -> Any:
        """Load the classifier from its safetensors."""
        import torch
        from transformers import AutoModelForSequenceClassification

        try:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except Exception as error:  # safetensors and transformers raise many types; all mean "cannot be loaded"
            raise cannot_load(folder, error) from None
        if missing := sorted(loading["missing_keys"]):
            # transformers would fill them with random numbers and only warn.
            raise PackageError(f"{folder}: the weights lack {', '.join(missing[:3])}; this is no whole cross-encoder")
        return model

    @staticmethod
    def drafted(folder: Path, config: Any) -> Any:
        """A classifier with random weights."""
        from transformers import AutoModelForSequenceClassification

        config.num_labels = 1
        name_padding(folder, config)
        return AutoModelForSequenceClassification.from_config(config)

    @staticmethod
    def made(model: Any) -> bool:
        """Whether it is such a class of transformers."""
        return type(model).__name__.endswith("ForSequenceClassification")

    @staticmethod
    def save(model: Any, folder: Path, max_length: int) -> None:
        """Write weights and config.

        The config names the sigmoid that readers apply to the model's logits to get probabilities, under two keys:
        sentence-transformers reads the first; its versions before 4 and vLLM the second.
        """
        model.config.id2label, model.config.label2id = {0: "RELEVANCE"}, {"RELEVANCE": 0}
        model.config.architectures = [type(model).__name__]
        model.save_pretrained(folder, safe_serialization=True)
        config = read_json(folder / "config.json")
        config["sentence_transformers"] = {"activation_fn": SIGMOID, "version": "6.2.0"}
        config["sbert_ce_default_activation_function"] = SIGMOID
        config["dtype"] = "float32"
        write_json(folder / "config.json", config)
        write_json(folder / SENTENCE_BERT_FILE, {"max_seq_length": max_length, "do_lower_case": False})


def _reads_messages(folder: Path) -> bool:
    """Whether sentence-transformers applies a chat template; what crossforge applies, it keeps in a file of its own."""
    modalities = read_optional_json(folder / SENTENCE_BERT_FILE).get("modality_config") or {"message": {}}
    is_ours = "crossforge" in read_package_json(folder / "config.json") or (folder / TEMPLATE_FILE).is_file()
    return "message" in modalities and not is_ours and has_chat_template(folder)


def name_padding(folder: Path, config: Any) -> None:
    """Let a model's config name the padding token of its tokenizer, unless it names one; decoders look for it there."""
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = pad_token_id(folder, {})


def pad_token_id(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The padding token of a model's config, or of its tokenizer if the config names none."""
    if config.get("pad_token_id") is not None:
        return int(config["pad_token_id"])
    named = read_optional_json(folder / "tokenizer_config.json").get("pad_token")
    word = named.get("content") if isinstance(named, Mapping) else named
    return None if word is None else token_id(folder, str(word))


def token_id(folder: Path, token: str) -> int | None:
    """A token's number in the vocabulary; None if it is not in it."""
    found: int | None = read_tokenizer(folder / "tokenizer.json").token_to_id(token)
    return found


def architecture(config: Mapping[str, Any]) -> str:
    """The class that a model was saved as."""
    return str((config.get("architectures") or ["unknown"])[0])


def cannot_load(folder: Path, error: Exception) -> PackageError:
    """Says in one line that a folder's model cannot be loaded."""
    if needed := own_code(read_package_json(folder / "config.json")):
        return PackageError(f"{folder}: {needed}, which no app runs; the ONNX model of a package needs none")
    return PackageError(f"{folder}: transformers cannot load it ({first_line(error)})")
