"""Public collections, read by our readers from stand-ins for what the libraries download."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import yaml
from support import Command, error_line

from crossforge_train.collections import public
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.places import FETCHABLE, NOT_FETCHABLE, PLACE

datasets = pytest.importorskip("datasets")
CONFIGS = Path(__file__).parents[3] / "configs"


class Text(NamedTuple):
    doc_id: str
    title: str
    text: str


class Query(NamedTuple):
    query_id: str
    text: str

    def default_text(self) -> str:
        return self.text


class Qrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int


class Stored:
    """A data set as `ir_datasets` gives it."""

    def __init__(self, documents: list[Text], queries: list[Query], qrels: list[Qrel]) -> None:
        self.docs_iter, self.queries_iter, self.qrels_iter = (lambda: documents), (lambda: queries), (lambda: qrels)
        self.has_docs = self.has_queries = self.has_qrels = lambda: True


class Offline(Stored):
    def docs_iter(self) -> Iterator[Text]:  # type: ignore[override]
        raise RuntimeError("All download sources failed", ["http://somewhere"])

    def __init__(self) -> None:
        self.has_docs = self.has_queries = self.has_qrels = lambda: True


@pytest.fixture
def ir_datasets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `ir_datasets` knows, by id."""
    known: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "ir_datasets", SimpleNamespace(load=known.__getitem__))
    return known


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    """What the hub holds, by id and revision."""
    held: dict[tuple[str, str | None], Any] = {}

    def load_dataset(path: str, config: str | None, revision: str | None) -> Any:
        if (path, revision) not in held:
            raise ConnectionError("Couldn't reach the Hub")
        return held[path, revision]

    def load_dataset_builder(path: str, config: str | None, revision: str | None) -> Any:
        load_dataset(path, config, revision)
        return SimpleNamespace(info=SimpleNamespace(builder_name="parquet"), name="parquet")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", load_dataset_builder)
    return held


def test_scifact_keeps_its_splits(crossforge: Command, ir_datasets: dict[str, Any], tmp_path: Path) -> None:
    documents = [Text("4", "A title.", "An abstract."), Text("5", "Another.", "More.")]
    ir_datasets["beir/scifact/train"] = Stored(documents, [Query("1", "a claim")], [Qrel("1", "4", 1)])
    ir_datasets["beir/scifact/test"] = Stored(documents, [Query("2", "a proof")], [Qrel("2", "5", 1)])
    found = crossforge("fetch", "scifact", "--to", tmp_path)
    assert found.out == f"scifact: {tmp_path / 'scifact'}\n"
    collection = read_beir(tmp_path / "scifact")
    assert collection.splits == {"train": {"1": {"4": 1}}, "test": {"2": {"5": 1}}}
    assert collection.corpus["4"].title == "A title."


def test_cranfield_is_graded_upwards_and_split(
    crossforge: Command, ir_datasets: dict[str, Any], tmp_path: Path
) -> None:
    queries = [Query(str(number), f"query {number}") for number in range(1, 201)]
    codes = [Qrel("1", "1", 1), Qrel("1", "2", 4), Qrel("1", "3", -1)]
    documents = [
        Text(str(n), "a wing in a\nslipstream .", "a wing in a\nslipstream .\n  a study\nof it") for n in (1, 2, 3)
    ]
    ir_datasets["cranfield"] = Stored(documents, queries, codes + [Qrel(str(n), "2", 2) for n in range(2, 201)])
    found = crossforge("fetch", "cranfield", "--to", tmp_path)
    assert "its splits are drawn here" in found.out
    collection = read_beir(tmp_path / "cranfield")
    assert (collection.corpus["1"].title, collection.corpus["1"].text) == ("a wing in a slipstream", "a study of it")
    judged = {query_id: one for qrels in collection.splits.values() for query_id, one in qrels.items()}
    assert judged["1"] == {"1": 4, "2": 1, "3": 4}
    assert len(judged) == 200
    sizes = {split: len(qrels) for split, qrels in collection.splits.items()}
    assert 40 <= sizes["test"] <= 80
    assert 8 <= sizes["dev"] <= 35


def test_medquad_leaves_out_what_has_no_answer_and_keeps_a_disease_in_one_split(
    crossforge: Command, hub: dict[Any, Any], tmp_path: Path
) -> None:
    rows = [
        {"question": f"What {what} D{n} ?", "answer": f"{what} of D{n}", "question_focus": f"D{n}"}
        for n in range(60)
        for what in ("is", "causes")
    ]
    rows.append({"question": "What is taken out ?", "answer": None, "question_focus": "gone"})
    hub["lavita/MedQuAD", None] = datasets.DatasetDict(train=datasets.Dataset.from_list(rows))
    crossforge("fetch", "medquad", "--to", tmp_path)
    collection = read_beir(tmp_path / "medquad")
    assert len(collection.corpus) == 120
    assert set(collection.splits) == {"train", "dev", "test"}
    homes: dict[str, set[str]] = {}
    for split, qrels in collection.splits.items():
        for query_id in qrels:
            homes.setdefault(str(collection.query_fields[query_id]["question_focus"]), set()).add(split)
    assert len(homes) == 60
    assert all(len(found) == 1 for found in homes.values())


def test_jaquad_proves_on_the_published_validation_split(
    crossforge: Command, hub: dict[Any, Any], tmp_path: Path
) -> None:
    rows = [
        {
            "id": f"tr-{n}-{m}",
            "title": f"記事{n}",
            "context": f"段落{n}",
            "question": f"質問{n}の{m}?",
            "answers": {"text": ["x"]},
        }
        for n in range(80)
        for m in range(2)
    ]
    held_out = [{**rows[0], "id": "de-0", "title": "別", "context": "別の段落", "question": "別の質問?"}]
    tables = {"train": datasets.Dataset.from_list(rows), "validation": datasets.Dataset.from_list(held_out)}
    hub["SkelterLabsInc/JaQuAD", "refs/convert/parquet"] = datasets.DatasetDict(tables)
    crossforge("fetch", "jaquad", "--to", tmp_path)
    collection = read_beir(tmp_path / "jaquad")
    assert [collection.queries[query_id] for query_id in collection.qrels("test")] == ["別の質問?"]
    titles = {
        split: {collection.corpus[doc_id].title for judged in collection.qrels(split).values() for doc_id in judged}
        for split in ("train", "dev")
    }
    assert titles["dev"]
    assert not titles["train"] & titles["dev"]
    assert len(titles["train"] | titles["dev"]) == 80


def test_what_is_there_already_is_left_alone(
    crossforge: Command, ir_datasets: dict[str, Any], hub: dict[Any, Any], tmp_path: Path
) -> None:
    for name in FETCHABLE:
        (tmp_path / name).mkdir()
    found = crossforge("fetch", "all", "--to", tmp_path)
    assert found.status == 0
    assert found.out.splitlines() == [f"{name}: already in {tmp_path / name}" for name in FETCHABLE]
    assert "not fetched: stackfaq, chorus-electronics (no library loads this collection" in found.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cranfield", "error: ir_datasets: cranfield: cannot be fetched (All download sources failed)"),
        ("medquad", "error: lavita/MedQuAD: not a data set that can be loaded (Couldn't reach the Hub)"),
        ("stackfaq", "error: stackfaq: no library loads this collection; bring it in BEIR layout"),
        ("nothing", "error: no public collection 'nothing'; have scifact, cranfield, medquad, jaquad, all"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_one_line(
    crossforge: Command, ir_datasets: dict[str, Any], hub: dict[Any, Any], tmp_path: Path, name: str, message: str
) -> None:
    ir_datasets["cranfield"] = Offline()
    found = crossforge("fetch", name, "--to", tmp_path)
    assert (found.status, found.out, found.err.splitlines()[-1]) == (1, "", message)
    assert list(tmp_path.iterdir()) == []


def test_every_fetchable_collection_has_a_source() -> None:
    assert tuple(public.SOURCES) == FETCHABLE


def test_recipes_look_where_collections_are_fetched_to() -> None:
    sources = [yaml.safe_load(path.read_text())["collection"].get("beir") for path in CONFIGS.glob("*.yaml")]
    assert {Path(source) for source in sources if source} == {PLACE / name for name in (*FETCHABLE, *NOT_FETCHABLE)}


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("scifact", "; `crossforge fetch scifact` writes it"),
        ("stackfaq", "; no library loads this collection; bring it in BEIR layout"),
        ("another", ""),
    ],
)
def test_a_missing_folder_names_the_way_to_get_it(
    crossforge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, way_out: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    expected = f"error: {PLACE / name}: no such folder{way_out}"
    assert error_line(crossforge("inspect", PLACE / name)) == expected
    (tmp_path / "here" / "recipe.yaml").write_text(f"name: r\ncollection: {{beir: {PLACE / name}}}\n")
    assert error_line(crossforge("collect", "recipe.yaml", "--quiet")) == expected
