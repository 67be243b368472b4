"""Names from outside break no table, no link and no front matter: not in the card, not in the report, not on a page."""

import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support import PICKED, Page

from crossforge_train.collections.counts import Counts
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining
from crossforge_train.evaluation.examples import Example, ExampleDocument
from crossforge_train.evaluation.outcome import Report
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.packaging.card import model_card
from crossforge_train.report.escaping import code, plain
from crossforge_train.report.files import read_report, write_report
from crossforge_train.report.markdown import markdown
from crossforge_train.report.page import page
from crossforge_train.training.history import History

HOSTILE = [
    "a | b", "`rm`", "``", "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil.example/x.png)",
    "one\n\n# two", "x\n---\nlicense: stolen\n---\n", "a: b", "#c", "- d", "1. e", "*f*", "__g__", "~~h~~", "&lt;",
    "http://evil.example", "www.evil.example", "'\"", "{name}", "%s", "\\", "\\|", "@", "!", "? x", "<!-- ", "$x$",
    "<b onclick=x>", "\u202egpj.exe", "a\x00\x1b[31mb", "\ud800", "null", "2024-01-05", "🦊",
]  # fmt: skip
PLAIN = "name"
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shape(text: str) -> list[tuple[str, ...]]:
    """What a reader of Markdown makes of the text besides text: its blocks and what stands within them."""
    found = []
    for token in MARKDOWN.parse(text):
        inner = [child.type for child in token.children or [] if child.type not in ("text", "text_special")]
        found.append((token.type, *inner))
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report that version 0.1 wrote."""
    folder = tmp_path_factory.mktemp("report")
    with tarfile.open(Path(__file__).parents[2] / "data" / "run-0.1.tar.xz") as archive:
        (folder / "report.json").write_bytes(archive.extractfile("runs/finished/evaluate/report.json").read())
    return read_report(folder)


def named(report: Report, name: str) -> Report:
    """The report as if all that has a name from outside were called so."""
    return replace(
        report, title=name, collection=name, first_stage=name, splits=[_named(split, name) for split in report.splits]
    )


def _named(split: SplitReport, name: str) -> SplitReport:
    called = {split.subject: name, split.baseline: f"{name}2"}
    systems = [replace(found, name=called.get(found.name, found.name)) for found in split.systems]
    comparisons = [
        replace(found, system=called.get(found.system, found.system), baseline=f"{name}2", decisive=number < 2)
        for number, found in enumerate(split.comparisons)
    ]
    lost = [replace(found, query_id=name, doc_id=name) for found in split.details.diagnosis.lost]
    details = replace(split.details, diagnosis=replace(split.details.diagnosis, lost=lost))
    shown = ExampleDocument("d", name, 1, None, {name: 1})
    return replace(
        split, split=name, subject=name, baseline=f"{name}2", systems=systems, comparisons=comparisons,
        details=details, best=[Example("q", name, 0.1, [shown], [shown])], worst=[], pseudo=True,
        judges={f"judge {name}": 3, "people": 1},
    )  # fmt: skip


def card(name: str, results: str = "") -> str:
    # A config refuses the character 0 in a name; the card is safe from it all the same.
    config = Config(name="toy", base_model=PLAIN, collection={"builtin": "pydocs"})
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 1})
    counts = Counts(
        name=name, documents=1, queries={name: 1}, leaks="drop", leaking_queries={}, leakage_left=[],
        judges={name: {name: 1}},
    )  # fmt: skip
    history = History(
        training, first_stage_dev=0.4, best_dev=0.5, best_step=1, steps=1, groups=1, device="cpu", cut_in_training=0,
        cut_on_dev=0, log=[],
    )  # fmt: skip
    mining = config.mining.model_copy(update={"teacher": name.replace("\0", "")})
    config = config.model_copy(update={"base_model": name, "mining": mining})
    return model_card(config, counts, history, first_stage=name, why=name, results=results, version="1.0")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_changes_nothing_but_itself_in_the_report_and_in_the_card(report: Report, name: str) -> None:
    assert shape(markdown(named(report, name))) == shape(markdown(named(report, PLAIN)))
    written, expected = card(name, markdown(named(report, name))), card(PLAIN, markdown(named(report, PLAIN)))
    front, _, body = written.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front) == {**yaml.safe_load(expected.split("---\n")[1]), "base_model": name}
    assert shape(body) == shape(expected.partition("\n---\n")[2])


def test_the_shape_tells_what_names_can_do_that_are_not_escaped() -> None:
    told = {name: shape(f"a {name} b\n\n| {name} |\n| --- |\n| x |") for name in HOSTILE}
    changed = [name for name in HOSTILE if told[name] != shape(f"a {PLAIN} b\n\n| {PLAIN} |\n| --- |\n| x |")]
    assert len(changed) >= 10


@given(st.text())
def test_any_text_is_shown_as_it_is(text: str) -> None:
    characters = text.encode("utf-8", "replace").decode()
    shown = " ".join("".join(one if one.isprintable() else " " for one in characters).split())
    for written in (plain(text), f"x\n\n- {plain(text)}", f"| a |\n| --- |\n| {plain(text)} |"):
        inline = [token for token in MARKDOWN.parse(written) if token.type == "inline"]
        texts = ["".join(child.content for child in token.children) for token in inline]
        assert all(child.type in ("text", "text_special") for token in inline for child in token.children)
        assert texts[-1:] == [shown] or not shown
    (paragraph,) = [token for token in MARKDOWN.parse(f"x {code(text)} y") if token.type == "inline"]
    assert [child.type for child in paragraph.children] == ["text", "code_inline", "text"]
    assert paragraph.children[1].content.strip() == shown


@pytest.mark.parametrize("name", ["http://evil.example/x", "HTTPS://evil.example", "www.evil.example", "see www.a.b"])
def test_an_address_does_not_become_a_link_of_its_own(name: str) -> None:
    assert re.search(r"\w://|www\.", plain(name), re.IGNORECASE) is None


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", " ".join(HOSTILE)])
def test_a_name_adds_no_element_to_the_page(report: Report, name: str) -> None:
    hostile, expected = Page(page(named(report, name))), Page(page(named(report, PLAIN)))
    assert hostile.elements == expected.elements
    assert hostile.references == expected.references


@pytest.mark.parametrize("name", ["\ud800", " ".join(HOSTILE)])
def test_a_report_with_any_name_can_be_written_and_read(report: Report, tmp_path: Path, name: str) -> None:
    write_report(tmp_path, named(report, name))
    shown = name.encode("utf-8", "replace").decode()
    assert read_report(tmp_path).title == shown
    assert json.loads((tmp_path / "report.json").read_text())["collection"] == shown
