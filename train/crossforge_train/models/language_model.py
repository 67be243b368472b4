"""Loads a language model of `transformers` that writes or reads texts; nothing of a model's own code is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import sha256
from crossforge.heads.own_code import own_code
from crossforge_train.libraries import quieten

_DECISIVE = (".safetensors", ".json", ".jinja", ".model", ".txt")  # files that decide what a model says


class LanguageModel:
    """A language model that is loaded when it is first needed; pickled, it holds no weights.

    Args:
        name: folder or hub id.
        key: as for `load_language_model`.

    Attributes:
        name: the absolute folder, since workers have other working folders; or the hub id.
    """

    def __init__(self, name: str, key: str) -> None:
        folder = Path(name)
        self.name = str(folder.absolute()) if folder.is_dir() else name
        self._key = key
        self._loaded: tuple[Any, Any] | None = None

    def __reduce__(self) -> tuple[type[LanguageModel], tuple[str, str]]:
        return type(self), (self.name, self._key)

    def loaded(self) -> tuple[Any, Any]:
        """Model and tokenizer; see `load_language_model`."""
        self._loaded = self._loaded or load_language_model(self.name, self._key)
        return self._loaded


def load_language_model(name: str, key: str) -> tuple[Any, Any]:
    """A seq2seq or causal model, on the GPU if there is one, and its tokenizer.

    Args:
        name: folder or hub id.
        key: the section's name in a config, for errors.

    Raises:
        InputError: it cannot be loaded, or generates nothing.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config, tokenizer = load_tokenizer(name, key)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with _told(name, key):
        model = kind.from_pretrained(
            name, local_files_only=Path(name).is_dir(), trust_remote_code=False, use_safetensors=True
        )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def load_tokenizer(name: str, key: str) -> tuple[Any, Any]:
    """The config and the tokenizer of such a model, which pads on the side that the model needs.

    Args: as for `load_language_model`.

    Raises:
        InputError: they cannot be loaded.
    """
    from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig

    quieten()
    local = Path(name).is_dir()
    with _told(name, key):
        if needed := own_code(PreTrainedConfig.get_config_dict(name, local_files_only=local)[0]):
            raise InputError(f"{key}: {name}: {needed}, which is never run; name another model")
        config = AutoConfig.from_pretrained(name, local_files_only=local, trust_remote_code=False)
        side = "right" if config.is_encoder_decoder else "left"
        tokenizer = AutoTokenizer.from_pretrained(
            name, local_files_only=local, trust_remote_code=False, padding_side=side
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return config, tokenizer


def language_model_hash(folder: Path) -> dict[str, str]:
    """The sha256 of each file that decides what such a model says, for fingerprints."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.suffix in _DECISIVE}


@contextmanager
def _told(name: str, key: str) -> Iterator[None]:
    """Raise what goes wrong in the loading as one line."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{key}: {name}: cannot be loaded ({' '.join(str(error).split())})") from None
