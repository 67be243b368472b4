"""A service's temporary folder: gone when the service ends, or when the next one starts if it was killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("filelock", reason="filelock is not installed: crossforge[serve]")

from crossforge.service.copies import temporary_folder

HOLDS = """
from crossforge.service.copies import temporary_folder
with temporary_folder() as folder:
    (folder / "model").mkdir()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(place: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        killed, living = (Path(process.stdout.readline().strip()) for process in processes)
        processes[0].kill()
        processes[0].wait()
        assert (killed / "model").is_dir()
        with temporary_folder() as own:
            assert sorted(place.iterdir()) == sorted([living, own])
        assert list(place.iterdir()) == [living]
        processes[1].communicate("\n")
        assert list(place.iterdir()) == []
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_what_it_has_not_made_stays(place: Path) -> None:
    other, elsewhere = place / "crossforge-serve-notes", place / "elsewhere"
    other.mkdir()
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    link = place / "crossforge-serve-link"
    link.symlink_to(elsewhere)
    with temporary_folder():
        pass
    assert sorted(place.iterdir()) == sorted([other, elsewhere, link])


def test_it_is_gone_after_an_error(place: Path) -> None:
    with pytest.raises(RuntimeError), temporary_folder() as folder:
        assert folder.is_dir()
        raise RuntimeError
    assert list(place.iterdir()) == []
