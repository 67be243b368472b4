"""Runs the code that a model brings along, where the config says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossforge.errors import InputError
from crossforge.files import read_json, sha256
from crossforge.package_files import read_optional_json
from crossforge_train.libraries import quieten


def code_hash(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a model's own code, for fingerprints; empty if transformers has its architecture."""
    if not _auto_map(folder):
        return {}
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*.py"))}


def run_own_code(name: str, folder: Path) -> list[str]:
    """Import a model's own classes and make them known to transformers, for the rest of the process.

    transformers then takes them for its own. So nothing that loads or exports models has to be told, and no other
    model's code is run.

    Args:
        name: path or hub id of the model.
        folder: where it is.

    Returns:
        The references of the imported classes, such as `modeling_own.OwnModel`; none if transformers has the
        architecture.

    Raises:
        InputError: the code is in another repository, is not to be had, or cannot be imported.
    """
    auto_map = _auto_map(folder)
    if not auto_map:
        return []
    quieten()
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if elsewhere := next((reference for reference in auto_map.values() if "--" in reference), None):
        raise InputError(
            f"base model {name}: its code is in another repository ({elsewhere}), from which none is run; copy the "
            f"files beside {folder / 'config.json'}, and name them in its auto_map"
        )
    try:
        _fetch(name, folder)
        found = {auto: get_class_from_dynamic_module(reference, str(folder), local_files_only=True)
                 for auto, reference in auto_map.items()}  # fmt: skip
        _register(read_json(folder / "config.json")["model_type"], found)
    except Exception as error:  # anything: it is foreign code
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"base model {name}: its own code in {folder} cannot be used ({reason:.300})") from error
    return list(auto_map.values())


def _fetch(name: str, folder: Path) -> None:
    """Download the code of a model that is in the hub's cache, where only its other files are kept."""
    if folder.parent.name != "snapshots":
        return
    from huggingface_hub import snapshot_download

    snapshot_download(name, revision=folder.name, allow_patterns=["*.py"], etag_timeout=5)


def _register(kind: str, classes: dict[str, Any]) -> None:
    import transformers

    config = classes["AutoConfig"]
    transformers.AutoConfig.register(kind, config, exist_ok=True)
    for auto, found in classes.items():
        found.register_for_auto_class(auto)  # a saved model then takes its code along
        if auto != "AutoConfig":
            getattr(transformers, auto).register(config, found, exist_ok=True)


def _auto_map(folder: Path) -> dict[str, str]:
    """Auto class -> the model's own class; empty if transformers has the architecture.

    Unlike the runtime's `own_code`, it asks for what transformers comes with, not for what was made known to it since:
    a fingerprint must not depend on what ran before.
    """
    config = read_optional_json(folder / "config.json")
    auto_map = config.get("auto_map")
    if not auto_map:
        return {}
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return {} if config.get("model_type") in CONFIG_MAPPING_NAMES else dict(auto_map)
