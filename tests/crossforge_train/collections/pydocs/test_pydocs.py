"""The built-in collection, built for real from the installed libraries."""

import json
import re
from collections import Counter
from dataclasses import dataclass

import pytest

from crossforge_train.collections.collection import Collection
from crossforge_train.collections.pydocs import build as building
from crossforge_train.collections.pydocs import build_pydocs, library_versions
from crossforge_train.collections.pydocs.build import QUESTIONS_FILE
from crossforge_train.collections.splits import normalized

pytestmark = pytest.mark.slow  # two builds of a real collection

SUMMARY_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Built:
    """A collection with the entries and clusters that it was made of."""

    collection: Collection
    entries: list
    clusters: dict[str, str]


@pytest.fixture(scope="module")
def built() -> Built:
    """One build takes many seconds, most of them for the clusters; so they are kept as they are made."""
    clustered: list[tuple[list, dict[str, str]]] = []
    make = building._clusters

    def kept(entries: list) -> dict[str, str]:
        clustered.append((entries, make(entries)))
        return clustered[0][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "_clusters", kept)
        collection = build_pydocs()
    return Built(collection, *clustered[0])


@pytest.fixture(scope="module")
def pydocs(built: Built) -> Collection:
    return built.collection


@pytest.fixture(scope="module")
def entries(built: Built) -> list:
    return built.entries


@pytest.fixture(scope="module")
def clusters(built: Built) -> dict[str, str]:
    return built.clusters


@pytest.fixture(scope="module")
def questions() -> list[dict]:
    return [json.loads(line) for line in QUESTIONS_FILE.read_text(encoding="utf-8").splitlines()]


def test_it_holds_several_thousand_documents_and_queries(pydocs: Collection) -> None:
    assert len(pydocs.corpus) > 5000
    assert len(pydocs.qrels("train")) > 3000
    assert min(len(pydocs.qrels(split)) for split in ("dev", "test", "questions")) >= 150


def test_documents_of_every_library_are_there(pydocs: Collection) -> None:
    roots = Counter(doc_id.split(".")[0] for doc_id in pydocs.corpus)
    assert all(roots[library] > 100 for library in ("numpy", "scipy", "sklearn", "pandas", "torch"))
    assert "itertools.product" in pydocs.corpus


def test_no_object_gives_queries_to_two_splits(pydocs: Collection) -> None:
    owner: dict[str, str] = {}
    for split in SUMMARY_SPLITS:
        for judged in pydocs.qrels(split).values():
            assert {owner.setdefault(doc_id, split) for doc_id in judged} == {split}


def test_no_cluster_of_aliases_and_near_copies_stands_in_two_splits(
    pydocs: Collection, clusters: dict[str, str]
) -> None:
    owner: dict[str, str] = {}
    for split in SUMMARY_SPLITS:
        for judged in pydocs.qrels(split).values():
            for doc_id in judged:
                assert owner.setdefault(clusters[doc_id], split) == split


def is_name(query_id: str) -> bool:
    return query_id.startswith("name:")


def test_no_query_text_stands_twice(pydocs: Collection) -> None:
    # Names that differ in case only (Queue, queue) are two queries; mining joins the judgements of one text.
    texts = Counter(normalized(text) for query_id, text in pydocs.queries.items() if not is_name(query_id))
    assert [text for text, count in texts.items() if count > 1] == []


def test_names_are_training_queries_that_other_documents_mention(pydocs: Collection) -> None:
    names = {query_id: text for query_id, text in pydocs.queries.items() if is_name(query_id)}
    assert len(names) > 500
    assert names.keys() <= pydocs.qrels("train").keys()
    bodies = [set(re.findall(r"\w+", document.text)) for document in pydocs.corpus.values()]
    for query_id, name in list(names.items())[::50]:
        judged = pydocs.qrels("train")[query_id]
        assert {doc_id for doc_id in pydocs.corpus if doc_id.rpartition(".")[2] == name} == set(judged)
        assert sum(name in body for body in bodies) >= 5


def test_no_name_belongs_to_two_documents(entries: list) -> None:
    names = Counter(name for entry in entries for name in entry.names)
    assert [name for name, count in names.items() if count > 1] == []


def test_no_body_begins_with_the_summary(pydocs: Collection) -> None:
    found = []
    for split in SUMMARY_SPLITS:
        for query_id, judged in pydocs.qrels(split).items():
            if is_name(query_id):
                continue
            query = normalized(pydocs.queries[query_id])
            found += [doc_id for doc_id in judged if normalized(pydocs.corpus[doc_id].text).startswith(query + " ")]
    assert found == []


def test_no_query_holds_the_name_of_its_object(pydocs: Collection) -> None:
    names = [query_id.removeprefix("summary:").rsplit(".", 1)[-1] for query_id in pydocs.queries]
    pairs = zip(names, pydocs.queries.values(), strict=True)
    found = [(name, text) for name, text in pairs if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text)]
    assert found == []


def test_there_are_at_least_150_different_questions(questions: list[dict]) -> None:
    assert len({normalized(row["query"]) for row in questions}) == len(questions) >= 150


def test_every_answer_of_a_question_exists_in_the_installed_versions(entries: list, questions: list[dict]) -> None:
    known = {name for entry in entries for name in entry.names}
    assert [name for row in questions for name in row["answers"] if name not in known] == []


def test_objects_that_answer_a_question_give_no_train_or_dev_query(
    pydocs: Collection, clusters: dict[str, str]
) -> None:
    answering = {clusters[doc_id] for judged in pydocs.qrels("questions").values() for doc_id in judged}
    for split in ("train", "dev"):
        assert not answering & {clusters[doc_id] for judged in pydocs.qrels(split).values() for doc_id in judged}


def test_two_builds_give_the_same_collection(pydocs: Collection) -> None:
    again = build_pydocs()
    assert again == pydocs
    assert list(again.corpus) == list(pydocs.corpus)
    assert list(again.queries) == list(pydocs.queries)


def test_library_versions_name_what_decides_the_content() -> None:
    assert set(library_versions()) == {"python", "numpy", "scipy", "sklearn", "pandas", "torch"}
