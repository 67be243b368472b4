"""Judgements by hand: made in the terminal, kept beside the stages, honoured by the next run."""

import errno
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import Command, error_line, toy_config

from crossforge.errors import InputError
from crossforge_train.collections.beir import write_qrels
from crossforge_train.collections.judgements import read_judgements, with_judgements
from crossforge_train.config.loading import load_config
from crossforge_train.mining.groups import read_groups
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages


@pytest.fixture
def mined(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Path:
    """The folder of a run that was mined."""
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder))
    run_stages(config, STAGES[:2], SilentReporter())
    return config.folder


def suspects(run: Path) -> list[list[str]]:
    return [line.split("\t") for line in (run / "mine" / "suspects.tsv").read_text().splitlines()[1:]]


def test_judging_walks_through_the_suspects_and_saves_after_each(crossforge: Command, mined: Path) -> None:
    first, second, third = suspects(mined)[:3]
    found = crossforge("judge", mined, stdin="r\nwhat?\ns\nn\nq\n")
    assert found.status == 0
    assert read_judgements(mined / "judgements.tsv") == {
        first[0]: {first[1]: 1}, **({third[0]: {third[1]: 0}} if third[0] != first[0] else {})
    } or first[0] == third[0]  # fmt: skip
    assert "2 judged" in found.out
    again = crossforge("judge", mined, stdin="")
    assert f"{len(suspects(mined)) - 2} to judge" in again.out  # what was skipped comes again
    assert second[1] not in read_judgements(mined / "judgements.tsv").get(second[0], {})


def test_the_next_run_honours_what_was_said(mined: Path, tmp_path: Path) -> None:
    relevant, irrelevant = suspects(mined)[:2]
    write_qrels(
        mined / "judgements.tsv", {relevant[0]: {relevant[1]: 1}, **{irrelevant[0]: {irrelevant[1]: 0}}}
        if relevant[0] != irrelevant[0] else {relevant[0]: {relevant[1]: 1, irrelevant[1]: 0}},
    )  # fmt: skip
    config = load_config(tmp_path / "config.yaml")
    run_stages(config, STAGES[:2], SilentReporter())
    groups = read_groups(mined / "mine" / "groups")
    assert any(group.query_id == relevant[0] and group.doc_ids[0] == relevant[1] for group in groups)
    for group in groups:
        if group.query_id == relevant[0]:
            assert relevant[1] not in group.doc_ids[1:]
        if group.query_id == irrelevant[0]:
            place = list(group.doc_ids).index(irrelevant[1])
            assert (place, group.sources[place]) == (1, "judged")


def test_judgements_of_a_test_query_count_in_its_split(mined: Path, tmp_path: Path) -> None:
    before = RunFolder(mined).collected.collection()
    query_id = next(iter(before.qrels("test")))
    doc_id = next(one for one in before.corpus if one not in before.qrels("test")[query_id])
    write_qrels(mined / "judgements.tsv", {query_id: {doc_id: 2}, "gone": {doc_id: 1}})
    run_stages(load_config(tmp_path / "config.yaml"), STAGES[:1], SilentReporter())
    after = RunFolder(mined).collected.collection()
    assert after.qrels("test")[query_id][doc_id] == 2
    assert {split: set(after.qrels(split)) for split in after.splits} == {
        split: set(before.qrels(split)) for split in before.splits
    }


def test_unjudged_documents_of_an_evaluation_can_be_judged_too(
    crossforge: Command, mined: Path, tmp_path: Path
) -> None:
    table = tmp_path / "unjudged.tsv"
    table.write_text("query_id\tdoc_id\tprobability\trank\tquery\ttitle\ttext\nq1\td1\t0.9\t1\twhat\tt\t[bold]x\n")
    found = crossforge("judge", mined, "--file", table, stdin="n\n")
    assert "[bold]x" in found.out
    assert read_judgements(mined / "judgements.tsv") == {"q1": {"d1": 0}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n1\t2\n", "line 1: no column query_id"),
        ("query_id\tdoc_id\tquery\ttitle\ttext\nq\td\n", "line 2: 2 columns where"),
    ],
)
def test_a_table_that_cannot_be_judged_is_told(
    crossforge: Command, mined: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "table.tsv").write_text(content)
    found = crossforge("judge", mined, "--file", tmp_path / "table.tsv")
    assert message in found.err
    assert found.status == 1


def test_a_folder_that_is_no_run_is_told(crossforge: Command, tmp_path: Path) -> None:
    assert "neither a run folder" in error_line(crossforge("judge", tmp_path))


def test_a_malformed_judgement_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "judgements.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\nq\td\tyes\n")
    with pytest.raises(InputError, match="line 3: the label 'yes' is no number"):
        read_judgements(tmp_path / "judgements.tsv")


def test_judgements_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    judgements = {"q": {"a": 1, "b": 0}, "r": {"a": 3}}
    write_qrels(tmp_path / "judgements.tsv", judgements)
    assert read_judgements(tmp_path / "judgements.tsv") == judgements


def test_no_judgements_change_nothing(mined: Path) -> None:
    collection = RunFolder(mined).collected.collection()
    assert with_judgements(collection, {}) == collection


def test_a_text_of_any_length_can_be_judged(crossforge: Command, mined: Path, tmp_path: Path) -> None:
    table = tmp_path / "long.tsv"
    table.write_text("query_id\tdoc_id\tquery\ttitle\ttext\nq1\td1\twhat\tt\t" + "word " * 40_000 + "\n")
    crossforge("judge", mined, "--file", table, stdin="not sure\nrelevant\n")
    assert read_judgements(mined / "judgements.tsv") == {"q1": {"d1": 1}}


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_what_was_said_before_the_command_was_stopped_is_kept(mined: Path, stop: signal.Signals, status: int) -> None:
    command = [sys.executable, "-c", "from crossforge_train.cli import main; main()", "judge", str(mined)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write("r\ns\nn\n")
    process.stdin.flush()
    target, deadline = mined / "judgements.tsv", time.monotonic() + 60
    while sum(map(len, read_judgements(target).values())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # the answer is in the file before the command is done with it
    process.send_signal(stop)  # while it waits for the next answer
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    first, _, third = suspects(mined)[:3]
    said = read_judgements(target)
    assert (said[first[0]][first[1]], said[third[0]][third[1]]) == (1, 0)
    assert sum(map(len, said.values())) == 2


def test_a_judgement_that_cannot_be_written_leaves_the_file_as_it_was(
    crossforge: Command, mined: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossforge("judge", mined, stdin="r\n")
    target = mined / "judgements.tsv"
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("crossforge.service.judgements.append_judgement", full)
    assert "no space left on the disk" in crossforge("judge", mined, stdin="n\n").err
    assert target.read_bytes() == before
