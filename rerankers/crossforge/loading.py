"""Resolve a path or hub id to a reranker folder and load its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossforge.arguments import require_count, require_number
from crossforge.backends.base import Backend
from crossforge.backends.choice import open_backend
from crossforge.backends.devices import AUTO_DEVICE
from crossforge.errors import InputError, NotCachedError, PackageError
from crossforge.heads.choice import named_head, scoring_head
from crossforge.heads.one_label import pad_token_id
from crossforge.long_documents import read_long_documents
from crossforge.manifest import MANIFEST_FILE, PROOF_FILE, Manifest, Verify, read_manifest, require_verify
from crossforge.package_files import SENTENCE_BERT_FILE, read_package_json, require_package_file
from crossforge.prompts import Prompts
from crossforge.templates import NO_TEMPLATE, TemplateTokenizer
from crossforge.tokenization import PairTokenizer

# Positions of BERT-like models, assumed if the config does not give a number.
_DEFAULT_POSITIONS = 512
# They number positions from the padding token's id + 1, as every kind of RoBERTa does; its id is 1 if none is named.
_NUMBERED_FROM_PADDING = ("camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "xmod")
_PADDING = 1

# transformers' tokenizer classes that omit token_type_ids unless the folder requests them.
_CLASSES_WITHOUT_SEGMENTS = ("PreTrainedTokenizerFast", "TokenizersBackend")


@dataclass(frozen=True)
class Parts:
    """The components of a `Reranker`, and the folder that they come from, if they come from one."""

    tokenizer: PairTokenizer
    backend: Backend
    manifest: Manifest
    folder: Path | None = None


def load_parts(
    reference: str | Path,
    *,
    backend: str,
    tolerance: float,
    verify: Verify,
    local_files_only: bool,
    max_length: int | None,
    instruction: str | None = None,
    prompts: Prompts | None = None,
    device: str = AUTO_DEVICE,
) -> Parts:
    """Load a package, a plain one-label cross-encoder folder, or a hub id.

    Raises:
        PackageError: the reranker is missing or cannot be loaded; for packages, see also `read_manifest`.
        InputError: `max_length` exceeds the model's positions, or an argument is invalid.
    """
    if not isinstance(reference, str | Path):
        raise InputError(f"the reranker is a {type(reference).__name__}; expected a path or a hub id")
    if max_length is not None:
        require_count("max_length", max_length)
        max_length = int(max_length)  # tokenizers takes none of numpy's
    require_number("tolerance", tolerance)
    require_verify(verify)
    folder = find_folder(reference, local_files_only)
    scoring_head(folder)
    manifest = _manifest(folder, verify)
    tokenizer = pair_tokenizer(folder, max_length or manifest.max_length, instruction, prompts)
    opened = open_backend(folder, backend, manifest.agreement, tolerance, manifest.backend, device)
    return Parts(tokenizer, opened, manifest, folder)


def pair_tokenizer(
    folder: Path, max_length: int, instruction: str | None = None, prompts: Prompts | None = None
) -> PairTokenizer:
    """The folder's tokenizer, set up for the inputs that its model expects.

    Args:
        folder: the model's folder.
        max_length: maximum tokens of query and document together.
        instruction: what its template says in place of the default one.
        prompts: texts before query and document, for a model without a template.

    Raises:
        InputError: `max_length` exceeds the model's positions, or there is no place for the instruction or prompts.
    """
    require_positions(folder, max_length)
    config = read_package_json(folder / "config.json")
    tokenizer_file = folder / "tokenizer.json"
    require_package_file(tokenizer_file)
    pad_id = pad_token_id(folder, config) or 0
    head = named_head(folder)
    try:
        if head and (template := head.template(folder)):
            if prompts:
                raise InputError("the model has a template, which takes an instruction and no prompts")
            template = template.with_instruction(instruction) if instruction is not None else template
            return TemplateTokenizer(tokenizer_file, max_length, template, pad_id=pad_id)
        if instruction is not None:
            raise InputError(NO_TEMPLATE)
        return PairTokenizer(tokenizer_file, max_length, pad_id=pad_id, segments=uses_segments(folder), prompts=prompts)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def require_positions(folder: Path, max_length: int) -> None:
    """Raise `InputError` if a model has fewer positions than the tokens that it is to read."""
    positions = _positions(read_package_json(folder / "config.json"))
    if max_length > positions:
        raise InputError(f"{folder}: max_length is {max_length}, but the model has {positions} positions")


def uses_segments(folder: Path) -> bool:
    """Whether `token_type_ids` distinguish query from document, by the rule transformers applies to this folder."""
    if int(read_package_json(folder / "config.json").get("type_vocab_size") or 0) < 2:  # RoBERTa and others
        return False
    settings = _tokenizer_settings(folder)
    names = settings.get("model_input_names")
    if names is None:
        return settings.get("tokenizer_class") not in _CLASSES_WITHOUT_SEGMENTS
    return "token_type_ids" in names


def find_folder(reference: str | Path, local_files_only: bool = True) -> Path:
    """Resolve a path or hub id to a folder; hub files come from the local cache or, if allowed, from the hub.

    Raises:
        NotCachedError: the reference is not a folder, and the cache has no such id.
        PackageError: the same, and the hub has no such id either.
    """
    folder = Path(reference)
    if folder.is_dir():
        return folder
    if str(reference).count("/") != 1 or str(reference).startswith((".", "/", "~")):
        raise PackageError(f"{reference}: no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(reference), local_files_only=local_files_only))
    except Exception as error:  # huggingface_hub and its HTTP client raise many types; all mean "not available"
        cause = type(error).__name__
        if local_files_only:
            raise NotCachedError(str(reference), cause) from None
        raise PackageError(
            f"{reference}: no such folder, and neither in the hub cache nor on the hub ({cause})"
        ) from None


def holds_reranker(folder: Path) -> bool:
    """Whether a model folder is a one-label cross-encoder rather than, say, an encoder without a scoring head."""
    try:
        scoring_head(folder)
    except PackageError:
        return False
    return True


def _manifest(folder: Path, verify: Verify) -> Manifest:
    if (folder / MANIFEST_FILE).is_file():
        return read_manifest(folder, verify)
    if verify != "off" and (folder / PROOF_FILE).is_file():
        raise PackageError(
            f"{folder}: no {MANIFEST_FILE} in it, but {PROOF_FILE}, so it was a reranker package; copy it again, or "
            'load it unchecked, as a plain cross-encoder, with verify="off"'
        )
    return Manifest(str(folder), token_limit(folder), long_documents=read_long_documents(folder))


def token_limit(folder: Path) -> int:
    """The model's token limit: the lowest of its positions and the tokenizer's and sentence-transformers' limits.

    Raises:
        PackageError: `config.json` is missing or cannot be read.
    """
    config = read_package_json(folder / "config.json")
    limits = [_positions(config), _tokenizer_settings(folder).get("model_max_length")]
    if (folder / SENTENCE_BERT_FILE).is_file():
        limits.append(read_package_json(folder / SENTENCE_BERT_FILE).get("max_seq_length"))
    # Tokenizers without a limit report 1e30.
    return min(int(limit) for limit in limits if limit)


def _positions(config: Mapping[str, Any]) -> int:
    positions = int(config.get("max_position_embeddings") or _DEFAULT_POSITIONS)
    kind = str(config.get("model_type"))
    if "roberta" in kind or kind in _NUMBERED_FROM_PADDING:
        padding = config.get("pad_token_id")
        positions -= (_PADDING if padding is None else int(padding)) + 1
    return positions


def _tokenizer_settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return read_package_json(path) if path.is_file() else {}
