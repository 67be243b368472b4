"""`Reader`: how one kind of source is read; the registry finds it by the key that a config gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from crossforge.files import sha256
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.config.section import Section
from crossforge_train.config.sources import Source
from crossforge_train.registries import READERS


class Reader(NamedTuple):
    """How one kind of source is read.

    Attributes:
        read: settings of the source -> collection; raises `InputError` for bad input, with file and line.
        depends_on: settings of the source -> what decides the collection besides them: hashes of files, versions.
        settings: of a third party's reader, the keys that stand under its name in a config; without it `read` is given
            the value as YAML has it. Built-in readers have their settings in `Source`.
        takes_workplace: whether `read` is also given a `Workplace`.
    """

    read: Callable[..., Collection]
    depends_on: Callable[[Any], Mapping[str, Any]]
    settings: type[Section] | None = None
    takes_workplace: bool = False


def read_source(source: Source, workplace: Workplace = NOWHERE) -> Collection:
    """The collection that the source names, with the splits that it comes with.

    Args:
        source: names it.
        workplace: what its reader may use besides.

    Raises:
        InputError: it cannot be read or is malformed.
    """
    kind, settings = source.chosen()
    reader: Reader = READERS.load(kind)
    return reader.read(settings, workplace) if reader.takes_workplace else reader.read(settings)


def source_depends_on(source: Source) -> Mapping[str, Any]:
    """Everything outside the config that decides what `read_source` gives, for fingerprints."""
    kind, settings = source.chosen()
    reader: Reader = READERS.load(kind)
    return {**reader.depends_on(settings), **READERS.version(kind)}


def file_hashes(paths: Iterable[Path]) -> dict[str, Any]:
    """What a collection depends on that is read from files."""
    return {"files": {str(path): sha256(path) for path in paths if path.is_file()}}
