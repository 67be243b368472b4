"""Saves a model as a folder that all common libraries read alike, and exports it to ONNX."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossforge.backends.last_layer import shorten_last_layer
from crossforge.backends.model_files import MODEL_FILE
from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge.heads.chat_template import template_options
from crossforge.heads.choice import head_of, named_head
from crossforge.heads.one_label import SIGMOID
from crossforge.loading import uses_segments
from crossforge.long_documents import BEST_WINDOW, LongDocuments, write_long_documents
from crossforge.package_files import SENTENCE_BERT_FILE, SENTENCE_TRANSFORMERS_FILE, read_optional_json
from crossforge.templates import PairTemplate, write_template
from crossforge_train.models.onnx_files import drop_traces, is_large, name_weights

_ONNX_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Settings left over from making or loading the base model; FastEmbed truncates at `max_length` if it is below ours.
_LEFTOVERS = ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "is_local", "local_files_only")


def save_checkpoint(
    model: Any, base_model: Path, folder: Path, max_length: int, long_documents: LongDocuments = BEST_WINDOW
) -> None:
    """Write weights, config and tokenizer.

    Args:
        model: a scoring model; see `ScoringHead`.
        base_model: folder of its base model, for the tokenizer.
        folder: output folder.
        max_length: maximum tokens of query and document together.
        long_documents: which part of a longer document it was trained on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head_of(model).save(model, folder, max_length)
    write_long_documents(folder, long_documents)
    base_head = named_head(base_model)
    template = base_head.template(base_model) if base_head else None
    _write_tokenizer(base_model, folder, max_length, has_template=template is not None)
    if template:
        _keep_template(base_model, folder, template)


def _write_tokenizer(base_model: Path, folder: Path, max_length: int, *, has_template: bool) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model, local_files_only=True, trust_remote_code=False)
    tokenizer.model_max_length = max_length
    if not has_template:  # sentence-transformers would apply the chat template of, say, a decoder that embeds
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    # Readers that use this file as is would silently truncate at the base model's length.
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    state["truncation"] = state["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
    _write_settings(base_model, folder)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    write_json(folder / "special_tokens_map.json", special)
    _write_vocabulary(tokenizer, base_model, folder)


def _keep_template(base_model: Path, folder: Path, template: PairTemplate) -> None:
    """Write the template for the runtime, and the keys by which sentence-transformers applies the chat template."""
    write_template(folder, template)
    of_base = read_optional_json(base_model / SENTENCE_BERT_FILE).get("modality_config") or {}
    message = of_base.get("message") or {"format": "flat"}
    forward = {"method": "forward", "method_output_name": "logits"}
    path = folder / SENTENCE_BERT_FILE
    modalities = {"text": forward, "message": {**message, **forward}}
    task = {
        "transformer_task": "sequence-classification",
        "module_output_name": "scores",
        "modality_config": modalities,
    }
    options = template_options(base_model)
    processing = {"processing_kwargs": {"chat_template": options}} if options else {}
    write_json(path, {**task, **processing, "max_seq_length": read_optional_json(path)["max_seq_length"]})
    settings = read_optional_json(base_model / SENTENCE_TRANSFORMERS_FILE)
    prompts = {key: settings.get(key) for key in ("prompts", "default_prompt_name") if settings.get(key)}
    named = {"model_type": "CrossEncoder", "activation_fn": SIGMOID, **prompts}
    write_json(folder / SENTENCE_TRANSFORMERS_FILE, named)
    module = "sentence_transformers.base.modules.transformer.Transformer"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": module}])
    padded = {
        **read_optional_json(folder / "tokenizer_config.json"),
        "padding_side": "right",
        "truncation_side": "right",
    }
    write_json(folder / "tokenizer_config.json", padded)


def _write_settings(base_model: Path, folder: Path) -> None:
    """State explicitly whether there are segments; otherwise readers infer it from the tokenizer's class.

    The generic tokenizer class gets its transformers 4 name, which version 5 understands, too.
    """
    found = read_json(folder / "tokenizer_config.json")
    settings = {key: value for key, value in found.items() if key not in _LEFTOVERS}
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    segments = ["token_type_ids"] if uses_segments(base_model) else []
    settings["model_input_names"] = ["input_ids", *segments, "attention_mask"]
    write_json(folder / "tokenizer_config.json", settings)


def _write_vocabulary(tokenizer: Any, base_model: Path, folder: Path) -> None:
    if (base_model / "vocab.txt").is_file():
        shutil.copyfile(base_model / "vocab.txt", folder / "vocab.txt")
    elif "[UNK]" in (vocabulary := tokenizer.get_vocab()):  # WordPiece: one token per line, in id order
        tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
        (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")


def export_onnx(model: Any, folder: Path) -> None:
    """Write `onnx/model.onnx` into a folder written by `save_checkpoint`.

    The model is fp32, accepts any batch size and length, and returns `logits` of shape (batch, 1). Its last layer is
    shortened to what the logits need. The weights of a large model go into `onnx/model.onnx_data`.

    Raises:
        InputError: torch cannot export this architecture.
    """
    shorten_last_layer(model)
    inputs = _ONNX_INPUTS if uses_segments(folder) else _ONNX_INPUTS[:2]
    try:
        write_onnx(_logits_only(model.float().cpu(), inputs), inputs, "logits", folder / MODEL_FILE)
    except OSError:  # such as a full disk
        raise
    except Exception as error:  # the exporter raises whatever its parts raise, with pages of text
        raise InputError(
            f"{type(model).__name__} cannot be exported to ONNX ({type(error).__name__}); use another base model"
        ) from error


def write_onnx(module: Any, inputs: Sequence[str], output: str, path: Path) -> None:
    """Export a module that takes token arrays of shape (batch, length) in the given order and returns one tensor."""
    import torch

    # A separate tensor per input: the exporter would merge inputs that share one object.
    example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in inputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            example,
            str(path),
            dynamo=True,
            dynamic_shapes=(tuple(axes for _ in inputs),),  # one entry: `forward` takes them as *tensors
            input_names=list(inputs),
            output_names=[output],
            external_data=is_large(module),
            verbose=False,
        )
    drop_traces(path)
    name_weights(path)


def _logits_only(model: Any, inputs: tuple[str, ...]) -> Any:
    import torch

    class LogitsOnly(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(**dict(zip(inputs, tensors, strict=True))).logits
            return logits

    return LogitsOnly()
