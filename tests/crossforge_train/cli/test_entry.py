"""How the command line is started: by the console script, as a module, and without what it needs."""

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules[{name!r}] = None; sys.argv = ['crossforge', '--help']"
START = "from crossforge_train.cli import main; main()"


CLOSED = [("stdin", "<&-"), ("stdout", ">&-"), ("stderr", "2>&-")]


def output(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_a_missing_library_of_the_command_line_is_told_in_one_line(name: str) -> None:
    done = output("-c", f"{WITHOUT.format(name=name)}; {START}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f'error: {name} is not installed, and the command line needs it: pip install "crossforge[cli]"\n'
    )


def test_another_missing_module_is_a_bug_and_keeps_its_traceback() -> None:
    done = output("-c", f"{WITHOUT.format(name='crossforge_train.processes')}; {START}")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("package", ["crossforge", "crossforge_train"])
def test_a_package_is_imported_without_the_command_line(package: str) -> None:
    done = output("-c", f"import sys; sys.modules['typer'] = sys.modules['rich'] = None; import {package}")
    assert done.returncode == 0, done.stderr


def test_the_toolkit_as_a_module_is_the_command() -> None:
    done = output("-m", "crossforge_train", "inspect", "none")
    assert (done.returncode, done.stderr) == (1, "error: none: no such folder\n")


@pytest.mark.parametrize(("name", "closing"), CLOSED)
def test_a_closed_stream_is_an_empty_one_also_for_workers(name: str, closing: str) -> None:
    asks = f"import sys; assert not sys.{name}.isatty()"
    code = f"from crossforge_train.cli import _command_line; _command_line(); {asks}"
    code += f"; import subprocess; sys.exit(subprocess.call([sys.executable, '-c', '{asks}']))"
    done = subprocess.run(["bash", "-c", f'"$0" -c "$1" {closing}', sys.executable, code], timeout=300)
    assert done.returncode == 0


@pytest.mark.parametrize("stage", ["mine", "finetune", "evaluate"])
def test_launch_scripts_start_a_stage(stage: str) -> None:
    done = output("-m", f"crossforge_train.{stage}", "none.yaml")
    assert (done.returncode, done.stderr) == (1, "error: none.yaml: no such config file\n")


@pytest.mark.parametrize("stage", ["mine", "finetune", "evaluate"])
def test_launch_scripts_are_not_modules_to_import(stage: str) -> None:
    done = output("-c", f"import crossforge_train.{stage}")
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: a script for `python -m crossforge_train.{stage} CONFIG`, not a module to import"
    )
