"""Whoever sits at a terminal is asked before a judge is paid; nobody else is."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from support import Command

from crossforge_train.cli import display
from crossforge_train.cli.display import Output
from crossforge_train.reporting import Reporter, SilentReporter

COST = "m grades 6 pairs: 6 requests [/x]"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.StringIO]:
    """Somebody at a terminal who types this; what is shown there."""

    def sits(text: str) -> io.StringIO:
        shown = io.StringIO()
        monkeypatch.setattr(sys, "stdin", Terminal(text))
        monkeypatch.setattr(
            display,
            "error_console",
            Console(file=shown, force_terminal=True, no_color=True, highlight=False, width=200),
        )
        return shown

    return sits


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_is_asked_once_and_only_yes_is_yes(
    typed: Callable[[str], io.StringIO], answer: str, agreed: bool, quiet: bool
) -> None:
    shown = typed(answer)
    assert Output(quiet=quiet).reporter().confirm(COST) == agreed
    assert f"{COST}; go on? [y/N] " in shown.getvalue()


def test_the_question_stands_alone_while_bars_run(typed: Callable[[str], io.StringIO]) -> None:
    typed("y\n")
    reporter = Output().reporter()
    with reporter.bar("one", 2), reporter.bar("two", 2) as advance:
        assert reporter.confirm(COST)
        advance()


@pytest.mark.parametrize("output", [Output(yes=True), Output(quiet=True, yes=True), Output(as_json=True, yes=True)])
def test_yes_skips_the_question(typed: Callable[[str], io.StringIO], output: Output) -> None:
    shown = typed("n\n")
    assert output.reporter().confirm(COST)
    assert "go on" not in shown.getvalue()
    assert (COST in shown.getvalue()) == (output == Output(yes=True))


def test_without_a_terminal_nobody_is_asked(
    typed: Callable[[str], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = typed("n\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert Output().reporter().confirm(COST)
    assert shown.getvalue().strip() == COST
    typed("n\n")
    unseen = io.StringIO()
    monkeypatch.setattr(display, "error_console", Console(file=unseen, highlight=False, width=200))
    assert Output().reporter().confirm(COST), "a question in a file is answered by nobody"


def test_whoever_uses_the_library_is_never_asked(typed: Callable[[str], io.StringIO]) -> None:
    shown = typed("n\n")
    assert SilentReporter().confirm(COST)
    assert not shown.getvalue()


@pytest.mark.parametrize(
    "command", ["train", "collect", "mine", "finetune", "evaluate", "package", "adapt", "sweep", "budget"]
)
def test_the_commands_that_may_ask_a_judge_take_yes(
    crossforge: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    seen: list[Output] = []

    def reporter(output: Output) -> Reporter:
        seen.append(output)
        return SilentReporter()

    monkeypatch.setattr(Output, "reporter", reporter)
    place = tmp_path / ("docs.txt" if command == "adapt" else "config.yaml")
    place.write_text("one\n" if command == "adapt" else "name: x\ncollection: {beir: nowhere}\nbase_model: nowhere\n")
    crossforge(command, place, "--yes")
    assert [output.yes for output in seen] == [True]
