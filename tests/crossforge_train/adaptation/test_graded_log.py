"""A query log whose labels come from a language model."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Endpoint, Failure, serving
from support import Recorder

from crossforge.errors import InputError
from crossforge_train import chat
from crossforge_train.adaptation.reader import read_adapted
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, judged_by_people, judges
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.config.judge import PROMPT
from crossforge_train.config.run import Config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect
from crossforge_train.stages.runner import run_stages

QUERIES, PAIRS = 57, 57 * 4  # of the log, nearly the same ones as one


def by_title(body: Any) -> str:
    """3 if the document's title holds all of the query, 1 if it holds a part of it."""
    query, passage = body["messages"][0]["content"].split("\n\nQuery: ")[1].split("\n\nPassage: ")
    title = passage.split("\n")[0].split()
    return json.dumps({"grade": {2: 3, 1: 1, 0: 0}[sum(word in title for word in query.split())]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(chat, "_FIRST_WAIT", 0.01)
    with serving(by_title) as found:
        yield found


Source = Callable[..., DocumentsSource]


@pytest.fixture
def source(server: Endpoint, docs: Path, log: Path, tiny_encoder: Path, tmp_path: Path) -> Source:
    def made(log_settings: dict[str, Any] | None = None, **judge: Any) -> DocumentsSource:
        settings = {"file": log, "model": str(tiny_encoder), "dev": 0.3, **(log_settings or {})}
        asked = {"url": server.url, "model": "org/a-judge", "depth": 4, "cache": tmp_path / "graded", **judge}
        return DocumentsSource(corpus=docs, dev=0.1, test=0.2, log=settings, judge=asked)

    return made


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "runs", None, Recorder(), may_ask=True)


def of_the_log(labels: Any) -> dict[str, Any]:
    return {key: judged for key, judged in labels.items() if key.startswith("log-")}


def test_graded_queries_join_train_and_become_dev(server: Endpoint, source: Source, workplace: Workplace) -> None:
    found = read_adapted(source(), workplace)
    assert len(server.requests) == PAIRS
    assert set(found.qrels("dev")) == set(of_the_log(found.qrels("dev")))
    assert 5 < len(found.qrels("dev")) < 30
    assert len(of_the_log(found.qrels("dev"))) + len(of_the_log(found.qrels("train"))) == QUERIES
    assert not of_the_log(found.qrels("test"))
    labels = [judged.values() for split in ("train", "dev") for judged in of_the_log(found.qrels(split)).values()]
    assert {label for judged in labels for label in judged} == {0, 3}, "1 is below judge.relevant"
    assert all(len(judged) == 4 and max(judged) == 3 for judged in labels)
    for query_id, judged in of_the_log(found.qrels("train")).items():
        (best,) = (doc_id for doc_id, label in judged.items() if label == 3)
        assert found.served is not None
        assert set(found.queries[query_id].split()) < set(found.served[best].title.split())
    ours = of_the_log(found.query_fields)
    assert {fields[JUDGED_BY] for fields in ours.values()} == {"the language model a-judge"}
    assert not judged_by_people(found, "dev")
    assert judges(found, "dev") == {"the language model a-judge": len(found.qrels("dev"))}
    assert found.counted["pairs graded"] == found.counted["requests to the judge"] == PAIRS
    (note,) = workplace.reporter.notes  # type: ignore[attr-defined]
    assert note.startswith("documents.judge: org/a-judge grades 228 pairs, 0 more are known: 228 requests, about ")
    assert read_adapted(source(), workplace).splits == found.splits
    assert len(server.requests) == PAIRS


def test_lower_grades_may_count(source: Source, workplace: Workplace) -> None:
    found = read_adapted(source(relevant=1), workplace)
    assert {label for judged in of_the_log(found.qrels("train")).values() for label in judged.values()} == {0, 1, 3}


def test_queries_without_a_relevant_document_are_left_out(
    server: Endpoint, source: Source, workplace: Workplace
) -> None:
    before = read_adapted(source(), workplace)
    first = before.queries[next(iter(of_the_log(before.qrels("train"))))]
    server.answer = lambda body: (
        '{"grade": 1}' if f"Query: {first}\n" in body["messages"][0]["content"] else by_title(body)
    )
    found = read_adapted(source(model="another"), workplace)
    assert first not in found.queries.values()
    assert found.counted["queries dropped: no relevant document among those graded"] == 1


def test_test_is_judged_by_a_machine_only_if_it_is_named(source: Source, workplace: Workplace) -> None:
    found = read_adapted(source(test=0.3), workplace)
    assert set(found.qrels("test")) == set(of_the_log(found.qrels("test")))
    assert set(judges(found, "test")) == {"the language model a-judge"}
    assert not judged_by_people(found, "test")
    assert all(PSEUDO_QUERY not in found.query_fields[key] for key in found.qrels("test"))


def test_a_budget_grades_the_most_frequent_queries(
    server: Endpoint, source: Source, workplace: Workplace, log: Path
) -> None:
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines, *lines[30:], ""]))
    found = read_adapted(source(max_calls=100, concurrency=1), workplace)
    assert len(server.requests) == 100
    ours = of_the_log(found.queries).values()
    assert len(ours) == 25
    assert len(set(ours) - set(lines[30:])) <= 3, "what is nearly the same counts together, and is as frequent"
    assert found.counted["pairs not graded"] == PAIRS - 100
    note = workplace.reporter.notes[-1]  # type: ignore[attr-defined]
    assert note == (
        "documents.judge: the budget is spent, and 128 of 228 pairs are not graded; raise judge.max_calls or "
        "judge.max_tokens, and the next run asks for the rest"
    )


def test_who_only_looks_asks_nothing(server: Endpoint, source: Source, workplace: Workplace) -> None:
    with pytest.raises(InputError, match=r"nothing is graded yet, .* run `crossforge collect CONFIG` first"):
        read_adapted(source())
    assert not server.requests
    asked = read_adapted(source(), workplace)
    assert read_adapted(source()).splits == asked.splits


def test_a_judge_that_finds_nothing_is_told(server: Endpoint, source: Source, workplace: Workplace) -> None:
    server.answer = lambda body: '{"grade": 0}'
    with pytest.raises(InputError, match=r"the language model a-judge found a document for 0 of 57 queries, too few"):
        read_adapted(source(), workplace)


def test_the_stage_asks_and_depends_on_the_prompt(
    server: Endpoint, source: Source, tmp_path: Path, tiny_encoder: Path
) -> None:
    def config(**judge: Any) -> Config:
        values = source(**judge).model_dump(mode="json", exclude_none=True)
        return Config(name="x", runs=tmp_path / "runs", base_model=str(tiny_encoder), collection={"documents": values})

    server.failures = [Failure(500, b"")]
    reporter = Recorder()
    run_stages(config(), [collect.STAGE], reporter)
    assert len(server.requests) == PAIRS + 1
    assert RunFolder(config().folder).collected.counts.judges["dev"].keys() == {"the language model a-judge"}
    assert "pairs graded: 228" in reporter.notes
    run_stages(config(), [collect.STAGE], reporter)
    assert reporter.stages_that("skipped") == ["collect"]
    assert collect.STAGE.depends_on(config(prompt=PROMPT + "!")) != collect.STAGE.depends_on(config())


def test_a_judge_needs_queries(docs: Path) -> None:
    with pytest.raises(ValueError, match=r"judge grades documents for the queries of log: give both"):
        DocumentsSource(corpus=docs, judge={"url": "http://x", "model": "m"})
    with pytest.raises(ValueError, match="leave no query of the log to train on"):
        DocumentsSource(
            corpus=docs, log={"file": "a", "dev": 0.5}, judge={"url": "http://x", "model": "m", "test": 0.5}
        )
