"""Scores that were computed elsewhere as the teacher: of a table, and of another tool's files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Recorder, toy_config, write_lines

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import mixed, weighted
from crossforge_train.collections.storage import load_collection, save_collection
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.scores import KnownScores, read_scores
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.runner import run_stages


def group(*doc_ids: str, query_id: str = "q", positives: int = 1) -> Group:
    labels = [1] * positives + [0] * (len(doc_ids) - positives)
    return Group(query_id, doc_ids, labels, [0] * len(doc_ids))


@pytest.fixture
def teacher() -> KnownScores:
    corpus = dict.fromkeys("abcdef")
    qrels = {"q": {"a": 1, "b": 2}, "r": {"a": 1}, "q#2": {"a": 1}}
    collection = Collection("any", corpus, {"q": "one", "r": "two", "q#2": "one"}, {"train": qrels})  # type: ignore[arg-type]
    return KnownScores({"q": {"a": 5.0, "c": 1.25, "d": -2.000049}, "r": {"c": 1.0}}, collection, "train")


def test_scores_are_as_they_are_known(teacher: KnownScores) -> None:
    assert teacher.scores(group("a", "c", "d")) == [5, 1.25, -2]
    assert teacher.above(group("a", "c", "d"), 0.5) == []


def test_what_has_no_score_is_last_among_its_like(teacher: KnownScores) -> None:
    assert teacher.scores(group("a", "c", "e")) == [5, 1.25, 1.25]
    assert teacher.scores(group("b", "c", "e")) == [5, 1.25, 1.25], "a relevant document never falls to a negative's"
    assert teacher.scores(group("b", "e", "f")) == [5, 5, 5]


def test_a_query_needs_a_score_for_a_relevant_document(teacher: KnownScores) -> None:
    assert [teacher.can_read(query_id) for query_id in ("q", "r", "q#2", "unknown")] == [True, False, True, False]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_a_table_is_read(tmp_path: Path, suffix: str) -> None:
    rows = [("q1", "d1", 2.5), ("q1", "d2", -1), ("q1", "d1", 3)]
    path = tmp_path / f"scores{suffix}"
    mark = {".tsv": "\t", ".csv": ","}.get(suffix)
    header = ("query-id", "corpus-id", "score")
    if mark:
        path.write_text("".join(mark.join(map(str, row)) + "\n" for row in (header, *rows)))
    else:
        write_lines(path, [dict(zip(header, row, strict=True)) for row in rows])
    assert read_scores(path) == {"q1": {"d1": 3.0, "d2": -1.0}}


@pytest.mark.parametrize(("score", "named"), [("high", "'high'"), ("nan", "'nan'"), ("", "''")])
def test_a_score_that_is_none_is_named(tmp_path: Path, score: str, named: str) -> None:
    path = tmp_path / "scores.tsv"
    path.write_text(f"query-id\tcorpus-id\tscore\nq\td\t1\nq\td\t{score}\n")
    with pytest.raises(InputError, match=rf"scores.tsv, line 3: column 'score' holds {named} where a number is"):
        read_scores(path)


def test_a_table_of_other_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.tsv"
    path.write_text("query\tdoc\tscore\nq\td\t1\n")
    with pytest.raises(InputError, match=r"line 2: there is no column 'query-id'; columns here: query, doc, score"):
        read_scores(path)


ToyConfig = Callable[..., Config]


@pytest.fixture
def config(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> ToyConfig:
    def made(**mining: Any) -> Config:
        return load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining=mining))

    return made


def scores_file(folder: Path, collection: Path) -> tuple[Path, dict[str, dict[str, float]]]:
    """A score for each relevant document of the toy's first 20 queries, and a lower one for all others."""
    qrels = [line.split("\t") for line in (collection / "qrels" / "train.tsv").read_text().splitlines()[1:]]
    documents = [json.loads(line)["_id"] for line in (collection / "corpus.jsonl").read_text().splitlines()]
    first = list(dict.fromkeys(query_id for query_id, *_ in qrels))[:20]
    scores = {query_id: {doc_id: -float(n) for n, doc_id in enumerate(documents)} for query_id in first}
    for query_id, doc_id, _ in qrels:
        if query_id in scores:
            scores[query_id][doc_id] = 9.5
    path = folder / "scores.tsv"
    rows = [f"{query_id}\t{doc_id}\t{score}\n" for query_id, of in scores.items() for doc_id, score in of.items()]
    path.write_text("query-id\tcorpus-id\tscore\n" + "".join(rows))
    return path, scores


def test_a_table_teaches_the_groups(tmp_path: Path, toy_collection: Path, config: ToyConfig) -> None:
    path, scores = scores_file(tmp_path, toy_collection)
    found, reporter = config(teacher="scores", teacher_scores=str(path)), Recorder()
    run_stages(found, [collect.STAGE, mine.STAGE], reporter)
    groups = list(RunFolder(found.folder).mined.groups())
    assert {one.query_id for one in groups} <= scores.keys()
    assert len(groups) > 5
    for one in groups:
        assert one.teacher == [scores[one.query_id][doc_id] for doc_id in one.doc_ids]
    train = RunFolder(found.folder).collected.collection().qrels("train")
    scored = len(scores.keys() & train.keys())
    assert f"teacher scores: {scored} of {len(train)} training queries have one for a relevant document; the others " \
           "are left out" in reporter.notes  # fmt: skip
    before = mine.STAGE.depends_on(found)
    path.write_text(path.read_text().replace("9.5", "9.25"))
    assert mine.STAGE.depends_on(found) != before


def test_a_table_of_other_ids_is_refused(tmp_path: Path, config: ToyConfig) -> None:
    path = tmp_path / "scores.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nnobody\tnothing\t1\n")
    with pytest.raises(
        InputError, match=r"mining\.teacher_scores: .*scores\.tsv: no score in it is of a training query"
    ):
        run_stages(config(teacher="scores", teacher_scores=str(path)), [collect.STAGE, mine.STAGE], SilentReporter())
    with pytest.raises(InputError, match=r"mining\.teacher_scores: .*none\.tsv: no such file"):
        mine.STAGE.depends_on(config(teacher="scores", teacher_scores=str(tmp_path / "none.tsv")))


def test_a_collection_without_scores_is_told(config: ToyConfig) -> None:
    with pytest.raises(
        InputError, match=r"mining\.teacher is scores, but \S+ brings none .* in mining\.teacher_scores"
    ):
        run_stages(config(teacher="scores"), [collect.STAGE, mine.STAGE], SilentReporter())


def test_a_table_needs_its_teacher(config: ToyConfig) -> None:
    with pytest.raises(InputError, match=r"mining: teacher_scores is for teacher: scores, not base"):
        config(teacher="base", teacher_scores="scores.tsv")


def test_old_fingerprints_hold(config: ToyConfig) -> None:
    assert "teacher_scores" not in mine.STAGE.depends_on(config())["mining"]


def test_the_scores_of_another_tools_file_teach(tmp_path: Path, tiny_encoder: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [
        {
            "query": f"what is answer number {n * 7919}", "pos": [f"answer {n} {n * 31}"], "pos_scores": [8.5],
            "neg": [f"wrong answer {n} {m} {n * 17 + m}" for m in range(3)], "neg_scores": [1.5, 0.5, -0.5],
        }
        for n in range(40)
    ]  # fmt: skip
    write_lines(path, rows)
    config = Config(
        name="x", runs=tmp_path / "runs", base_model=str(tiny_encoder), first_stage={"kind": "lexical"},
        collection={"flag_embedding": str(path), "dev": 0.2, "test": 0.2},
        mining={"teacher": "scores", "negatives": 3, "near_copy": None},
    )  # fmt: skip
    run_stages(config, [collect.STAGE, mine.STAGE], SilentReporter())
    groups = list(RunFolder(config.folder).mined.groups())
    assert len(groups) > 20
    assert all(sorted(one.teacher) == [-0.5, 0.5, 1.5, 8.5] and one.teacher[0] == 8.5 for one in groups)


def test_scores_stay_with_their_queries_in_a_mix(tmp_path: Path) -> None:
    corpus = {key: Document(key, f"text of {key}") for key in "ab"}
    part = Collection("part", corpus, {"q": "one"}, {"train": {"q": {"a": 1}}}, own_scores={"q": {"a": 2.0, "b": 1.0}})
    both = weighted(mixed({"x": part, "y": part}), "train", {"x": 2, "y": 1}, 0)
    assert both.own_scores["x/q"] == {"x/a": 2.0, "x/b": 1.0}
    teacher = KnownScores(both.own_scores, both, "train")
    assert teacher.scores(group("x/a", "x/b", query_id="x/q#2")) == [2, 1]
    save_collection(tmp_path / "kept", both)
    assert load_collection(tmp_path / "kept").own_scores == both.own_scores
