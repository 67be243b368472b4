"""A query log whose labels come from a language model."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Endpoint, Failure, serving
from support import Command, Recorder, make_decoder, write_lines

from crossforge.errors import InputError
from crossforge_train.adaptation.log_labels import fused_documents
from crossforge_train.adaptation.people import JudgedPair, drawn_pairs
from crossforge_train.adaptation.proposing import judges_rows, proposed_queries
from crossforge_train.adaptation.query_log import read_query_log
from crossforge_train.adaptation.reader import depends_on, read_adapted, read_corpus
from crossforge_train.asking import endpoint
from crossforge_train.collections.beir import write_judged
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, Collection, judged_by_people, judges
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.config.collection import CollectionConfig
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
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
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
    note, trust = workplace.reporter.notes  # type: ignore[attr-defined]
    assert trust.startswith("documents.judge: how far the grades of the language model a-judge can be trusted is not ")
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


@pytest.fixture
def config(source: Source, tmp_path: Path, tiny_encoder: Path) -> Callable[..., Config]:
    def made(**judge: Any) -> Config:
        values = source(**judge).model_dump(mode="json", exclude_none=True)
        return Config(name="x", runs=tmp_path / "runs", base_model=str(tiny_encoder), collection={"documents": values})

    return made


def collected(config: Config) -> Recorder:
    reporter = Recorder()
    run_stages(config, [collect.STAGE], reporter)
    return reporter


ELSEWHERE = {"url": "http://127.0.0.1:9/v1", "price": 1.0, "answer_price": 2.0, "concurrency": 2, "timeout": 5}


def test_how_a_judge_is_asked_redoes_nothing(config: Callable[..., Config], server: Endpoint) -> None:
    collected(config())
    fingerprint = collect.STAGE.depends_on(config())
    assert collect.STAGE.depends_on(config(**ELSEWHERE)) == fingerprint
    for key, value in {"depth": 3, "relevant": 1, "model": "another", "temperature": 0.5, "max_calls": 500}.items():
        assert collect.STAGE.depends_on(config(**{key: value}, **ELSEWHERE)) != fingerprint
    assert collected(config(**ELSEWHERE)).stages_that("skipped") == ["collect"]


def test_a_judge_of_a_mixture_is_asked_elsewhere(config: Callable[..., Config]) -> None:
    def mixed(**judge: Any) -> Mapping[str, Any]:
        documents = config(**judge).collection.model_dump(mode="json", exclude_none=True)["documents"]
        parts: Any = [{"name": name, "documents": documents} for name in ("one", "other")]
        return collect.STAGE.depends_on(config().model_copy(update={"collection": CollectionConfig(mix=parts)}))

    assert mixed() == mixed(**ELSEWHERE)
    assert mixed() != mixed(depth=3)


def test_a_larger_budget_is_used_where_the_smaller_was_spent(config: Callable[..., Config], server: Endpoint) -> None:
    collected(config(max_calls=100, concurrency=1))
    assert collected(config(max_calls=1000)).stages_that("started") == ["collect"]
    assert len(server.requests) == PAIRS


def test_the_stage_asks_and_depends_on_the_prompt(server: Endpoint, config: Callable[..., Config]) -> None:
    server.failures = [Failure(500, b"")]
    reporter = Recorder()
    run_stages(config(), [collect.STAGE], reporter)
    assert len(server.requests) == PAIRS + 1
    assert RunFolder(config().folder).collected.counts.judges["dev"].keys() == {"the language model a-judge"}
    assert "pairs graded: 228" in reporter.notes
    run_stages(config(), [collect.STAGE], reporter)
    assert reporter.stages_that("skipped") == ["collect"]
    run = RunFolder(config().folder)
    query_id, labels = next(iter(of_the_log(run.collected.collection().qrels("dev")).items()))
    write_lines(run.typed_queries, [{"_id": "typed-1", "text": run.collected.collection().queries[query_id]}])
    run.judgements.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"typed-1\t{doc}\t1\n" for doc in labels))
    run_stages(config(), [collect.STAGE], reporter)
    assert run.collected.counts.agreement is not None
    assert run.collected.counts.agreement.confusion == [[0, 0], [3, 1]]
    assert len(server.requests) == PAIRS + 1, "all of it is known"
    assert collect.STAGE.depends_on(config(prompt=PROMPT + "!")) != collect.STAGE.depends_on(config())


def judged(found: Collection, right: bool) -> dict[str, dict[str, int]]:
    """What a person says of every graded document: the same as the judge, or the opposite."""
    labels = {**of_the_log(found.qrels("train")), **of_the_log(found.qrels("dev"))}
    return {
        query_id: {doc_id: int((label > 0) == right) for doc_id, label in judged.items()}
        for query_id, judged in labels.items()
    }


def test_people_decide_whether_the_judge_goes_on(server: Endpoint, source: Source, workplace: Workplace) -> None:
    trusted = read_adapted(source(), workplace)
    assert trusted.agreement is not None
    assert trusted.agreement.pairs == 0
    for right in (True, False):
        asked = len(server.requests)
        said = replace(workplace, judgements=judged(trusted, right), typed=trusted.queries)
        found = read_adapted(source(model=f"judge-{right}", compared=200), said)
        assert found.agreement is not None
        assert (found.agreement.pairs, found.agreement.kappa) == (200, 1 if right else pytest.approx(-0.6, abs=0.1))
        assert found.agreement.used == right
        assert len(found.judged_twice) == 200
        assert {(pair.people > 0) == (pair.machine > 0) for pair in found.judged_twice} == {right}
        assert {pair.machine for pair in found.judged_twice} == {0, 3}, "1 is below judge.relevant"
        assert len(server.requests) - asked == (PAIRS if right else 200), "what is not trusted is not paid for"
        assert ("pairs graded" in found.counted) == right
        assert set(judges(found, "dev")) == {"people"}, "they judged all that is labelled"
    note = workplace.reporter.notes[-1]  # type: ignore[attr-defined]
    assert note.startswith("documents.judge: the language model judge-False agrees with people on 200 pairs of ")
    assert note.endswith("try another judge.model or judge.prompt, or lower judge.least_kappa")
    assert f"labels of first stage and {source().log.model.split('/')[-1]} that people judged" in found.counted
    anyway = read_adapted(source(model="judge-False", least_kappa=None, compared=200), said)
    assert "pairs graded" in anyway.counted


def test_people_override_the_judge_however_few_they_judged(
    source: Source, workplace: Workplace, tmp_path: Path
) -> None:
    trusted = read_adapted(source(), workplace)
    (wrong, labels), (found_too, others), *_ = of_the_log(trusted.qrels("train")).items()
    none = next(doc_id for doc_id, label in others.items() if not label)
    write_judged(
        tmp_path / "judged",
        Collection(
            "judged", trusted.corpus, {"a": trusted.queries[wrong].upper(), "b": trusted.queries[found_too]},
            {"judged": {"a": {best(labels): 0}, "b": {none: 1, best(others): 1}}},
        ),
    )  # fmt: skip
    found = read_adapted(source().model_copy(update={"judged": tmp_path / "judged"}), workplace)
    assert wrong not in found.queries, "nothing else is relevant to it"
    assert found.counted["queries dropped: people call their documents not relevant"] == 1
    assert found.qrels("train")[found_too] == {**others, none: 2}, "relevant, as the judge's lowest such grade; 3 stays"
    assert found.query_fields[found_too] == {JUDGED_BY: "the language model a-judge"}


def test_answers_to_the_tables_of_a_run_override_but_measure_no_judge(source: Source, workplace: Workplace) -> None:
    trusted = read_adapted(source(), workplace)
    query_id, labels = next(iter(of_the_log(trusted.qrels("train")).items()))
    found = read_adapted(source(), replace(workplace, judgements={query_id: {best(labels): 0}}))
    assert query_id not in found.queries
    assert found.agreement is not None
    assert found.agreement.pairs == 0, "suspects are chosen for looking wrong"


def test_a_budget_that_ends_before_the_log_is_named(server: Endpoint, source: Source, workplace: Workplace) -> None:
    graded = read_adapted(source(), workplace)
    said, asked = replace(workplace, judgements=judged(graded, True), typed=graded.queries), len(server.requests)
    with pytest.raises(InputError) as caught:
        read_adapted(source(model="another", compared=100, max_calls=100), said)
    assert str(caught.value) == (
        "documents.judge: max_calls (100) leaves nothing for the log, since the 100 pairs that people judged are "
        "graded first; raise judge.max_calls, or lower judge.compared"
    )
    assert len(server.requests) == asked, "nothing is paid for"
    with pytest.raises(
        InputError, match=r"; the budget left pairs without a grade: raise documents\.judge\.max_calls or"
    ):
        read_adapted(source({"dev": 0.01}, model="another", max_calls=1), workplace)


def test_labels_that_are_probably_wrong_are_left_out_and_counted(source: Source, workplace: Workplace) -> None:
    trusted = read_adapted(source(), workplace)
    said = judged(trusted, True)
    doubted = {key: {**labels, best(labels): 0} for key, labels in list(said.items())[::2]}
    typed = replace(workplace, judgements={**said, **doubted}, typed=trusted.queries)
    found = read_adapted(source(least_kappa=-1), typed)
    assert found.counted["labels left out as probably wrong"] > 0
    assert found.agreement
    assert found.agreement.left_out == found.counted["labels left out as probably wrong"]
    note = (
        f"documents.judge: labels left out as probably wrong: {found.counted['labels left out as probably wrong']} of "
    )
    assert any(said.startswith(note) for said in workplace.reporter.notes)  # type: ignore[attr-defined]


def best(labels: dict[str, int]) -> str:
    return max(labels, key=lambda doc_id: labels[doc_id])


def test_what_was_judged_beforehand_and_typed_is_compared(
    source: Source, workplace: Workplace, tmp_path: Path, docs: Path
) -> None:
    first, second = (json.loads(line) for line in docs.read_text().splitlines()[:2])
    folder = tmp_path / "judged"
    texts = {"q": first["title"].split()[0], "typed": second["title"].split()[0]}
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "queries.jsonl", [{"_id": "q", "text": texts["q"] + " baking"}])
    (folder / "qrels" / "judged.tsv").write_text("q\td0\t0\nq\td1\t0\n")
    said = replace(workplace, judgements={"typed-1": {"d1": 1, "gone": 1}}, typed={"typed-1": texts["typed"]})
    with_folder = source().model_copy(update={"judged": folder})
    found = read_adapted(with_folder, said).agreement
    assert found is not None
    assert (found.pairs, found.queries) == (3, 2)


def test_no_more_is_compared_than_wanted_and_whole_queries_first() -> None:
    pairs = {JudgedPair(f"q{n % 4}", f"d{n}"): 1 for n in range(20)}
    drawn = drawn_pairs(pairs, 8, 0)
    assert len(drawn) == 8
    assert len({pair.query for pair in drawn}) == 2
    assert drawn_pairs(dict(reversed(pairs.items())), 8, 0) == drawn
    assert drawn_pairs(pairs, 8, 1) != drawn


def test_people_are_asked_what_the_judge_grades(source: Source, workplace: Workplace) -> None:
    given = source()
    corpus = read_corpus(given)
    asked = proposed_queries(corpus, given, 10)
    assert len(asked) == 10
    assert given.log is not None
    assert set(asked.values()) < {query.text for query in read_query_log(given.log, Counter())}
    rows = judges_rows(corpus, asked, given, workplace)
    graded = fused_documents(asked, corpus, 4, given.log.model, workplace)
    assert [(row["query_id"], row["doc_id"]) for row in rows] == [
        (query_id, doc_id) for query_id in dict.fromkeys(row["query_id"] for row in rows) for doc_id in graded[query_id]
    ]
    assert {row["query_id"] for row in rows} == set(asked)
    assert judges_rows(corpus, asked, given.model_copy(update={"judge": None}), workplace) == []


def test_the_command_asks_about_the_judges_candidates_first(
    crossforge: Command, docs: Path, log: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    given = {"log": {"file": str(log), "model": str(tiny_encoder)}, "judge": {"url": "http://x", "model": "m"}}
    settings = [f"--set=collection.documents.{key}={json.dumps(value)}" for key, value in given.items()]
    out = tmp_path / "runs" / "asked"
    found = crossforge("judge", docs, "--out", out, "--proposed", 3, *settings, stdin="y\n" * 10 + "n\nq\n")
    assert "11 judged" in found.out
    assert "once all 3 queries are judged, the judge's kappa is known to within about 0.37" in found.out
    judged = (out / "judged" / "qrels" / "judged.tsv").read_text().splitlines()[1:]
    labels = [line.split("\t") for line in judged]
    assert len({query_id for query_id, _, label in labels if label == "1"}) == 1, "ten of the first query"
    assert len({query_id for query_id, *_ in labels}) == 2


def test_the_command_shows_a_grade_after_the_answer_and_asks_no_judge(
    crossforge: Command, source: Source, workplace: Workplace, server: Endpoint, tmp_path: Path
) -> None:
    given = source()
    assert given.judge is not None
    out = tmp_path / "runs" / "asked"
    settings = [f"--set=collection.documents.{key}={json.dumps(getattr(given, key).model_dump(mode='json'))}"
                for key in ("log", "judge")]  # fmt: skip

    def shown() -> str:
        return crossforge("judge", given.corpus, "--out", out, "--proposed", 3, *settings, stdin="y\ns\nq\n").out

    assert "by the model" not in shown(), "nothing is graded yet"
    read_adapted(source(), workplace)
    asked = len(server.requests)
    text = shown()
    assert text.count("by the model") == 1, "after the answer, and not where it was skipped"
    assert re.search(r"r / n / s / q: graded [013] of 3 by the model", text)
    assert len(server.requests) == asked


def judged_folder(folder: Path, docs: Path, count: int) -> Path:
    """Queries q0, q1 …, for each of which people judged one document relevant."""
    rows = [json.loads(line) for line in docs.read_text().splitlines()[:count]]
    (folder / "qrels").mkdir(parents=True)
    write_lines(
        folder / "queries.jsonl",
        [{"_id": f"q{n}", "text": f"{row['title'].split()[0]} {n}"} for n, row in enumerate(rows)],
    )
    (folder / "qrels" / "judged.tsv").write_text("".join(f"q{n}\t{row['_id']}\t1\n" for n, row in enumerate(rows)))
    return folder


def test_logged_queries_of_dev_join_train_where_people_judged_dev(
    source: Source, workplace: Workplace, docs: Path, tmp_path: Path
) -> None:
    folder = judged_folder(tmp_path / "judged", docs, 20)
    found = read_adapted(source().model_copy(update={"judged": folder}), workplace)
    assert set(found.qrels("dev")) == {f"q{n}" for n in range(20)}
    assert len(of_the_log(found.qrels("train"))) == QUERIES


def test_judgements_of_documents_that_are_gone_are_passed_over(
    source: Source, workplace: Workplace, docs: Path, tmp_path: Path
) -> None:
    folder = judged_folder(tmp_path / "judged", docs, 21)
    lines = docs.read_text().splitlines()
    docs.write_text("\n".join([*lines[:20], *lines[21:]]) + "\n")
    found = read_adapted(source().model_copy(update={"judged": folder}), workplace)
    assert set(found.qrels("dev")) == {f"q{n}" for n in range(20)}
    assert found.agreement is not None
    assert found.agreement.pairs == 20


def test_a_model_on_this_machine_may_judge(
    server: Endpoint, source: Source, workplace: Workplace, tmp_path: Path
) -> None:
    model = make_decoder(tmp_path / "tiny-judge", "qwen3", None)
    local = source(url="", model=str(model), relevant=1, prompt="{query} : {text}")
    found = read_adapted(local, workplace)
    assert set(judges(found, "dev")) == {"the language model tiny-judge"}
    assert found.counted["pairs graded"] == PAIRS
    assert not server.requests
    before = depends_on(local)
    (model / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert depends_on(local) != before
    assert "judge_model" not in depends_on(source())


def test_a_judge_needs_queries(docs: Path) -> None:
    with pytest.raises(ValueError, match=r"judge grades documents for the queries of log: give both"):
        DocumentsSource(corpus=docs, judge={"url": "http://x", "model": "m"})
    with pytest.raises(ValueError, match="leave no query of the log to train on"):
        DocumentsSource(
            corpus=docs, log={"file": "a", "dev": 0.5}, judge={"url": "http://x", "model": "m", "test": 0.5}
        )
