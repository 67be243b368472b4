"""Stage `mine`: what nothing can be learned from, or measured on, is refused before a training."""

import json
from pathlib import Path

import pytest
from support import toy_config, write_collection

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.reporting import SilentReporter
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
