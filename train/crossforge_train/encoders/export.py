"""Exports a bi-encoder to ONNX, so that apps embed texts without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossforge.embedding.encoder import MODEL_FILE, OUTPUT, EncoderSettings, write_settings
from crossforge.errors import InputError
from crossforge.files import written_atomically
from crossforge.prompts import Prompts
from crossforge_train.libraries import quieten
from crossforge_train.models.base_texts import role_prompts
from crossforge_train.models.export import write_onnx

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_USUAL = 512  # the tokens that are read at most if no number is given: on a CPU, time grows faster than the text


class NoExportError(InputError):
    """A bi-encoder that nothing can be embedded with; `args` is the reason."""

    def __str__(self) -> str:
        """The reason, and the way out where a config insists on it."""
        return f"{self.args[0]}; set first_stage.kind: lexical, and mining.teacher: null if it is base"


def export_encoder(
    bi_encoder: Path, target: Path, name: str, max_length: int | None = None, prompts: Prompts | None = None
) -> None:
    """Write the encoder of a SentenceTransformer: all its modules in one graph, and a unit vector at the end.

    Args:
        bi_encoder: folder of the model.
        target: folder to write, completely or not at all.
        name: name of the model.
        max_length: tokens to read of a text, if the model reads as many; None: as many as it reads, 512 at most.
        prompts: what it puts before queries and documents; None: its own.

    Raises:
        NoExportError: the model cannot be exported as one graph, or leaves out its prompt when it pools.
    """
    from sentence_transformers import SentenceTransformer

    quieten()
    model = SentenceTransformer(str(bi_encoder), device="cpu", local_files_only=True)
    prompts = prompts_of(model, name, prompts)
    inputs = [key for key in _INPUTS if key in model.tokenizer.model_input_names]
    longest = min(int(model.max_seq_length or _USUAL), max_length or _USUAL)
    with written_atomically(target) as beside:
        beside.mkdir()
        try:
            write_onnx(_as_one_module(model.float(), inputs), inputs, OUTPUT, beside / MODEL_FILE)
        except Exception as error:  # the exporter raises whatever its parts raise, with pages of text
            reason = type(error).__name__
            raise NoExportError(f"base model {name}: cannot be exported as an encoder ({reason})") from error
        model.tokenizer.save_pretrained(beside)
        for left in beside.iterdir():
            if left.is_file() and left.name != "tokenizer.json":
                left.unlink()
        settings = EncoderSettings(
            model=name,
            dimension=int(model.get_embedding_dimension() or 0),
            max_length=longest,
            pad_id=int(model.tokenizer.pad_token_id or 0),
            inputs=tuple(inputs),
            query_prompt=prompts.query,
            document_prompt=prompts.document,
        )
        write_settings(beside, settings)


def prompts_of(model: Any, name: str, given: Prompts | None = None) -> Prompts:
    """What a SentenceTransformer puts before queries and documents: what is given, or its own.

    Raises:
        NoExportError: the model leaves its prompt out when it pools.
    """
    if any(getattr(module, "include_prompt", True) is False for module in model):
        raise NoExportError(f"base model {name}: leaves its prompt out when it pools")
    return given or role_prompts(model.prompts)


def _as_one_module(model: Any, inputs: Sequence[str]) -> Any:
    import torch

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(list(model))

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            features: dict[str, Any] = dict(zip(inputs, tensors, strict=True))
            for part in self.parts:
                features = part(features)
            vectors: torch.Tensor = features["sentence_embedding"]
            return torch.nn.functional.normalize(vectors, dim=-1)

    return Embedding()
