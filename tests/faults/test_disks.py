"""Disks that are full, read-only or not ours: one line, nothing half-written, and the next run mends it."""

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from apart import contents, done, error_of
from support import toy_config

from crossforge_train.config.loading import load_config

pytestmark = pytest.mark.slow

NOBODY = 65534
# Bytes that a file may have: collecting fails at the first, mining and training at the others.
LIMITS = [1_000, 12_000, 100_000]


def small_files(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def unfinished(run: Path) -> list[str]:
    """What is neither a finished stage nor the folder that a stage works in."""
    return [path.name for path in run.rglob("*") if path.name.endswith((".writing", ".tmp"))]


def test_a_file_that_may_not_grow_ends_in_one_line_and_the_next_run_mends_it(config: Path) -> None:
    run = load_config(config).folder
    for limit in LIMITS:
        line = error_of(done("train", config, "--until", "finetune", before=partial(small_files, limit)))
        assert "a file is larger than this process may write" in line, (limit, line)
        assert unfinished(run) == []
    assert done("train", config, "--until", "finetune").returncode == 0
    whole = config.parent / "whole"
    assert done("train", config, "--until", "finetune", "--set", f"runs={whole}").returncode == 0
    expected, found = contents(whole / run.name), contents(run)
    assert found.keys() == expected.keys()
    assert [name for name, content in found.items() if content != expected[name]] == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        refused = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no command mount")
    if refused.returncode:
        pytest.skip(f"a disk cannot be mounted here: {refused.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_in_one_line_and_goes_on_once_there_is_space(config: Path, mounted: Path) -> None:
    where = ("--set", f"runs={mounted}")
    (mounted / "ballast").write_bytes(bytes(1_020_000))  # leaves some 28 kB
    assert "no space left on the disk; free some" in error_of(done("train", config, "--until", "mine", *where))
    assert unfinished(mounted) == []
    (mounted / "ballast").unlink()
    found = done("train", config, "--until", "mine", *where)
    assert found.returncode == 0, found.stderr


def test_a_disk_that_is_mounted_read_only_is_told_in_one_line(config: Path, mounted: Path) -> None:
    where = ("--set", f"runs={mounted}")
    assert done("train", config, "--until", "collect", *where).returncode == 0
    before = contents(mounted)
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    for command in (["train", config, "--until", "mine", *where], ["judge", mounted / "toy"]):
        line = error_of(done(*command))
        assert str(mounted) in line, line
    assert contents(mounted) == before


@pytest.fixture
def as_nobody(tmp_path: Path, tiny_encoder: Path) -> Iterator[None]:
    """All that a command reads can be read by anybody."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a command as somebody else")
    if not runs_for_nobody():
        pytest.skip(f"nobody but root can run {sys.executable}")
    opened = [
        folder for path in (tmp_path, tiny_encoder) for folder in (path, *path.parents) if folder.owner() == "root"
    ]
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in opened if folder.is_relative_to("/tmp")}
    for folder, mode in modes.items():
        folder.chmod(mode | 0o755)
    yield
    for folder, mode in modes.items():
        folder.chmod(mode)


def runs_for_nobody() -> bool:
    command = [sys.executable, "-c", "import crossforge_train"]
    try:
        return subprocess.run(command, preexec_fn=nobody, capture_output=True, check=False).returncode == 0
    except PermissionError:  # the interpreter lies in a folder of root's
        return False


def nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.mark.usefixtures("as_nobody")
def test_folders_of_somebody_else_are_told_in_one_line(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    collection, base = tmp_path / "collection", tmp_path / "base"
    shutil.copytree(toy_collection, collection)
    shutil.copytree(tiny_encoder, base)
    config = toy_config(tmp_path, collection, base)
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)

    def run_by_nobody(*command: object) -> subprocess.CompletedProcess[str]:
        return done(*command, before=nobody, HOME=str(home))

    def failed(*command: object) -> str:
        return error_of(run_by_nobody(*command))

    before = sorted(tmp_path.iterdir())
    assert "permission denied" in failed("train", config, "--until", "collect")
    assert sorted(tmp_path.iterdir()) == before
    assert done("train", config, "--until", "collect").returncode == 0
    run = load_config(config).folder
    kept = contents(run)
    for command in (["train", config, "--until", "mine"], ["train", config, "--until", "collect", "--fresh"]):
        assert "permission denied" in failed(*command)
    assert contents(run) == kept
    (collection / "queries.jsonl").chmod(0o600)
    other = ("--set", f"runs={home}")
    line = failed("train", config, "--until", "collect", *other)
    assert f"{collection / 'queries.jsonl'}: permission denied" in line
    (collection / "queries.jsonl").chmod(0o644)
    found = run_by_nobody("train", config, "--until", "collect", *other)
    assert found.returncode == 0, found.stderr
