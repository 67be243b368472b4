"""Stage `mine` on first stages that search elsewhere: what they give is what is mined, and mistakes come first."""

from pathlib import Path
from typing import Any

import pytest
from support import toy_config

from crossforge.errors import InputError, PackageError
from crossforge.retrievers import trust
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.runs import Candidate, Run, read_run, write_run
from crossforge_train.collections.collection import Collection
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.collect import load_collection
from crossforge_train.stages.runner import run_stages

DEPTH = 20


@pytest.fixture
def configured(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Any:
    """A config with such a first stage."""

    def made(**first_stage: Any) -> Config:
        first_stage = {"depth": DEPTH, **first_stage}
        return load_config(toy_config(tmp_path, toy_collection, tiny_encoder, first_stage=first_stage))

    return made


def mined(config: Config) -> RunFolder:
    run_stages(config, [collect.STAGE, mine.STAGE], SilentReporter())
    return RunFolder(config.folder)


def collection_of(config: Config) -> Collection:
    return load_collection(config.collection, config.seed).collection


def as_sets(run: Run) -> dict[str, set[Candidate]]:
    return {query_id: set(candidates) for query_id, candidates in run.items()}


def write_runs(folder: Path, collection: Collection, *, without: int = 0) -> list[str]:
    """What TF-IDF finds, one file a split, as another engine might have written it."""
    retriever = TfidfRetriever.fit(collection.corpus.values())
    paths = []
    for split in collection.splits:
        queries = dict(list(collection.split_queries(split).items())[without:])
        paths.append(str(folder / f"{split}.trec"))
        write_run(Path(paths[-1]), retriever.search(queries, DEPTH), "engine")
    return paths


def test_runs_are_mined(tmp_path: Path, configured: Any) -> None:
    expected = mined(configured())
    reference = {split: expected.mined.run(split) for split in ("dev", "test")}
    paths = write_runs(tmp_path, collection_of(configured()))
    run = mined(configured(kind="run", options={"runs": paths, "name": "engine"}))
    for split, candidates in reference.items():
        assert as_sets(run.mined.run(split)) == as_sets(candidates)
    assert run.mined.retriever().name == "engine"
    assert len(list(run.mined.groups())) > 20
    assert run.mined.report.queries == expected.mined.report.queries


def test_a_run_that_lacks_queries_leaves_nothing(tmp_path: Path, configured: Any) -> None:
    paths = write_runs(tmp_path, collection_of(configured()), without=3)
    config = configured(kind="run", options={"runs": paths})
    with pytest.raises(InputError, match=r"3 of \d+ queries are in no run"):
        mined(config)
    assert not (config.folder / "mine").exists()


def test_another_run_file_is_mined_anew_and_a_missing_one_stops_first(tmp_path: Path, configured: Any) -> None:
    paths = write_runs(tmp_path, collection_of(configured()))
    config = configured(kind="run", options={"runs": paths})
    record = mined(config).record("mine")
    before = record.read_text()
    mined(config)
    assert record.read_text() == before
    candidates = read_run(Path(paths[0]))
    write_run(Path(paths[0]), {query_id: found[:-1] for query_id, found in candidates.items()}, "engine")
    mined(config)
    assert record.read_text() != before
    Path(paths[0]).unlink()
    with pytest.raises(InputError, match="no such TREC run file"):
        mined(config)


def test_a_package_with_a_run_is_refused(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    path = toy_config(tmp_path, toy_collection, tiny_encoder, first_stage={"kind": "run", "options": {"runs": "r"}},
                      package={"include_corpus": True})  # fmt: skip
    with pytest.raises(InputError, match=r"package\.include_corpus: a first stage of kind run knows only") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


ENGINE = """
import json
CORPUS = [json.loads(line) for line in open({corpus!r})]

def search(queries, k):
    return {{key: _best(set(text.split()), k) for key, text in queries.items()}}

def _best(words, k):
    found = [(one["_id"], len(words & set(one["text"].split()))) for one in CORPUS]
    return sorted((one for one in found if one[1]), key=lambda one: -one[1])[:k]
"""


def test_a_function_is_mined_and_its_own_run_may_load_it(
    tmp_path: Path, toy_collection: Path, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_engine.py").write_text(ENGINE.format(corpus=str(toy_collection / "corpus.jsonl")))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trust, "_NAMED", set())
    config = configured(kind="callable", options={"function": "toy_engine:search", "name": "Common words"})
    run = mined(config)
    assert len(list(run.mined.groups())) > 20
    trust._NAMED.clear()  # as in another process
    with pytest.raises(PackageError, match="uses toy_engine:search"):
        run.mined.retriever()
    assert mined(config).mined.retriever().name == "Common words"
