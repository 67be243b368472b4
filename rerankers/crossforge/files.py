"""File I/O: writes are atomic, and read errors name the file and line."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import TemporaryDirectory
from typing import Any, TextIO
from uuid import uuid4

from crossforge.errors import InputError

# As which texts are read: UTF-8, without the byte order mark that editors and spreadsheets put first.
ENCODING = "utf-8-sig"
# Ends the names of files and folders that are being written, and of what killed writers left.
UNFINISHED = ".writing"
_STALE = 24 * 60 * 60  # seconds without a change after which nobody writes any more
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # one letter is a drive


def is_uri(path: str | Path) -> bool:
    """Whether this is a URI such as `s3://BUCKET/FOLDER`, in which `Path` leaves only one slash."""
    return bool(_URI.match(str(path)))


def require_no_uri(path: Path, what: str) -> None:
    """Raise `InputError` for a path that would be a local folder called after the scheme of a URI.

    Args:
        path: where something is to be written.
        what: it is, in words.
    """
    if is_uri(path):
        raise InputError(
            f"{path}: {what} needs a path on a file system, not a URI; mount the store, or copy it there afterwards"
        )


def require_writable(path: Path, what: str, *, folder: bool = False) -> None:
    """Raise `InputError` if a file cannot be written; called before hours are spent on what it is to hold.

    Args:
        path: the file.
        what: it is, in words.
        folder: whether it is a folder for files; it may be there already.
    """
    require_no_uri(path, what)
    if path.is_dir() and not folder:
        raise InputError(f"{path}: is a folder; name a file for {what}")
    if path.exists() and folder and not path.is_dir():
        raise InputError(f"{path}: is a file; name a folder for {what}")
    place = (path if folder else path.parent).absolute()
    try:
        # Permissions do not tell everything: a disk may be read-only, and /proc takes no files.
        with TemporaryDirectory(dir=next(one for one in (place, *place.parents) if one.exists())):
            pass
    except OSError as error:
        raise InputError(f"{path}: {what} cannot be written there ({error.strerror})") from None


@contextmanager
def written_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target` for a file or folder, and rename it to `target` only on success."""
    # Process ids are no names: in containers that share a disk, writers often have the same one.
    beside = target.with_name(f".{target.name}.{uuid4().hex}{UNFINISHED}")
    _sweep(target.parent)
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield beside
        if beside.is_dir() and target.is_dir():
            remove(target)
        beside.replace(target)
    finally:
        remove(beside)


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder, once a process: a large folder takes long to list."""
    for path in folder.glob(f".*{UNFINISHED}"):
        with suppress(OSError):  # whoever wrote or sweeps it may have removed it meanwhile
            if time.time() - max(part.lstat().st_mtime for part in (path, *path.rglob("*"))) > _STALE:
                remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON; lone surrogates, which UTF-8 cannot encode, become "?"."""
    with written_atomically(path) as beside:
        beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="replace")


def write_tsv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a tab-separated table atomically; white space in a value becomes one space, lone surrogates "?"."""
    with written_atomically(path) as beside, beside.open("w", encoding="utf-8", errors="replace") as lines:
        for row in (header, *rows):
            lines.write("\t".join(" ".join(value.split()) for value in row) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({_why_no_json(error)})") from None


def read_text(path: Path) -> str:
    """Read a UTF-8 text file whole.

    Raises:
        InputError: as for `read_lines`.
    """
    with opened_text(path) as lines:
        return lines.read()


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, decompressing it if its name ends in .gz.

    Raises:
        InputError: the file is missing, a folder, not UTF-8, or corrupt.
    """
    with opened_text(path) as lines:
        yield from lines


@contextmanager
def opened_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open a UTF-8 text file for reading, decompressing .gz; `newline` is passed to `open`.

    Raises:
        InputError: as for `read_lines`, including errors that occur while the file is being read.
    """
    try:
        with (
            gzip.open(path, "rt", encoding=ENCODING, newline=newline)
            if path.suffix == ".gz"
            else path.open(encoding=ENCODING, newline=newline)
        ) as lines:
            yield lines  # type: ignore[misc]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a file") from None
    except UnicodeDecodeError:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as content:
            raise _not_utf8(content, str(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: incomplete or corrupt gzip file ({error})") from None


def decoded(content: bytes, source: str) -> str:
    """Text from bytes in UTF-8; `source` names them in the error.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return content.decode(ENCODING)
    except UnicodeDecodeError:
        raise _not_utf8(content.splitlines(), source) from None


def is_utf16(content: bytes) -> bool:
    """Whether the first bytes of a file say that it is UTF-16."""
    return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _not_utf8(lines: Iterable[bytes], source: str) -> InputError:
    for number, line in enumerate(lines, start=1):
        if number == 1 and is_utf16(line):
            return InputError(f"{source}: UTF-16 text; save it as UTF-8")
        try:
            line.decode(ENCODING)
        except UnicodeDecodeError as error:
            return InputError(f"{source}, line {number}: not UTF-8 text ({error.reason} at byte {error.start + 1})")
    return InputError(f"{source}: not UTF-8 text")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each non-blank line.

    Raises:
        InputError: the file cannot be read, or a line is not a JSON object; the message names the file and line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield number, parse_json_object(line, f"{path}, line {number}")


def parse_json_object(line: str, where: str) -> dict[str, Any]:
    """Parse a line as a JSON object; anything else raises an `InputError` that starts with `where`."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON ({_why_no_json(error)})") from None
    if not isinstance(value, dict):
        raise InputError(
            f'{where}: expected a JSON object such as {{"_id": …, "text": …}}, found {type(value).__name__}'
        )
    return value


def _why_no_json(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg} at {line}column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def write_jsonl(path: Path, rows: Iterator[Mapping[str, Any]] | list[Mapping[str, Any]] | list[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically; lone surrogates, which UTF-8 cannot encode, become "?"."""
    with written_atomically(path) as beside, beside.open("w", encoding="utf-8", errors="replace") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def stays_within(name: str) -> bool:
    """Whether a path that somebody else wrote down, relative to a folder, stays within that folder."""
    path = PurePosixPath(name)
    return not (path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts or "\\" in name)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
