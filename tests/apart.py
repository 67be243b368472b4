"""The command as a process of its own: killed at a moment, kept from writing, or run by somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# What of a run depends on nothing but its inputs: the other files hold durations.
_EQUAL = {".safetensors", ".onnx", ".trec", ".tsv", ".jsonl", ".npy", ".npz", ".arrow", ".txt"}

Before = Callable[[], None]


def started(*arguments: object, before: Before | None = None, **environment: str) -> subprocess.Popen[str]:
    """`crossforge ARGUMENT ...` with the exporter of `quick_runs`; `before` is called in the new process."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "quick_runs", "crossforge_train", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=variables,
        preexec_fn=before, start_new_session=True,
    )  # fmt: skip


def done(*arguments: object, before: Before | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same, waited for."""
    process = started(*arguments, before=before, **environment)
    out, err = process.communicate(timeout=1200)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def killed_at(moment: str, *arguments: object) -> None:
    """The same, killed as soon as a line of its progress holds `moment`."""
    process, said = started(*arguments), []
    for line in process.stderr or ():
        said.append(line)
        if moment in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"{moment!r} was never said: {''.join(said)}"


def error_of(found: subprocess.CompletedProcess[str]) -> str:
    """The one line in which a command says why it failed, whatever progress it has shown before."""
    assert found.returncode in (1, 2), found.stderr
    assert "Traceback" not in found.stderr
    lines = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, found.stderr
    assert found.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def contents(run: Path) -> dict[str, bytes | None]:
    """The files of a run, and the bytes of those that are the same each time."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes() if path.suffix in _EQUAL else None
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }
