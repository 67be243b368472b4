"""Stage `collect`: where the splits come from, and what the stage leaves behind."""

import json
import random
from pathlib import Path

import pytest
from support import Recorder, toy_config, write_collection, write_lines

from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.config.collection import CollectionConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect
from crossforge_train.stages.collect import load_collection
from crossforge_train.stages.runner import run_stages


def pairs_file(folder: Path, rows: int = 60) -> Path:
    path = folder / "pairs.jsonl"
    write_lines(path, [{"query": f"question number {n * 7919}", "text": f"answer {n}", "customer": f"c{n % 20}"}
                       for n in range(rows)])  # fmt: skip
    return path


def collected(**settings: object) -> collect.Collected:
    return load_collection(CollectionConfig(**settings), seed=42)


def test_dev_and_test_may_both_be_shares_of_one_split(tmp_path: Path) -> None:
    found = collected(pairs=pairs_file(tmp_path), dev=0.2, test=0.3).collection
    sizes = {split: len(qrels) for split, qrels in found.splits.items()}
    assert list(sizes) == ["train", "test", "dev"]
    assert sum(sizes.values()) == 60
    assert all(count > 3 for count in sizes.values()), sizes


def test_splits_are_by_group_where_one_is_named(tmp_path: Path) -> None:
    found = collected(pairs=pairs_file(tmp_path), dev=0.2, test=0.3, group_by="customer").collection
    groups = [{found.query_fields[query_id]["customer"] for query_id in qrels} for qrels in found.splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 20


def test_the_order_of_lines_does_not_change_the_splits(tmp_path: Path) -> None:
    path = pairs_file(tmp_path)
    first = collected(pairs=path, dev=0.2, test=0.3).collection
    lines = path.read_text().splitlines()
    random.Random(1).shuffle(lines)
    path.write_text("\n".join(lines))
    assert collected(pairs=path, dev=0.2, test=0.3).collection == first


def test_a_group_that_no_query_has_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"group_by: no query has the field 'client'; fields here: customer"):
        collected(pairs=pairs_file(tmp_path), test=0.3, group_by="client")


def test_a_missing_split_says_that_it_may_be_a_share(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no split 'test'; it has train .*may each be a share"):
        collected(pairs=pairs_file(tmp_path))


def test_a_share_does_not_replace_a_split_that_is_there(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "given")
    with pytest.raises(InputError, match=r"collection.test: given already has a split 'test'"):
        collected(beir=folder, test=0.2)


def test_one_split_cannot_serve_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be different splits, not train, test, test"):
        collected(beir=write_collection(tmp_path / "given"), dev="test")


@pytest.mark.parametrize(("leaks", "train", "test"), [("drop", 47, 24), ("move", 47, 25), ("keep", 48, 24)])
def test_leaking_queries_are_counted_whatever_becomes_of_them(
    tmp_path: Path, tiny_encoder: Path, leaks: str, train: int, test: int
) -> None:
    folder = write_collection(tmp_path / "leaking")
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    queries[0]["text"] = queries[60]["text"].upper() + "!"
    write_lines(folder / "queries.jsonl", queries)
    config = load_config(toy_config(tmp_path, folder, tiny_encoder), [f"collection.leaks={leaks}"])
    run_stages(config, [collect.STAGE], SilentReporter())
    counts = RunFolder(config.folder).collected.counts
    assert counts.leaking_queries == {"train": 1}
    assert counts.queries["train"] + counts.queries["dev"] == train
    assert counts.queries["test"] == test
    same = [pair.same_query for pair in counts.leakage_left if pair.splits != ["test", "dev"]]
    assert sum(sum(count) for count in same) == (2 if leaks == "keep" else 0)


def test_a_dev_split_that_was_given_is_freed_of_test_queries_too(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "given")
    lines = (folder / "qrels" / "train.tsv").read_text().splitlines()
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines[:40]) + "\n")
    (folder / "qrels" / "dev.tsv").write_text("\n".join(lines[40:]) + "\n")
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    queries[0]["text"] = queries[45]["text"] = queries[60]["text"]
    write_lines(folder / "queries.jsonl", queries)
    assert collected(beir=folder, dev="dev").leaking == {"dev": 1, "train": 1}


def test_a_dev_split_that_is_there_is_taken_unasked(tmp_path: Path) -> None:
    folder = write_collection(tmp_path / "given")
    carved = collected(beir=folder).collection
    assert sorted(carved.splits) == ["dev", "test", "train"], "without one, a share of the training queries is dev"
    lines = (folder / "qrels" / "train.tsv").read_text().splitlines()
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines[:40]) + "\n")
    (folder / "qrels" / "dev.tsv").write_text("\n".join([lines[0], *lines[40:]]) + "\n")
    assert len(collected(beir=folder).collection.qrels("dev")) == len(lines[40:])


def test_the_stage_keeps_documents_in_arrow_and_is_fingerprinted_by_its_files(
    tmp_path: Path, tiny_encoder: Path, toy_collection: Path
) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder))
    run_stages(config, [collect.STAGE], SilentReporter())
    found = RunFolder(config.folder).collected.collection()
    assert isinstance(found.corpus, ArrowCorpus)
    assert found.corpus == load_collection(config.collection, config.seed).collection.corpus
    record = read_json(config.folder / "stages" / "collect.json")["depends_on"]
    assert len(record["files"]) == 4


def test_the_fingerprint_follows_content_and_settings(tmp_path: Path) -> None:
    def fingerprint(**settings: object) -> str:
        config = Config(name="x", collection={"pairs": path, "test": 0.3, **settings})
        return json.dumps(collect.STAGE.depends_on(config), default=str)

    path = pairs_file(tmp_path)
    first = fingerprint()
    assert first == fingerprint()
    assert first != fingerprint(group_by="customer")
    path.write_text(path.read_text() + '{"query": "new", "text": "new"}\n')
    assert first != fingerprint()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_a_relevant_document_is_refused(tmp_path: Path, tiny_encoder: Path, split: str) -> None:
    folder = write_collection(tmp_path / "given")
    path = folder / "qrels" / f"{split}.tsv"
    path.write_text(path.read_text().replace("\t1\n", "\t0\n"))
    config = load_config(toy_config(tmp_path, folder, tiny_encoder))
    with pytest.raises(InputError, match=r"^split (dev|test): none of its \d+ judgements is above 0") as caught:
        run_stages(config, [collect.STAGE], SilentReporter())
    assert "\n" not in str(caught.value)


def test_only_training_labels_of_0_are_refused_too(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = write_collection(tmp_path / "given")
    lines = (folder / "qrels" / "train.tsv").read_text().splitlines(keepends=True)
    (folder / "qrels" / "dev.tsv").write_text("".join(lines[40:]))
    (folder / "qrels" / "train.tsv").write_text("".join(lines[:40]).replace("\t1\n", "\t0\n"))
    config = load_config(toy_config(tmp_path, folder, tiny_encoder), ["collection.dev=dev"])
    with pytest.raises(InputError, match=r"^split train: none of its 39 judgements is above 0.* nothing to learn from"):
        run_stages(config, [collect.STAGE], SilentReporter())


def test_the_run_tells_and_keeps_how_many_labels_became_which_grade(tmp_path: Path) -> None:
    rows = [{"query": f"question number {n * 7919}", "text": f"answer {n}", "label": n % 10 / 10} for n in range(60)]
    write_lines(tmp_path / "triples.jsonl", rows)
    source = {"files": tmp_path / "triples.jsonl", "thresholds": [0.4, 0.7]}
    config = Config(name="x", runs=tmp_path / "runs", collection=CollectionConfig(triples=source, dev=0.2, test=0.3))
    reporter = Recorder()
    run_stages(config, [collect.STAGE], reporter)
    became = {"labels that became grade 0": 24, "labels that became grade 1": 18, "labels that became grade 2": 18}
    assert [note for note in reporter.notes if "became" in note] == [f"{what}: {n}" for what, n in became.items()]
    assert RunFolder(config.folder).collected.counts.counted == became
