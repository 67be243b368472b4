"""A CrossEncoder of sentence-transformers' modules: an encoder, a pooling, and dense layers up to the score.

Its folder holds the encoder; `modules.json` lists what follows, each module in a folder of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, stays_within, write_json
from crossforge.heads.one_label import SIGMOID, architecture, cannot_load
from crossforge.package_files import (
    SENTENCE_BERT_FILE,
    SENTENCE_TRANSFORMERS_FILE,
    read_optional_json,
    read_package_json,
)
from crossforge.templates import PairTemplate

MODULES_FILE = "modules.json"
MODES = "modes"  # of a pooling, whichever version wrote its settings
_TRANSFORMER = "Transformer"
_KNOWN = ("Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
_POOLINGS = ("cls", "mean", "max", "lasttoken")


class Modular:
    """See `ScoringHead`."""

    kind = "a CrossEncoder of several modules"
    readers = "crossforge, sentence-transformers from 6, and clients of ONNX models"
    native = False

    @staticmethod
    def claims(folder: Path) -> bool:
        """Whether it is a CrossEncoder whose first module is an encoder without a head."""
        return is_modular(folder)

    @staticmethod
    def defect(folder: Path) -> str:
        """Which of its modules cannot be read, or how many scores it gives."""
        try:
            modules = _modules(folder)
        except PackageError as error:
            return str(error)
        if settings := _settings(folder).get("default_prompt_name"):
            return (
                f"it puts the prompt {settings!r} before its texts, which crossforge does not; remove "
                f"default_prompt_name from {SENTENCE_TRANSFORMERS_FILE}, and give the prompt itself (training.prompts, "
                "prompts=…)"
            )
        unknown = [name for name, _ in modules if name not in _KNOWN]
        if unknown:
            return f"a CrossEncoder with the module {unknown[0]}; crossforge reads {', '.join(_KNOWN)}"
        poolings = [mode for name, found in modules if name == "Pooling" for mode in found[MODES]]
        if odd := [mode for mode in poolings if mode not in _POOLINGS]:
            return f"it pools by {odd[0]}; crossforge reads {', '.join(_POOLINGS)}"
        scores = [found.get("out_features") for name, found in modules if found.get("module_output_name") == "scores"]
        return "" if scores == [1] else f"its last layer gives {scores or 'no'} scores; name a model with exactly one"

    @staticmethod
    def template(folder: Path) -> PairTemplate | None:
        """None: these are encoders."""
        return None

    @staticmethod
    def load(folder: Path) -> Any:
        """Load encoder and modules from their safetensors."""
        import torch
        from transformers import AutoModel

        from crossforge.heads.modules import ModularModel

        try:
            encoder = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
            model = ModularModel(encoder, _modules(folder), _written(folder))
            for path, module in zip(_paths(folder), model.score, strict=True):
                if list(module.parameters()):
                    module.load_state_dict(_weights(folder / path))
        except PackageError:
            raise
        except Exception as error:  # safetensors and transformers raise many types; all mean "cannot be loaded"
            raise cannot_load(folder, error) from None
        return model

    @staticmethod
    def drafted(folder: Path, config: Any) -> Any:
        """The same modules behind an encoder with random weights."""
        from transformers import AutoModel

        from crossforge.heads.modules import ModularModel

        return ModularModel(AutoModel.from_config(config), _modules(folder), _written(folder))

    @staticmethod
    def made(model: Any) -> bool:
        """Whether it holds such modules."""
        return type(model).__name__ == "ModularModel"

    @staticmethod
    def save(model: Any, folder: Path, max_length: int) -> None:
        """Write the encoder, and each module into its folder, as sentence-transformers does."""
        from safetensors.torch import save_file

        model.encoder.save_pretrained(folder, safe_serialization=True)
        for name, settings in model.written.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_json(folder / name, settings)
        for path, module in zip(_paths(folder), model.score, strict=True):
            if tensors := {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}:
                save_file(tensors, folder / path / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / SENTENCE_TRANSFORMERS_FILE, {**_settings(folder), "activation_fn": SIGMOID})
        limits = folder / SENTENCE_BERT_FILE
        write_json(limits, {**read_optional_json(limits), "max_seq_length": max_length})


def is_modular(folder: Path) -> bool:
    """Whether a folder holds a CrossEncoder of modules behind an encoder."""
    # Classifiers and decoders are models of their own, with or without such a list.
    kind = architecture(read_package_json(folder / "config.json"))
    return holds_modules(folder) and not kind.endswith(("ForSequenceClassification", "ForCausalLM"))


def holds_modules(folder: Path) -> bool:
    """Whether a folder is a list of modules that makes a CrossEncoder, of whatever kind."""
    return (folder / MODULES_FILE).is_file() and _settings(folder).get("model_type") == "CrossEncoder"


def _pooling_modes(settings: Mapping[str, Any]) -> list[str]:
    """What a pooling takes of the tokens; earlier versions had one key for each mode."""
    found = settings.get("pooling_mode")
    if found is None:
        names = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
        chosen = [key for key, on in settings.items() if on is True and key.startswith("pooling_mode_")]
        return [names.get(key.removeprefix("pooling_mode_"), key.removeprefix("pooling_mode_")) for key in chosen]
    return [found] if isinstance(found, str) else list(found)


def _modules(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Kind and settings of each module behind the encoder.

    Raises:
        PackageError: the list is not one that sentence-transformers writes, or a module is code from elsewhere.
    """
    listed = _listed(folder)
    kinds = [str(entry.get("type", "")) for entry in listed]
    foreign = next((kind for kind in kinds if not kind.startswith("sentence_transformers.")), None)
    if foreign is not None:
        raise PackageError(f"{folder / MODULES_FILE}: {foreign} is custom code, which is never run; name another model")
    names = [kind.rpartition(".")[2] for kind in kinds]
    if names[0] != _TRANSFORMER or listed[0].get("path"):
        raise PackageError(f"{folder / MODULES_FILE}: the first module is no {_TRANSFORMER} in the folder itself")
    modules = []
    for name, path in zip(names[1:], _paths(folder), strict=True):
        settings = read_optional_json(folder / path / "config.json")
        modules.append((name, {**settings, MODES: _pooling_modes(settings)} if name == "Pooling" else settings))
    return modules


def _listed(folder: Path) -> list[dict[str, Any]]:
    path = folder / MODULES_FILE
    try:
        found = read_json(path)
    except InputError as error:
        raise PackageError(str(error)) from None
    if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
        raise PackageError(f"{path}: expected a list of modules")
    return found


def _paths(folder: Path) -> list[str]:
    """Folders of the modules behind the encoder, relative to the model's."""
    paths = [str(entry.get("path", "")) for entry in _listed(folder)[1:]]
    for path in paths:
        if not path or not stays_within(path):
            raise PackageError(f"{folder / MODULES_FILE}: {path!r} points outside the model's folder")
    return paths


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    if not (folder / "model.safetensors").is_file():
        raise PackageError(f"{folder / 'model.safetensors'}: missing; copy the model again")
    return {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}


def _written(folder: Path) -> dict[str, Any]:
    """The JSON files that make the folder one of sentence-transformers, by their paths in it."""
    names = [MODULES_FILE, SENTENCE_TRANSFORMERS_FILE, SENTENCE_BERT_FILE]
    names += [f"{path}/config.json" for path in _paths(folder)]
    return {name: read_json(folder / name) for name in names if (folder / name).is_file()}


def _settings(folder: Path) -> dict[str, Any]:
    return read_optional_json(folder / SENTENCE_TRANSFORMERS_FILE)
