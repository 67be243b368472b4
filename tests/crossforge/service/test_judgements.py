"""A file of judgements that several processes write: nothing is lost, and no line is torn."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from crossforge.service import judgements
from crossforge.service.judgements import JudgementLog, append_judgement
from crossforge_train.collections.judgements import read_judgements
from crossforge_train.collections.typed_queries import read_typed_queries

HEADER = "query-id\tcorpus-id\tscore"
WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from crossforge.service.judgements import JudgementLog
log, whose = JudgementLog(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda n: log.add(f"query {n % 20}", f"{whose}-{n}-" + "x" * 200, n % 2 == 0), range(100)))
"""


def test_judgements_of_three_processes_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "judgements.tsv"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )
        for n in range(3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert lines[0] == HEADER
    assert lines.count(HEADER) == 1
    assert len(lines) == 301
    judged = read_judgements(path)
    texts = read_typed_queries(path.with_name("judged_queries.jsonl"), pytest.fail)
    assert {texts[query_id] for query_id in judged} == {f"query {n}" for n in range(20)}
    assert sum(map(len, judged.values())) == 300


def test_what_a_service_appends_while_a_person_judges_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossforge_train.cli import judging

    target = tmp_path / "judgements.tsv"
    append_judgement(target, "q0", "d0", 1)
    rows = [{"query_id": "q1", "doc_id": f"d{n}", "query": "q", "title": "", "text": "t"} for n in range(2)]
    answers = iter("rn")

    def asked() -> str:
        append_judgement(target, "typed", f"d{len(read_judgements(target))}", 1)
        return next(answers)

    monkeypatch.setattr(judging, "_ask", asked)
    judging._judge_rows(rows, target, None)
    assert read_judgements(target) == {"q0": {"d0": 1}, "typed": {"d1": 1, "d3": 1}, "q1": {"d0": 1, "d1": 0}}


def test_a_last_line_without_its_end_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "judgements.tsv"
    path.write_text(f"{HEADER}\nq1\td1\t1")
    append_judgement(path, "q2", "d2", 0)
    assert read_judgements(path) == {"q1": {"d1": 1}, "q2": {"d2": 0}}


LIMITED = """
import resource, signal, sys
from pathlib import Path
from crossforge.service.judgements import append_judgement
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40, 40))
try:
    append_judgement(Path(sys.argv[1]), "a query's id", "d" * 50, 1)
except OSError as error:
    print(error.strerror)
"""


def test_a_judgement_that_fits_in_half_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "judgements.tsv"
    JudgementLog(path).add("q", "d", True)
    before = path.read_bytes()
    assert len(before) > 40
    path.write_bytes(before[:25])
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert found.stdout == "File too large\n"
    assert path.read_bytes() == before[:25]


def test_a_file_that_another_process_holds_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgements, "_PATIENCE", 0)
    path = tmp_path / "judgements.tsv"
    with (
        FileLock(tmp_path / ".judgements.tsv.lock"),
        pytest.raises(OSError, match="another process has held the file for 0 seconds") as caught,
    ):
        append_judgement(path, "q1", "d1", 1)
    assert (caught.value.strerror, caught.value.filename) == (
        "another process has held the file for 0 seconds", str(path),
    )  # fmt: skip
    append_judgement(path, "q1", "d1", 1)
    assert read_judgements(path) == {"q1": {"d1": 1}}
