"""Registries: a name finds its plug-in, nothing is imported before that, and third parties can add to them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossforge.errors import InputError
from crossforge.plugins import Plugin, Registry

LETTERS = {
    "decode": Plugin("json.decoder:JSONDecoder", "from text"),
    "encode": Plugin("json.encoder:JSONEncoder", "to text"),
    "nowhere": Plugin("no_such_module:thing", "cannot be imported"),
}
Install = Callable[..., Registry]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package `foreign`, with entry points in a group and a module of some source; gives the registry."""

    def installed(entries: str, module: str = "", group: str = "crossforge.letters") -> Registry:
        information = tmp_path / "foreign-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        (tmp_path / "foreign.py").write_text(module)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "foreign", raising=False)
        return letters()

    return installed


def letters() -> Registry:
    return Registry("letters", "letter", LETTERS)


def message(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_a_name_finds_what_its_path_says() -> None:
    from json.encoder import JSONEncoder

    assert letters().load("encode") is JSONEncoder
    assert "encode" in letters()
    assert letters().require("encode") == "encode"


def test_nothing_is_imported_before_it_is_loaded() -> None:
    found = letters()
    assert found.plugins() == LETTERS
    assert found.require("nowhere") == "nowhere"
    with pytest.raises(ModuleNotFoundError):  # ours: a bug, not an error of the user's
        found.load("nowhere")


@pytest.mark.parametrize(
    ("name", "hint"), [("encoder", "did you mean encode?"), ("zzz", "have decode, encode, nowhere")]
)
def test_an_unknown_name_is_told_with_the_nearest_or_all_of_them(name: str, hint: str) -> None:
    assert name not in letters()
    for call in (letters().require, letters().load):
        assert message(lambda call=call: call(name)) == f"no letter {name!r}; {hint}"


def test_a_third_party_adds_its_own(install: Install) -> None:
    found = install("mine = foreign:Mine", "class Mine: pass\n")
    assert "mine" in found
    assert list(found.plugins()) == [*LETTERS, "mine"]
    assert found.plugins()["mine"] == Plugin("foreign:Mine", "from the package foreign")
    assert "foreign" not in sys.modules
    assert found.load("mine") is sys.modules["foreign"].Mine
    assert message(lambda: found.require("mein")) == "no letter 'mein'; did you mean mine?"


def test_a_third_party_replaces_nothing_that_is_built_in(install: Install) -> None:
    found = install("encode = foreign:Mine", "class Mine: pass\n")
    assert found.plugins() == LETTERS
    assert found.load("encode").__name__ == "JSONEncoder"


def test_entry_points_of_another_group_are_not_taken(install: Install) -> None:
    assert "mine" not in install("mine = foreign:Mine", group="crossforge.digits")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("", "module 'foreign' has no attribute 'Mine'"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
    ],
)
def test_a_broken_third_party_is_named_only_when_it_is_used(install: Install, module: str, reason: str) -> None:
    found = install("mine = foreign:Mine", module)
    assert found.require("mine") == "mine"
    assert message(lambda: found.load("mine")) == (
        f"letter mine: the plug-in foreign:Mine cannot be imported ({reason})"
    )
