"""The readers by the key that chooses them in a `collection:` section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.files import sha256
from crossforge_train.adaptation import reader as adapted
from crossforge_train.collections.beir import beir_files, read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.pydocs import build_pydocs, library_versions
from crossforge_train.collections.pydocs.build import QUESTIONS_FILE
from crossforge_train.collections.readers import files, hugging_face, ir_datasets, labelled, trec
from crossforge_train.collections.readers.mix import mixed
from crossforge_train.collections.sources import Source


class Reader(NamedTuple):
    """How one kind of source is read.

    Attributes:
        read: settings of the source -> collection; raises `InputError` for bad input, with file and line.
        depends_on: settings of the source -> what decides the collection besides them: hashes of files, versions.
    """

    read: Callable[[Any], Collection]
    depends_on: Callable[[Any], Mapping[str, Any]]


def read_source(source: Source) -> Collection:
    """The collection that the source names, with the splits that it comes with.

    Raises:
        InputError: it cannot be read or is malformed.
    """
    kind, settings = source.chosen()
    return READERS[kind].read(settings)


def source_depends_on(source: Source) -> Mapping[str, Any]:
    """Everything outside the config that decides what `read_source` gives, for fingerprints."""
    kind, settings = source.chosen()
    return READERS[kind].depends_on(settings)


def _hashes(paths: Iterable[Path]) -> dict[str, Any]:
    return {"files": {str(path): sha256(path) for path in paths if path.is_file()}}


def _pydocs_depends_on(_: Any) -> dict[str, Any]:
    made_by = {path.name: sha256(path) for path in sorted(QUESTIONS_FILE.parent.glob("*.*"))}
    return {"libraries": library_versions(), "made_by": made_by}


READERS: dict[str, Reader] = {
    "builtin": Reader(lambda _: build_pydocs(), _pydocs_depends_on),
    "beir": Reader(read_beir, lambda folder: _hashes(beir_files(folder))),
    "files": Reader(files.read_files, lambda source: _hashes(files.files_of(source))),
    "pairs": Reader(labelled.read_labelled_files, lambda source: _hashes(labelled.files_of(source))),
    "triples": Reader(labelled.read_labelled_files, lambda source: _hashes(labelled.files_of(source))),
    "trec": Reader(trec.read_trec, lambda source: _hashes(trec.files_of(source))),
    "datasets": Reader(hugging_face.read_datasets, hugging_face.depends_on),
    "ir_datasets": Reader(ir_datasets.read_ir_datasets, ir_datasets.depends_on),
    "documents": Reader(adapted.read_adapted, adapted.depends_on),
    "mix": Reader(
        lambda parts: mixed({part.label: read_source(part) for part in parts}),
        lambda parts: {"mix": [source_depends_on(part) for part in parts]},
    ),
}
