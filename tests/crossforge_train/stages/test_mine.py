"""Stage `mine`: what nothing can be learned from, or measured on, is refused before a training."""

import json
from pathlib import Path

import pytest
from support import Recorder, make_documents, make_queries, toy_config, write_collection

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.mining.negatives import OWN
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.runner import run_stages


def problem(folder: Path, collection: Path, tiny_encoder: Path, *overrides: str) -> str:
    config = load_config(toy_config(folder, collection, tiny_encoder), overrides)
    with pytest.raises(InputError) as caught:
        run_stages(config, [collect.STAGE, mine.STAGE], SilentReporter())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_queries_with_one_candidate_each_are_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    found = problem(tmp_path, write_collection(tmp_path / "given"), tiny_encoder, "first_stage.depth=1")
    assert found.startswith("split dev: none of its ")
    assert "queries has two candidates, so there is no order to improve; raise first_stage.depth" in found


def test_a_collection_where_every_document_is_relevant_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = write_collection(tmp_path / "given")
    doc_ids = [json.loads(line)["_id"] for line in (folder / "corpus.jsonl").read_text().splitlines()]
    for split, query_ids in {"train": range(40), "dev": range(40, 48), "test": range(48, 72)}.items():
        lines = [f"q{query_id}\t{doc_id}\t1\n" for query_id in query_ids for doc_id in doc_ids]
        (folder / "qrels" / f"{split}.tsv").write_text("".join(lines))
    found = problem(tmp_path, folder, tiny_encoder, "collection.dev=dev")
    assert found.startswith("2,880 groups were mined, and none holds a document that is not relevant")


def test_negatives_of_the_source_are_used_first_and_counted(tmp_path: Path, tiny_encoder: Path) -> None:
    documents = {found["_id"]: found["text"] for found in make_documents()}
    rows = []
    for text, doc_id in make_queries(make_documents(), 48, seed=1):
        others = [other for key, other in documents.items() if key != doc_id][:40:13]
        rows.append({"query": text, "pos": [documents[doc_id]], "neg": others})
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = json.dumps({"flag_embedding": str(path), "dev": 0.25, "test": 0.25})
    settings = toy_config(tmp_path, tmp_path, tiny_encoder, mining={"negatives": 5})
    config = load_config(settings, [f"collection={source}"])
    reporter = Recorder()
    run_stages(config, [collect.STAGE, mine.STAGE], reporter)
    run = RunFolder(config.folder)
    queries, found = run.collected.counts.queries["train"], run.mined.report.counts
    assert f"own negatives: {4 * queries} of {queries} training queries" in reporter.notes
    assert run.collected.counts.own_negatives == 4 * queries
    assert 3 * queries < found.negatives[OWN] <= 4 * queries
    assert found.negatives["first stage"] > 0
    for group in run.mined.groups():
        assert group.sources[1 : 1 + group.sources.count(OWN)] == [OWN] * group.sources.count(OWN)
