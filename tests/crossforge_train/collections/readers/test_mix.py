"""Several sources as one collection: no id clashes, and each source has its weight in training."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write_collection

from crossforge.documents import Document
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.judgements import with_judgements
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts
from crossforge_train.collections.readers.mix import mixed, source_counts, weighted, with_replay
from crossforge_train.collections.readers.tables import read_rows
from crossforge_train.config.collection import CollectionConfig
from crossforge_train.mining.groups import Group
from crossforge_train.mining.report import write_suspects
from crossforge_train.stages.collect import load_collection


def made(name: str, **splits: dict) -> Collection:
    documents = {doc_id: Document(doc_id, f"{name} {doc_id}") for doc_id in ("d1", "d2")}
    queries = {f"q{number}": f"{name} what {number}" for number in range(40)}
    return Collection(name, documents, queries, splits, {"q1": {"thread": name}})


def test_equal_ids_of_two_sources_stay_apart() -> None:
    found = mixed(
        {"a": made("a", train={"q1": {"d1": 1}}, test={"q2": {"d2": 1}}), "b": made("b", train={"q2": {"d1": 0}})}
    )
    assert found.name == "a+b"
    assert {doc_id: one.text for doc_id, one in found.corpus.items()} == {
        "a/d1": "a d1", "a/d2": "a d2", "b/d1": "b d1", "b/d2": "b d2",
    }  # fmt: skip
    assert found.splits == {"train": {"a/q1": {"a/d1": 1}, "b/q2": {"b/d1": 0}}, "test": {"a/q2": {"a/d2": 1}}}
    assert found.queries["b/q2"] == "b what 2"
    assert found.query_fields == {"a/q1": {"thread": "a"}, "b/q1": {"thread": "b"}}


def test_apps_search_whole_documents_of_all_sources_and_made_queries_are_told() -> None:
    lifted, plain = made("a", train={"q1": {"d1": 1}}), made("b", train={"q1": {"d1": 1}})
    whole = {doc_id: replace(found, text=f"all of {found.text}") for doc_id, found in lifted.corpus.items()}
    counts = {"title": PseudoQueryCounts(made=3, kept=2), "keywords": PseudoQueryCounts(made=1)}
    adapted = replace(lifted, served=whole, made=counts)
    found = mixed({"a": adapted, "b": plain, "c": adapted})
    assert {doc_id: one.text for doc_id, one in (found.served or {}).items()} == {
        "a/d1": "all of a d1", "a/d2": "all of a d2", "b/d1": "b d1", "b/d2": "b d2",
        "c/d1": "all of a d1", "c/d2": "all of a d2",
    }  # fmt: skip
    assert found.corpus["a/d1"].text == "a d1"
    assert found.made == {"title": PseudoQueryCounts(made=6, kept=4), "keywords": PseudoQueryCounts(made=2)}
    assert mixed({"a": plain, "b": plain}).served is None
    replayed = with_replay(plain, {"a": adapted}, "train")
    assert (replayed.served, replayed.made) == (plain.corpus, {}), "nobody searches what is replayed"


@given(st.floats(0.05, 3.5), st.integers(0, 9))
def test_a_weight_says_how_often_a_query_stands_in_train(weight: float, seed: int) -> None:
    train = {f"q{number}": {"d1": 1} for number in range(40)}
    collection = mixed({"a": made("a", train=train), "b": made("b", train=train, test={})})
    found = weighted(collection, "train", {"a": weight, "b": 1.0}, seed)
    counts = source_counts(found.qrels("train"))
    assert counts["b"] == 40
    assert abs(counts.get("a", 0) - 40 * weight) <= 16, "a seeded draw of the fraction"
    for query_id, judged in found.qrels("train").items():
        original = query_id.partition("#")[0]
        assert judged == collection.qrels("train")[original]
        assert found.queries[query_id] == collection.queries[original]
        copies = sum(key.partition("#")[0] == original for key in found.qrels("train"))
        assert copies in (int(weight), int(weight) + 1) if original.startswith("a/") else copies == 1
    assert found.splits == weighted(collection, "train", {"a": weight, "b": 1.0}, seed).splits


def test_a_mix_is_read_from_a_config_and_weighs_nothing_but_training_queries(tmp_path: Path) -> None:
    first, second = (
        write_collection(tmp_path / name, train=20, test=8, seed=seed) for seed, name in ((1, "x"), (2, "y"))
    )
    config = CollectionConfig(
        mix=[{"beir": first, "weight": 2}, {"beir": second, "name": "why", "weight": 0.5}], dev=0.3
    )
    found = load_collection(config, 3).collection
    counts = {split: source_counts(qrels) for split, qrels in found.splits.items()}
    assert counts["test"] == {"x": 8, "why": 8}
    assert set(counts["dev"]) <= {"x", "why"}
    held = sum(not key.endswith("#2") for key in found.qrels("train") if key.startswith("x/"))
    assert counts["train"]["x"] == 2 * held
    assert held + counts["dev"]["x"] == 20
    assert 0 < counts["train"]["why"] < 20 - counts["dev"].get("why", 0)
    assert not {key.partition("#")[0] for key in found.qrels("train")} & found.qrels("dev").keys()


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ([{"beir": "a/x", "weight": 0}, {"beir": "y"}], "weight"),
        ([{"beir": "a/x"}], "at least 2"),
        ([{"beir": "a/x"}, {"beir": "b/x"}], "two sources of mix are called x: give each a name"),
        ([{"beir": "a/My Data"}, {"beir": "y"}], "ids cannot begin with 'My Data', .*: give it a name"),
        ([{"beir": "."}, {"beir": "y"}], "ids cannot begin with '', .*: give it a name"),
        ([{"beir": "a", "mix": []}, {"beir": "b"}], "mix"),
        ([{"weight": 2}, {"beir": "b"}], "exactly one of builtin"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused(mix: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollectionConfig(mix=mix)


def test_a_name_stands_for_a_path_that_cannot_begin_ids() -> None:
    config = CollectionConfig(beir="a", replay=[{"beir": "My Data", "name": "mine"}, {"beir": "Größe"}])
    assert [part.label for part in config.replay] == ["mine", "Größe"]
    with pytest.raises(ValueError, match="ids cannot begin with 'My Data'"):
        CollectionConfig(beir="a", replay=[{"beir": "My Data"}])


def judged_copies() -> Collection:
    """Source a counts twice; its query q1 has a copy, and source b a query whose own id looks like one."""
    parts = {"a": made("a", train={"q1": {"d1": 1}}), "b": made("b", train={"q1": {"d1": 1}})}
    mix = mixed(parts)
    queries = {**mix.queries, "b/q1#2": "another text"}
    train = {**mix.qrels("train"), "b/q1#2": {"b/d1": 1}}
    return weighted(replace(mix, queries=queries, splits={"train": train}), "train", {"a": 2, "b": 1}, 0)


@pytest.mark.parametrize("said_of", ["a/q1", "a/q1#2", "a/q1#3"])  # the third was there when its source counted more
def test_what_is_judged_of_a_query_holds_for_its_copies(said_of: str) -> None:
    found = with_judgements(judged_copies(), {said_of: {"a/d2": 2, "a/d1": 0, "gone": 1}})
    assert found.qrels("train")["a/q1"] == found.qrels("train")["a/q1#2"] == {"a/d1": 0, "a/d2": 2}
    assert found.qrels("train")["b/q1"] == {"b/d1": 1}


def test_an_id_that_only_looks_like_a_copy_is_judged_by_itself() -> None:
    found = with_judgements(judged_copies(), {"b/q1#2": {"b/d2": 1}, "nobody#2": {"b/d2": 1}})
    assert found.qrels("train")["b/q1#2"] == {"b/d1": 1, "b/d2": 1}
    assert found.qrels("train")["b/q1"] == {"b/d1": 1}


def test_suspects_of_copies_are_judged_once(tmp_path: Path) -> None:
    collection = judged_copies()
    groups = [
        Group(query_id, ["a/d1", "a/d2"], [1, 0], [1, 2], [0.5, score], ["positive", "first stage"])
        for query_id, score in (("a/q1", 0.2), ("a/q1#2", 0.3))
    ]
    assert (
        write_suspects(tmp_path / "suspects.tsv", groups, collection, TfidfRetriever.fit(collection.corpus.values()))
        == 1
    )
    assert [row.values["query_id"] for row in read_rows(tmp_path / "suspects.tsv")] == ["a/q1"]
