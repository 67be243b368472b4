"""`crossforge score`: every pair once, in order, whatever was interrupted; bad rows are named before any is scored."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray_workers
from ray_workers import importable_by_workers
from support import TOPICS, Command, Recorder, error_line

import crossforge_train as ct
from crossforge import InputError, Reranker, reranker
from crossforge_train.bulk_scoring import parts
from crossforge_train.bulk_scoring.scoring import score_table
from crossforge_train.compute.base import Engine
from crossforge_train.reporting import Advance, SilentReporter

COUNT = 25


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PART", 4)


def make_rows(count: int = COUNT) -> list[dict[str, Any]]:
    words = " ".join(TOPICS.values()).split()
    return [
        {"query": words[n % 7], "text": " ".join(words[n : n + 1 + 7 * n % 20]), "doc_id": f"d{n}", "rank": n % 5}
        for n in range(count)
    ]


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_every_pair_is_scored_in_order(tmp_path: Path, tiny_scorer: Path, crossforge: Command, kind: str) -> None:
    rows = make_rows()
    pairs, out = write_table(tmp_path / f"pairs.{kind}", rows), tmp_path / "scores.parquet"
    done = crossforge("score", tiny_scorer, pairs, "-o", out, "--json")
    assert done.json == {"path": str(out), "pairs": COUNT, "scored": COUNT}
    found = pq.read_table(out)
    assert found.column_names == ["row", "doc_id", "rank", "score", "probability", "truncated"]
    assert found["row"].to_pylist() == list(range(COUNT))
    assert found["doc_id"].to_pylist() == [row["doc_id"] for row in rows]
    assert found["rank"].to_pylist() == [row["rank"] for row in rows]
    expected = Reranker(tiny_scorer).score_pairs([(row["query"], row["text"]) for row in rows])
    np.testing.assert_allclose(found["score"].to_numpy(), expected.logits, atol=1e-5)
    assert len(set(found["score"].to_pylist())) > COUNT // 2
    np.testing.assert_allclose(found["probability"].to_numpy(), 1 / (1 + np.exp(-expected.logits)), atol=1e-5)
    assert found["truncated"].to_pylist() == expected.truncated
    assert [path.name for path in tmp_path.iterdir() if path.suffix != f".{kind}"] in ([], ["scores.parquet"])


def test_titles_are_read_with_their_texts(tmp_path: Path, tiny_scorer: Path) -> None:
    rows = [{"query": "bread", "title": "boat", "text": "sail"}, {"query": "bread", "title": None, "text": "sail"}]
    ct.score(tiny_scorer, write_table(tmp_path / "pairs.jsonl", rows), tmp_path / "scores.parquet")
    found = pq.read_table(tmp_path / "scores.parquet")["score"].to_numpy()
    reranker = Reranker(tiny_scorer)
    documents = [{"text": "sail", "title": "boat"}, "sail"]
    np.testing.assert_allclose(found, reranker.score("bread", documents), atol=1e-5)


def test_an_interrupted_call_is_gone_on_with(
    tmp_path: Path, tiny_scorer: Path, monkeypatch: pytest.MonkeyPatch, crossforge: Command
) -> None:
    pairs = write_table(tmp_path / "pairs.parquet", make_rows())
    whole, out = tmp_path / "whole.parquet", tmp_path / "scores.parquet"
    ct.score(tiny_scorer, pairs, whole)
    with monkeypatch.context() as patch:
        write, written = parts.Parts.write, []

        def stopping(self: parts.Parts, number: int, *given: Any) -> None:
            if len(written) == 3:
                raise KeyboardInterrupt
            written.append(number)
            write(self, number, *given)

        patch.setattr(parts.Parts, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            ct.score(tiny_scorer, pairs, out)
    assert not out.exists()
    reporter = Recorder()
    assert ct.score(tiny_scorer, pairs, out, reporter=reporter).scored == COUNT - 3 * 4
    assert reporter.bars == [("scoring pairs", COUNT - 12)]
    assert pq.read_table(out).equals(pq.read_table(whole))
    assert ct.score(tiny_scorer, pairs, out).scored == 0  # finished
    assert f"{COUNT} of them by an earlier command" in crossforge("score", tiny_scorer, pairs, "-o", out).out


def test_what_is_there_of_something_else_is_kept(tmp_path: Path, tiny_scorer: Path, crossforge: Command) -> None:
    pairs, others = write_table(tmp_path / "a.jsonl", make_rows()), write_table(tmp_path / "b.jsonl", make_rows(9))
    out = tmp_path / "scores.parquet"
    ct.score(tiny_scorer, pairs, out)
    told = error_line(crossforge("score", tiny_scorer, others, "-o", out))
    assert told.endswith("scores.parquet: holds scores of another pairs; delete it, or name another output")
    (tmp_path / "other.parquet.parts").mkdir()
    (tmp_path / "other.parquet.parts/made_from.json").write_text('{"pairs": "", "reranker": {}, "crossforge": ""}')
    with pytest.raises(
        InputError, match=r"other\.parquet\.parts: holds scores of another pairs and reranker and cross"
    ):
        ct.score(tiny_scorer, pairs, tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: is there already, and holds no scores of this command"):
        ct.score(tiny_scorer, pairs, write_table(tmp_path / "a.parquet", make_rows(2)))


GOOD = {"query": "bread", "text": "oven"}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"query": " ", "text": "oven"}, "line 2: column 'query' is empty"),
        ({"query": None, "text": "oven"}, "line 2: column 'query' holds nothing where a text is expected"),
        ({"query": "bread", "text": 5}, "line 2: column 'text' holds 5 where a text is expected"),
        ({"query": "bread"}, "line 2: there is no column 'text'; columns here: query"),
        ({"query": "bread " * 90, "text": "oven"}, "line 2: the query has 90 tokens and the model reads 64"),
        ({**GOOD, "score": 0.5}, "line 2: column 'score' is one that is written; call it otherwise"),
        ({**GOOD, "id": "five"}, "line 2: column 'id' holds 'five', and rows before it other kinds of values"),
        ({**GOOD, "id": 2**63}, "line 2: column 'id' holds a number of more than 64 bits"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, tiny_scorer: Path, crossforge: Command, bad: dict, told: str) -> None:
    pairs = write_table(tmp_path / "pairs.jsonl", [{**GOOD, "id": 1}, bad, GOOD])
    assert f"{pairs}, {told}" in error_line(crossforge("score", tiny_scorer, pairs, "-o", tmp_path / "scores.parquet"))
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_an_empty_query_in_the_first_row_is_named(tmp_path: Path, tiny_scorer: Path) -> None:
    pairs = write_table(tmp_path / "pairs.jsonl", [{"query": "", "text": "oven"}, GOOD])
    with pytest.raises(InputError, match=r"pairs\.jsonl, line 1: column 'query' is empty$"):
        ct.score(tiny_scorer, pairs, tmp_path / "scores.parquet")


def test_a_bad_row_of_parquet_is_named_by_its_number(tmp_path: Path, tiny_scorer: Path) -> None:
    pairs = write_table(tmp_path / "pairs.parquet", [GOOD, GOOD, {"query": "", "text": "oven"}])
    with pytest.raises(InputError, match=r"pairs\.parquet, row 3: column 'query' is empty$"):
        ct.score(tiny_scorer, pairs, tmp_path / "scores.parquet")


def test_columns_of_other_kinds(tmp_path: Path, tiny_scorer: Path) -> None:
    rows = [{**GOOD, "n": 1, "list": [1], "none": None}, {**GOOD, "n": 2.5, "list": [2], "none": None}, dict(GOOD)]
    ct.score(tiny_scorer, write_table(tmp_path / "pairs.jsonl", rows), tmp_path / "scores.parquet")
    found = pq.read_table(tmp_path / "scores.parquet")
    assert found["n"].to_pylist() == [1.0, 2.5, None]
    assert found["none"].to_pylist() == [None] * 3
    assert "list" not in found.column_names


@pytest.mark.parametrize("numbers", [[2**53 + 1, 0.5], [0.5, -(2**60)], [1, 0.5, 2**53 + 1], [1, 2**53 + 1, 2, 0.5]])
def test_whole_numbers_that_no_float_holds_are_not_mixed_with_floats(
    tmp_path: Path, tiny_scorer: Path, numbers: list[float]
) -> None:
    pairs = write_table(tmp_path / "pairs.jsonl", [{**GOOD, "n": number} for number in numbers])
    with pytest.raises(InputError, match=rf"line {len(numbers)}: column 'n' holds .*; make all its values texts"):
        ct.score(tiny_scorer, pairs, tmp_path / "scores.parquet")


def test_large_whole_numbers_stay_as_they_are(tmp_path: Path, tiny_scorer: Path) -> None:
    numbers = [1, 2**53 + 1, None, -(2**60) - 1, 3]
    pairs = write_table(tmp_path / "pairs.jsonl", [{**GOOD, "n": number} for number in numbers])
    ct.score(tiny_scorer, pairs, tmp_path / "scores.parquet")
    assert pq.read_table(tmp_path / "scores.parquet")["n"].to_pylist() == numbers


def test_arguments_that_make_no_sense(tmp_path: Path, tiny_scorer: Path, crossforge: Command) -> None:
    pairs = write_table(tmp_path / "pairs.jsonl", [GOOD])
    out = tmp_path / "scores.parquet"
    assert "let the name end in .parquet" in error_line(
        crossforge("score", tiny_scorer, pairs, "-o", tmp_path / "scores")
    )
    uri = error_line(crossforge("score", tiny_scorer, pairs, "-o", "s3://bucket/scores.parquet"))
    assert "s3:/bucket/scores.parquet: a table of scores needs a path on a file system, not a URI" in uri
    assert "--workers: only with --engine ray" in error_line(
        crossforge("score", tiny_scorer, pairs, "-o", out, "--workers", "2")
    )
    on_ray = crossforge("score", tiny_scorer, pairs, "-o", out, "--engine", "ray", "--device", "cuda")
    assert "--device: not with --engine ray, where --gpus-per-worker says it" in error_line(on_ray)
    with pytest.raises(InputError, match="gpus_per_worker says"):
        ct.score(tiny_scorer, pairs, out, device="cuda", compute={"engine": "ray"})
    with pytest.raises(InputError, match="backend='openvino': computes on no GPU"):
        ct.score(tiny_scorer, pairs, out, backend="openvino", compute={"engine": "ray", "gpus_per_worker": 1})
    share = ("score", tiny_scorer, pairs, "-o", out, "--engine", "ray", "--gpus-per-worker")
    assert "gpus_per_worker: expected 0, or a number from 0.01 to 1" in error_line(crossforge(*share, "0.001"))
    for number in ("nan", "-0.5", "2"):  # versions of typer word it differently
        assert re.search("gpus.per.worker", error_line(crossforge(*share, number)))
    empty = write_table(tmp_path / "empty.jsonl", [])
    assert "holds no pairs" in error_line(crossforge("score", tiny_scorer, empty, "-o", out))
    assert "no such file" in error_line(crossforge("score", tiny_scorer, tmp_path / "none.jsonl", "-o", out))
    with pytest.raises(InputError, match=r"^compute: workers"):
        ct.score(tiny_scorer, pairs, out, compute={"workers": 0})


def test_backend_and_device_are_those_that_are_named(
    tmp_path: Path, tiny_scorer: Path, crossforge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, out = write_table(tmp_path / "pairs.jsonl", [GOOD]), tmp_path / "scores.parquet"
    asked = []
    loads = reranker.load_parts

    def load(reference: str, **options: Any) -> object:
        asked.append((options["backend"], options["device"]))
        return loads(reference, **options)

    monkeypatch.setattr(reranker, "load_parts", load)
    half = ("--backend", "torch-bf16", "--device", "cpu")
    assert crossforge("score", tiny_scorer, pairs, "-o", out, *half, "--json").json["scored"] == 1
    assert crossforge("score", tiny_scorer, pairs, "-o", out, *half, "--json").json["scored"] == 0
    assert set(asked) == {("torch-bf16", "cpu")}
    assert "holds scores of another backend" in error_line(crossforge("score", tiny_scorer, pairs, "-o", out))
    exact = tmp_path / "exact.parquet"
    ct.score(tiny_scorer, pairs, exact)
    assert ct.score(tiny_scorer, pairs, exact, backend="torch").scored == 0, "they differ by rounding"
    with pytest.raises(InputError, match="another backend"):
        ct.score(tiny_scorer, pairs, exact, backend="torch-bf16")


@pytest.mark.slow
def test_a_cluster_scores_the_same(
    tmp_path: Path, tiny_scorer: Path, crossforge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tiny_scorer.parent)  # workers have another working folder
    pairs = write_table(tmp_path / "pairs.parquet", make_rows())
    ct.score(tiny_scorer, pairs, tmp_path / "local.parquet")
    with importable_by_workers():
        done = crossforge(
            "score",
            tiny_scorer.name,
            pairs,
            "-o",
            tmp_path / "ray.parquet",
            "--engine",
            "ray",
            "--workers",
            "2",
            "--json",
        )
    assert done.json["scored"] == COUNT
    require_alike(tmp_path / "ray.parquet", tmp_path / "local.parquet")


@pytest.mark.slow
def test_a_killed_worker_changes_no_row(tmp_path: Path, tiny_scorer: Path, cluster: Engine) -> None:
    pairs = write_table(tmp_path / "pairs.parquet", make_rows(60))
    ct.score(tiny_scorer, pairs, tmp_path / "local.parquet")
    workers = {process for _, process in cluster.map(ray_workers.squares, range(9))}
    killed: list[int] = []

    class Killing(SilentReporter):
        @contextmanager
        def bar(self, title: str, total: int) -> Iterator[Advance]:
            def advance(done: int = 1, text: str = "", total: int | None = None) -> None:
                if not killed:  # they are on the next parts
                    killed.extend(workers)
                    for process in workers:
                        os.kill(process, signal.SIGKILL)

            yield advance

    out = tmp_path / "ray.parquet"
    done = score_table(Reranker(tiny_scorer), pairs, out, lambda: nullcontext(cluster), Killing())
    assert len(killed) == cluster.workers
    assert done.scored == 60
    require_alike(out, tmp_path / "local.parquet")


@pytest.mark.slow
def test_a_killed_command_is_gone_on_with(tmp_path: Path, tiny_scorer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # parts of the usual size, in the other process as well
    pairs = write_table(tmp_path / "pairs.parquet", make_rows() * 800)
    out = tmp_path / "scores.parquet"
    command = ["score", str(tiny_scorer), str(pairs), "-o", str(out), "--quiet"]
    with importable_by_workers(), subprocess.Popen([sys.executable, "-m", "crossforge_train", *command]) as process:
        while not list(tmp_path.glob("scores.parquet.parts/0*.parquet")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not out.exists()
    done = ct.score(tiny_scorer, pairs, out)
    assert 0 < done.scored < done.pairs == 20_000
    ct.score(tiny_scorer, pairs, tmp_path / "whole.parquet")
    require_alike(out, tmp_path / "whole.parquet")


def require_alike(path: Path, other: Path) -> None:
    """Both hold the same rows, each once, and scores that differ by rounding."""
    found, expected = pq.read_table(path), pq.read_table(other)
    assert found["row"].to_pylist() == list(range(len(expected)))
    np.testing.assert_allclose(found["score"].to_numpy(), expected["score"].to_numpy(), atol=1e-5)
    unscored = ["row", "doc_id", "rank", "truncated"]
    assert found.select(unscored).equals(expected.select(unscored))
