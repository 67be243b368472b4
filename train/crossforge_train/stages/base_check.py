"""Whether a base model can be trained and exported: tried out before anything runs, since mining takes long."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge.heads.choice import named_head
from crossforge.heads.one_label import OneLabel
from crossforge.heads.own_code import own_code
from crossforge_train.libraries import quieten
from crossforge_train.models.base_model import find_base_model

_LENGTH, _WORDS = 16, 100


@cache
def require_trainable(name: str) -> None:
    """Raise `InputError` if a base model has no padding token, or its architecture cannot be exported to ONNX.

    The export is tried with a single layer of random weights and a small vocabulary, which takes seconds.
    """
    quieten()
    from transformers import AutoConfig, AutoTokenizer

    from crossforge_train.models.export import export_onnx, save_checkpoint

    folder = find_base_model(name)
    if needed := own_code(read_json(folder / "config.json")):
        raise InputError(
            f"base model {name}: {needed}; set trust_remote_code: true if you trust the files in {folder}, or name "
            "another model"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises many types; all mean "cannot be loaded"
        raise InputError(f"base model {name}: transformers cannot load it ({type(error).__name__})") from error
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"base model {name}: its tokenizer has no padding token, so texts of several lengths make no batch; name "
            f"one of its tokens as pad_token in {folder / 'tokenizer_config.json'}"
        )
    config.num_hidden_layers = 1
    if getattr(config, "layer_types", None):  # one for each layer
        config.layer_types = config.layer_types[:1]
    config.vocab_size = min(config.vocab_size, max(_WORDS, tokenizer.pad_token_id + 1))
    with TemporaryDirectory() as made:
        try:
            model = (named_head(folder) or OneLabel()).drafted(folder, config)
            save_checkpoint(model, folder, Path(made), _LENGTH)
            export_onnx(model, Path(made))
        except Exception as error:  # as many types again
            reason = str(error) if isinstance(error, InputError) else type(error).__name__
            raise InputError(f"base model {name}: no cross-encoder can be made of it: {reason}") from error
