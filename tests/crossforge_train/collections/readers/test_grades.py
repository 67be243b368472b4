"""Labels that are no grades: every source of tables grades them by thresholds, and none cuts them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from reading import DOCUMENTS, QUERIES, problem, read, write_table

from crossforge.errors import InputError
from crossforge_train import Collection
from crossforge_train.collections.readers.grades import Grading, whole_number
from crossforge_train.config.collection import CollectionConfig
from crossforge_train.config.sources import AnySource
from crossforge_train.stages.collect import STAGE

LABELS = {"d1": 0.65, "d2": -0.2}
GRADES = {"d1": 2, "d2": 0}
THRESHOLDS = [0.3, 0.6]
TEXTS = {row["_id"]: row["text"] for row in DOCUMENTS}


def files(folder: Path, rows: bool) -> dict[str, Any]:
    judged = [{"query-id": "q1", "corpus-id": key, "score": label} for key, label in LABELS.items()]
    bare = [{"query-id": "q1", "corpus-id": key} for key in LABELS]
    return {"files": {
        "corpus": write_table(folder / "corpus.jsonl", DOCUMENTS),
        "queries": write_table(folder / "queries.jsonl", QUERIES),
        "qrels": write_table(folder / "qrels.csv", judged if rows else bare),
    }}  # fmt: skip


def texts(labelled: bool) -> list[dict[str, Any]]:
    return [{"query": "what", "text": TEXTS[key], **({"label": label} if labelled else {})}
            for key, label in LABELS.items()]  # fmt: skip


def triples(folder: Path, rows: bool) -> dict[str, Any]:
    return {"triples": {"files": write_table(folder / "triples.csv", texts(rows))}}


def dataset(folder: Path, rows: bool) -> dict[str, Any]:
    Dataset.from_list(texts(rows)).save_to_disk(folder / "set")
    return {"datasets": {"path": str(folder / "set")}}


def sentence_transformers(folder: Path, rows: bool) -> dict[str, Any]:
    return {"sentence_transformers": {"files": write_table(folder / "table.jsonl", texts(rows))}}


SOURCES = [files, triples, dataset, sentence_transformers]
Source = Callable[[Path, bool], dict[str, Any]]


def with_thresholds(source: dict[str, Any]) -> dict[str, Any]:
    ((kind, settings),) = source.items()
    return {kind: {**settings, "thresholds": THRESHOLDS}}


@pytest.mark.parametrize("source", SOURCES)
def test_labels_are_graded_where_the_config_names_thresholds(tmp_path: Path, source: Source) -> None:
    found = read(**with_thresholds(source(tmp_path, True)))
    (judged,) = found.splits["train"].values()
    by_text = {found.corpus[key].text: grade for key, grade in judged.items()}
    assert by_text == {TEXTS[key]: grade for key, grade in GRADES.items()}
    assert found.counted == {"labels that became grade 0": 1, "labels that became grade 2": 1}


@pytest.mark.parametrize("source", SOURCES)
def test_without_thresholds_such_a_label_is_an_error_that_names_them(tmp_path: Path, source: Source) -> None:
    settings = source(tmp_path, True)
    line = problem(**settings)
    assert (
        "the label 0.65 is no whole number; name the labels from which a document has grade 1, 2, … as "
        f"collection.{next(iter(settings))}.thresholds" in line
    )
    assert str(tmp_path) in line


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("thresholds", [[0.6, 0.3], [0.3, 0.3], [float("nan")], [float("inf")]])
def test_thresholds_that_do_not_rise_are_an_error(tmp_path: Path, source: Source, thresholds: list[float]) -> None:
    ((kind, settings),) = source(tmp_path, True).items()
    with pytest.raises(ValueError, match=r"thresholds must rise|finite number"):
        AnySource(**{kind: {**settings, "thresholds": thresholds}})
    with pytest.raises(InputError, match=r"^thresholds must rise"):
        Collection.from_dataset(Dataset.from_list(texts(True)), thresholds=thresholds)


@pytest.mark.parametrize("source", [files, triples, dataset])
def test_thresholds_without_a_column_of_labels_are_an_error(tmp_path: Path, source: Source) -> None:
    assert "there is no column" in problem(**with_thresholds(source(tmp_path, False)))


def test_tables_in_memory_are_graded_too() -> None:
    found = Collection.from_dataset(Dataset.from_list(texts(True)), thresholds=THRESHOLDS)
    assert sum(found.counted.values()) == len(LABELS)
    assert sorted(*map(dict.values, found.splits["train"].values())) == [0, 2]
    documents = pd.DataFrame({"doc_id": list(TEXTS), "text": list(TEXTS.values())})
    queries = pd.DataFrame({"query_id": ["q1"], "text": ["what"]})
    judged = pd.DataFrame({"query_id": "q1", "doc_id": list(LABELS), "relevance": list(LABELS.values())})
    assert Collection.from_dataframe(documents, queries, judged, thresholds=THRESHOLDS).splits["train"]["q1"] == GRADES
    with pytest.raises(InputError, match=r"the label 0\.65 is no whole number; .* as thresholds \("):
        Collection.from_dataframe(documents, queries, judged)
    with pytest.raises(InputError, match="there is no column 'relevance' for the thresholds to grade"):
        Collection.from_dataframe(documents, queries, judged.drop(columns="relevance"), thresholds=THRESHOLDS)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5, unique=True).map(sorted),
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9),
)
def test_a_higher_label_never_has_a_lower_grade(thresholds: list[float], one: float, other: float) -> None:
    low, high = (Grading("thresholds", thresholds).grade(label, "here") for label in sorted([one, other]))
    assert 0 <= low <= high <= len(thresholds)


@pytest.mark.parametrize("value", ["nan", "inf", float("-inf")])
def test_a_label_that_is_not_finite_has_no_grade(value: Any) -> None:
    for graded in (Grading("thresholds", THRESHOLDS).grade, Grading("thresholds").grade, whole_number):
        with pytest.raises(InputError, match=r"^a\.csv, line 2: the label .* is not finite$"):
            graded(value, "a.csv, line 2")


def test_a_source_without_thresholds_is_hashed_as_by_earlier_versions(tmp_path: Path) -> None:
    hashed = [_hashed(tmp_path, source) for source in (files, triples)]
    assert all("thresholds" not in str(found) for found in hashed)
    assert _hashed(tmp_path, sentence_transformers)["sentence_transformers"]["thresholds"] == []


def _hashed(folder: Path, source: Source) -> Any:
    from crossforge_train.config.run import Config

    collection = CollectionConfig(**source(folder, True), test=0.5)
    return STAGE.depends_on(Config(name="x", collection=collection, runs=folder / "runs"))["collection"]
