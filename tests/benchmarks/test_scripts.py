"""Every benchmark says what it does when asked, and does nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPTS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("*.py") if "__main__" in path.read_text()
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_says_what_it_does(
    script: Any, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert not stopped.value.code
    assert str(module.__doc__).splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 3, 30])
def test_equal_orders_have_all_in_common(script: Any, count: int) -> None:
    order = {"q": [f"d{number}" for number in range(count)], "found nothing": []}
    assert script("backend_quality")._common(order, order) == 1
    assert script("backend_quality")._common(order, {**order, "q": [f"other {n}" for n in range(count)]}) == 0


def test_without_the_exact_client_the_others_are_compared_with_nothing(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("rerank_latency")
    monkeypatch.setattr(module, "_padding", lambda *_: 0.1)

    class Client:
        cold_start = 1.0

        def ask(self, pairs: Any) -> Any:
            return 0.5, np.zeros(len(pairs), np.float32), 100.0

    calls = [[("query", "text")] * module.REQUEST]
    module._measure("short", Path(), calls, {"FlashRank": Client()})
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| FlashRank | 200.0 | – | 500 | 500 | – | – | 100 | 1.0 |"


def test_a_service_that_does_not_start_says_why(script: Any) -> None:
    class Process:
        stderr = ("error: no such package\n",)

    with pytest.raises(SystemExit, match="no such package"):
        script("serve_load")._address(Process())
