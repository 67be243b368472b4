"""The folder for a service's temporary files: it ends with the service, or with the next one that is started."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX, _NEW = "crossforge-serve-", "crossforge-new-"
_LOCK = "lock"  # held as long as its process lives, however that ends


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this process, in that for temporary files; those of processes that were killed are removed."""
    place = Path(tempfile.gettempdir())
    _remove_abandoned(place)
    made = Path(tempfile.mkdtemp(prefix=_NEW, dir=place))
    folder = place / made.name.replace(_NEW, _PREFIX)
    lock = FileLock(made / _LOCK)
    with suppress(NotImplementedError):  # a file system without locks, where nothing is ever taken for abandoned
        lock.acquire()
    try:
        made.rename(folder)  # locked by now: another process that starts must not remove it
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _remove_abandoned(place: Path) -> None:
    """Remove the folders of this user's processes that ended without removing them."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError, NotImplementedError, Timeout):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not (folder / _LOCK).is_file():
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
