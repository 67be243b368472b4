"""A folder in an object store, or on another file system that pyarrow reads: the only module that speaks to one.

Credentials come from the environment, as the library of each store finds them. Files are streamed, several at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import ArrowException, fs

from crossforge.errors import InputError, first_line
from crossforge.files import sha256, stays_within

# Google's library would try for a quarter of an hour to reach its store; S3's gives up after some seconds.
_PATIENCE = "retry_limit_seconds"
_SECONDS = 10
_WITHOUT_FOLDERS = {"s3", "gcs"}
_AT_A_TIME = 8
_LONGEST_REASON = 300  # characters: Google's library tells all that it has tried
_HERE = fs.LocalFileSystem()


class IncompleteError(InputError):
    """Files of a store that are missing, or hold something else than they should."""


@dataclass(frozen=True)
class Place:
    """A folder in a store; every method raises `InputError` if the store cannot be reached or refuses.

    Attributes:
        files: the file system of the store.
        path: the folder in it.
        uri: the folder, as messages name it.
    """

    files: fs.FileSystem
    path: str
    uri: str

    def names(self) -> set[str]:
        """The names of what is in the folder; none if there is no such folder."""
        inside = fs.FileSelector(self.path, allow_not_found=True)
        with self._reached():
            return {found.base_name for found in self.files.get_file_info(inside)}

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; None if it is not there, or was not written to its end."""
        with self._reached():
            try:
                with self.files.open_input_stream(f"{self.path}/{name}") as stream:
                    return json.loads(stream.read())
            except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
                return None

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        content = json.dumps(value, indent=2).encode()
        with self._reached():
            self._make_folders([name])
            with self.files.open_output_stream(f"{self.path}/{name}") as stream:
                stream.write(content)

    def send(self, source: Path, folder: str, names: Iterable[str], advance: Callable[[], None]) -> None:
        """Copy files of a folder on this machine into one of the store.

        Args:
            source: the folder here.
            folder: the folder in the store.
            names: paths of the files, relative to either.
            advance: called for each file.
        """
        names = list(names)
        with self._reached():
            self._make_folders(f"{folder}/{name}" for name in names)
            pairs = [(str(source / name), f"{self.path}/{folder}/{name}") for name in names]
            for _ in _at_a_time(lambda pair: fs.copy_files(*pair, _HERE, self.files), pairs):
                advance()

    def fetch(self, folder: str, target: Path, digests: Mapping[str, str], advance: Callable[[], None]) -> None:
        """Copy files of a folder in the store onto this machine.

        Args:
            folder: the folder in the store.
            target: the folder here.
            digests: sha256 of each file, by its path relative to either folder.
            advance: called for each file.

        Raises:
            IncompleteError: a file is missing, or holds something else.
        """

        def intact(name: str) -> bool:
            if not stays_within(name):
                return False
            here = target / name
            here.parent.mkdir(parents=True, exist_ok=True)
            try:
                fs.copy_files(f"{self.path}/{folder}/{name}", str(here), self.files, _HERE)
            except FileNotFoundError:
                return False
            return sha256(here) == digests[name]

        with self._reached():
            for is_intact in _at_a_time(intact, digests):
                if not is_intact:
                    raise IncompleteError(f"{self.uri}/{folder}: incomplete, or changed meanwhile")
                advance()

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, if they are there."""
        with self._reached():
            for _ in _at_a_time(self._delete, names):
                pass

    def overlaps(self, folder: Path) -> bool:
        """Whether the place is a folder on this machine that is the same as `folder`, or one lies within the other."""
        if self.files.type_name != _HERE.type_name:
            return False
        one, other = Path(self.path).resolve(), folder.resolve()
        return one.is_relative_to(other) or other.is_relative_to(one)

    def _delete(self, name: str) -> None:
        try:
            if stays_within(name):
                self.files.delete_file(f"{self.path}/{name}")
        except FileNotFoundError:
            return

    def _make_folders(self, names: Iterable[str]) -> None:
        """Make the folders of files, except in an object store, where a folder is an object that nobody needs."""
        if self.files.type_name not in _WITHOUT_FOLDERS:
            for folder in sorted({PurePosixPath(self.path, name).parent for name in names}):
                self.files.create_dir(str(folder), recursive=True)

    def _reached(self) -> AbstractContextManager[None]:
        return _in_one_line(self.uri)


def open_place(store: str, name: str) -> Place:
    """A folder of a store.

    Args:
        store: URI of the store, as the config has it.
        name: path of the folder in it.

    Raises:
        InputError: the URI is none that pyarrow can read, or a library is missing.
    """
    said = store.partition("?")[0].rstrip("/")
    if store.startswith("gs:") and _PATIENCE not in store:
        store += f"{'&' if '?' in store else '?'}{_PATIENCE}={_SECONDS}"
    with _in_one_line(said):
        files, path = fs.FileSystem.from_uri(store)
    return Place(files, f"{path.rstrip('/')}/{name}", f"{said}/{name}")


def digests(folder: Path, parts: Iterable[Path] | None = None) -> dict[str, str]:
    """The sha256 of each file in a folder on this machine, by its path relative to the folder.

    Args:
        folder: the folder.
        parts: files and folders in it that are wanted; all if None.
    """
    found = (path for part in parts or [folder] for path in (part, *part.rglob("*")))
    paths = sorted(path for path in found if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return dict(zip(names, _at_a_time(sha256, paths), strict=True))


def _at_a_time(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """The results for all items, in order; after an error, what has not begun is left."""
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        yield from threads.map(work, items)


@contextmanager
def _in_one_line(uri: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ArrowException) as error:
        raise InputError(
            f"{uri}: the store cannot be used ({first_line(error):.{_LONGEST_REASON}}); check that it exists, and "
            "that the credentials in the environment allow listing, reading, writing and deleting there, or leave out "
            "`store`"
        ) from None
