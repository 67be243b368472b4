"""The wheel and the sdist, as somebody gets them who installs crossforge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    pytest.importorskip("build")
    script = [str(ROOT / ".ci" / "check_wheel.sh"), sys.executable, str(tmp_path / "dist")]
    finished = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert len(list((tmp_path / "dist").glob("crossforge-*.whl"))) == 1
    assert len(list((tmp_path / "dist").glob("crossforge-*.tar.gz"))) == 1
