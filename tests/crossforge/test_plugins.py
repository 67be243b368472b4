"""Registries: what is found by name, what third parties add, and what is said of names that are not there."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from crossforge import plugins
from crossforge.backends.registry import BACKENDS
from crossforge.errors import InputError
from crossforge.plugins import Plugin, Registry
from crossforge.retrievers.registry import RETRIEVERS

BUILT_IN = {"square": Plugin("math:sqrt", "a root"), "circle": Plugin("math:tau", "a number")}


@pytest.fixture
def registered(monkeypatch):
    """A registry beside which an installed package registers entry points."""

    def registry(**points):
        found = [EntryPoint(name, value, "crossforge.shapes") for name, value in points.items()]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == "crossforge.shapes" else [])
        return Registry("shapes", "shape", BUILT_IN)

    return registry


def test_a_built_in_is_never_replaced(registered):
    registry = registered(square="math:floor", triangle="math:ceil")
    assert registry.load("square")(9) == 3
    assert registry.load("triangle")(0.5) == 1
    assert list(registry.plugins()) == ["square", "circle", "triangle"]


def test_the_nearest_name_is_given_third_parties_included(registered):
    registry = registered(triangle="math:ceil")
    with pytest.raises(InputError, match=r"^no shape 'triangle2'; did you mean triangle\?$"):
        registry.load("triangle2")
    with pytest.raises(InputError, match=r"^no shape 'xyz'; have any, square, circle, triangle$"):
        registry.require("xyz", "any")
    assert registry.require("any", "any") == "any"


@pytest.mark.parametrize("value", ["no_such_package:thing", "math:no_such_thing"])
def test_a_plug_in_that_cannot_be_imported_is_an_input_error_that_names_it(registered, value):
    with pytest.raises(InputError, match=rf"^shape triangle: {value} of .* cannot be imported"):
        registered(triangle=value).load("triangle")


def test_a_plug_in_that_breaks_is_an_input_error_too(registered, tmp_path, monkeypatch):
    (tmp_path / "broken_plug_in.py").write_text("def thing(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        InputError, match=r"^shape triangle: broken_plug_in:thing of .* cannot be imported \("
    ) as caught:
        registered(triangle="broken_plug_in:thing").load("triangle")
    assert "\n" not in str(caught.value)


def test_built_ins_alone_never_look_at_installed_packages(monkeypatch):
    monkeypatch.setattr(plugins, "entry_points", lambda group: pytest.fail("looked"))
    registry = Registry("shapes", "shape", BUILT_IN)
    assert "square" in registry
    assert registry.version("square") == {}
    assert registry.load("circle") > 6


@pytest.mark.parametrize("registry", [BACKENDS, RETRIEVERS], ids=lambda registry: registry.kind)
def test_every_built_in_of_the_runtime_can_be_imported(registry):
    assert all(registry.load(name) and found.description for name, found in registry.built_in.items())


def test_the_registries_import_nothing_heavy():
    code = (
        "import sys, crossforge.backends.registry, crossforge.retrievers.registry, crossforge_train.registries\n"
        "print(*sorted({'torch', 'onnxruntime', 'pydantic', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_installed_package_is_found_by_its_entry_points(tmp_path, monkeypatch):
    information = tmp_path / "foreign-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[crossforge.shapes]\ntriangle = foreign:Triangle\n")
    (tmp_path / "foreign.py").write_text("class Triangle: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("shapes", "shape", BUILT_IN)
    assert registry.version("triangle") == {"shape triangle": "foreign 1.0"}
    assert "foreign" not in sys.modules
    assert registry.load("triangle") is sys.modules["foreign"].Triangle
    del sys.modules["foreign"]
