"""What people judged on the page of `crossforge serve` reaches the next training, and no held-out query does."""

import pytest
from support import Recorder, toy_config, write_collection, write_lines

from crossforge.documents import Document
from crossforge.service.judgements import JudgementLog
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.mix import source_counts
from crossforge_train.collections.typed_queries import read_typed_queries, with_typed_queries
from crossforge_train.config.collection import CollectionConfig
from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.collect import load_judged, workplace_of
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages


@pytest.fixture
def collect(tmp_path, toy_collection, tiny_encoder):
    """Runs the first stage of a run and reads what it wrote."""
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder))

    def run():
        reporter = Recorder()
        run_stages(config, STAGES[:1], reporter)
        run.notes = reporter.notes
        return RunFolder(config.folder).collected.collection()

    run.log = JudgementLog(config.folder / "judgements.tsv")
    return run


def test_a_new_query_comes_into_training_with_its_judgements(collect):
    before = collect()
    collect.log.add("a query  nobody had", "baking-1", True)
    collect.log.add("A query nobody had", "sailing-1", False)
    collect.log.add("a query nobody had", "gone", True)
    after = collect()
    (new,) = set(after.qrels("train")) - set(before.qrels("train"))
    assert after.queries[new] == "a query nobody had"
    assert after.qrels("train")[new] == {"baking-1": 1, "sailing-1": 0}
    assert {split: after.qrels(split) for split in ("dev", "test")} == {s: before.qrels(s) for s in ("dev", "test")}


def test_a_query_without_a_relevant_document_teaches_nothing(collect):
    before = collect()
    collect.log.add("a query nobody had", "baking-1", False)
    collect.log.add("another", "gone", True)
    after = collect()
    assert (after.queries, after.splits) == (before.queries, before.splits)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_query_of_the_collection_is_judged_where_it_stands(collect, split):
    before = collect()
    query_id = next(iter(before.qrels(split)))
    doc_id = next(one for one in before.corpus if one not in before.qrels(split)[query_id])
    collect.log.add(before.queries[query_id].upper() + "?", doc_id, True)
    after = collect()
    assert after.qrels(split)[query_id] == {**before.qrels(split)[query_id], doc_id: 1}
    assert after.queries == before.queries


def judged(queries: dict[str, str], splits: dict, typed: str) -> tuple[Collection, dict]:
    """A collection of two documents, and one judgement of a typed query."""
    corpus = {key: Document(key, "text") for key in ("d1", "d2")}
    collection = Collection("c", corpus, queries, splits)
    return with_typed_queries(collection, {"typed-1": {"d2": 1}}, {"typed-1": typed}, "train")


def test_a_query_that_no_split_has_is_a_new_one() -> None:
    queries = {"a": "some query", "b": "another"}
    extended, known = judged(queries, {"train": {"a": {"d1": 1}}}, "another")
    assert extended.qrels("train") == {"a": {"d1": 1}, "typed-1": {"d2": 1}}
    assert known == {}


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_a_query_is_judged_wherever_it_stands(order: list[str]) -> None:
    queries = dict.fromkeys([*order, "left out"], "some query")
    splits = {"test": {"a": {"d1": 1}}, "train": {"b": {"d1": 1}}}
    extended, known = judged(queries, splits, "Some query?")
    assert extended.splits == splits
    assert known == {"a": {"d2": 1}, "b": {"d2": 1}}


def test_a_query_that_differs_in_a_sign_is_another_one() -> None:
    extended, known = judged({"a": "c++ tutorial"}, {"test": {"a": {"d1": 1}}, "train": {}}, "c# tutorial")
    assert extended.qrels("train") == {"typed-1": {"d2": 1}}
    assert known == {}


def test_what_leaked_does_not_come_back_by_the_page(tmp_path) -> None:
    asked = {"t1": ("c# tutorial", "a"), "t2": ("bread", "b"), "t3": ("sails", "c")}
    held = {"x1": ("c++ tutorial", "d"), "x2": ("oven", "b"), "d1": ("boats", "e")}
    rows = [{"_id": key, "text": text, "customer": group} for key, (text, group) in {**asked, **held}.items()]
    write_lines(tmp_path / "queries.jsonl", rows)
    write_lines(tmp_path / "corpus.jsonl", [{"_id": "doc", "text": "all there is"}])
    (tmp_path / "qrels").mkdir()
    for split, keys in {"train": asked, "test": ["x1", "x2"], "dev": ["d1"]}.items():
        (tmp_path / "qrels" / f"{split}.tsv").write_text("".join(f"{key}\tdoc\t1\n" for key in keys))
    path = tmp_path / "config.yaml"
    path.write_text(f"name: any\nruns: {tmp_path / 'runs'}\ncollection: {{beir: {tmp_path}, group_by: customer}}\n")
    config = load_config(path)
    log = JudgementLog(config.folder / "judgements.tsv")
    for text in ("c# tutorial", "Bread?", "winds"):
        log.add(text, "doc", True)
    found, _ = load_judged(config, workplace_of(config, Recorder()))
    texts = {found.collection.queries[query_id] for query_id in found.collection.qrels("train")}
    assert texts == {"sails", "winds"}
    assert found.leaking["train"] == 4  # both as they came, and as they were typed


def test_the_page_of_a_package_that_replayed_others_knows_documents_by_their_own_ids(
    tmp_path, toy_collection, tiny_encoder
):
    replay = [{"beir": str(write_collection(tmp_path / "other", train=12, test=4, seed=5)), "name": "other"}]
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder))
    config = config.model_copy(
        update={"collection": CollectionConfig(beir=toy_collection, dev=0.2, replay=replay), "name": "replaying"}
    )
    before, _ = load_judged(config, workplace_of(config, Recorder()))
    query_id = next(iter(before.collection.qrels("test")))
    other = next(key for key in before.collection.corpus if key not in before.collection.qrels("test")[query_id])
    log = JudgementLog(config.folder / "judgements.tsv")
    log.add(before.collection.queries[query_id], other.removeprefix("target/"), True)
    log.add("a query nobody had", "baking-1", True)
    log.add("a query nobody had", "target/baking-2", False)
    after, _ = load_judged(config, workplace_of(config, Recorder()))
    assert after.collection.qrels("test")[query_id][other] == 1
    (new,) = set(after.collection.qrels("train")) - set(before.collection.qrels("train"))
    assert after.collection.qrels("train")[new] == {"target/baking-1": 1, "target/baking-2": 0}
    assert source_counts(after.collection.qrels("train"))["typed"] == 1


@pytest.mark.parametrize("line", [b'{"_id": 3}', b'{"_id": "c", "text": " \\t"}', b'{"_id": "c"', b"[]", b"\xff\xfe"])
def test_a_bad_line_is_left_out_with_a_warning_and_stops_nothing(tmp_path, line):
    path, warnings = tmp_path / "judged_queries.jsonl", []
    path.write_bytes(b'{"_id": "a", "text": "b"}\n' + line + b'\n\n{"_id": "d", "text": "\xc3\xa9"}\n')
    assert read_typed_queries(path, warnings.append) == {"a": "b", "d": "é"}
    (warning,) = warnings
    assert warning.startswith(f"left out: {path}, line 2: ")
    assert read_typed_queries(tmp_path / "none") == {}


def test_training_goes_on_after_a_bad_line_and_says_so(collect):
    collect()
    collect.log.add("a query nobody had", "baking-1", True)
    with collect.log._path.with_name("judged_queries.jsonl").open("a") as lines:
        lines.write('{"_id": "typed-1", "text": ""}\n')
    assert "a query nobody had" in collect().queries.values()
    assert ["line 2" in note for note in collect.notes if note.startswith("left out")] == [True]
