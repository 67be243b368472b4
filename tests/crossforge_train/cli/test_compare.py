"""`crossforge compare`, and the verdict against the reranker that is in use."""

import json
import shutil
from pathlib import Path

import pytest
from support import TOPICS, Command, error_line, make_documents, toy_config

from crossforge.errors import InputError
from crossforge.files import read_jsonl
from crossforge_train.collections.beir import read_beir
from crossforge_train.config.loading import load_config
from crossforge_train.evaluation.diagnostics import OUTRANKED
from crossforge_train.report.files import read_report
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.package import RegressionError
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture(scope="module")
def perfect_run(toy_collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that puts the relevant document of each test query first, in a file whose ranks say the opposite."""
    qrels = read_beir(toy_collection).qrels("test")
    others = [row["_id"] for _, row in read_jsonl(toy_collection / "corpus.jsonl")][:5]
    path = tmp_path_factory.mktemp("runs") / "perfect.trec"
    lines = []
    for query_id, judgements in qrels.items():
        (relevant,) = judgements
        order = [relevant, *(doc_id for doc_id in others if doc_id != relevant)]
        lines += [f"{query_id} Q0 {d} {len(order) - n} {1 - n / 10} perfect" for n, d in enumerate(order)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_systems_of_every_kind_stand_side_by_side(
    crossforge: Command,
    toy_package: Path,
    toy_run: Path,
    toy_collection: Path,
    perfect_run: Path,
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (plain / name).write_bytes((toy_run / "finetune" / "model" / name).read_bytes())
    systems = ("first-stage", toy_package, plain, perfect_run, "bm25")
    report = tmp_path / "comparison"
    found = crossforge("compare", *systems, "--collection", toy_collection, "--json", "--report", report)
    (split,) = found.json["splits"]
    names = [system["name"] for system in split["systems"]]
    assert names[0] == split["baseline"] == "first stage"
    assert set(names) == {
        "first stage", "BM25", "BM25, whole corpus", "base as bi-encoder", "base as bi-encoder, fused",
        "dense, whole corpus", "hybrid, whole corpus", "package", "plain", "perfect.trec",
    }  # fmt: skip
    decisive = [each["system"] for each in split["comparisons"] if each["decisive"]]
    assert decisive == ["package", "plain", "perfect.trec", "BM25"]
    means = {system["name"]: system["means"]["RR@10"] for system in split["systems"]}
    assert means["perfect.trec"] == 1.0  # by score, as trec_eval reads it, whatever the rank column says
    assert found.status == 2  # the toy model is worse than TF-IDF
    assert read_report(report).splits[0].subject == "package"
    assert (report / "report.html").is_file()
    assert json.loads((report / "report.json").read_text()) == found.json


def test_one_system_alone_is_set_against_the_first_stage(
    crossforge: Command,
    toy_collection: Path,
    perfect_run: Path,
) -> None:
    found = crossforge("compare", perfect_run, "--collection", toy_collection)
    assert found.status == 0
    assert "WIN against the first stage: nDCG@10 +" in found.out
    assert "queries that retrieved nothing count as 0" in found.out


def test_candidates_of_another_retriever_are_reranked(
    crossforge: Command,
    toy_package: Path,
    toy_collection: Path,
    perfect_run: Path,
) -> None:
    found = crossforge(
        "compare",
        toy_package,
        "--collection",
        toy_collection,
        "--candidates",
        perfect_run,
        "--json",
        "--max-queries",
        9,
    )
    (split,) = found.json["splits"]
    assert split["queries"] == 9
    assert next(system for system in split["systems"] if system["name"] == "first stage")["means"]["RR@10"] == 1.0


def test_a_query_that_is_too_long_to_be_read_with_a_document_keeps_its_order(
    crossforge: Command, toy_package: Path, toy_collection: Path, tmp_path: Path
) -> None:
    collection = tmp_path / "long"
    shutil.copytree(toy_collection, collection)
    text = f"{TOPICS['baking']} {TOPICS['sailing']} " * 30 + TOPICS["chess"].split()[0]
    relevant = next(row for row in make_documents() if TOPICS["chess"].split()[0] in row["text"].split())
    (collection / "queries.jsonl").open("a").write(json.dumps({"_id": "long", "text": text}) + "\n")
    (collection / "qrels" / "test.tsv").open("a").write(f"long\t{relevant['_id']}\t1\n")
    found = crossforge("compare", toy_package, "--collection", collection, "--depth", 100, "--json")
    lost = found.json["splits"][0]["details"]["diagnosis"]["lost"]
    assert [each["cause"] for each in lost if each["query_id"] == "long"] == [OUTRANKED]


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["bm25", "bm25"], "two of these are the same: bm25, bm25"),
        (["first-stage"], "the first stage alone has nothing to be compared with"),
        (["FOREIGN"], "this run has none of the queries of split test"),
        (["BROKEN"], "line 1: expected 'query Q0 document rank score tag'"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    crossforge: Command,
    toy_collection: Path,
    tmp_path: Path,
    systems: list[str],
    message: str,
) -> None:
    (tmp_path / "FOREIGN").write_text("somebody Q0 else 1 1.0 x\n")
    (tmp_path / "BROKEN").write_text("no run\n")
    paths = [str(tmp_path / name) if name.isupper() else name for name in systems]
    assert message in error_line(crossforge("compare", *paths, "--collection", toy_collection))


@pytest.mark.slow
def test_an_incumbent_that_is_better_forbids_the_package(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, perfect_run: Path
) -> None:
    incumbent = tmp_path / "in-use.trec"
    incumbent.write_bytes(perfect_run.read_bytes())
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, evaluation={"incumbent": str(incumbent)}))
    with pytest.raises(RegressionError, match="worse than the incumbent, so it is not packaged") as caught:
        run_stages(config, STAGES, SilentReporter())
    assert caught.value.exit_status == 2
    report = read_report(config.folder / "evaluate")
    assert report.verdict == "REGRESSION"
    verdicts = {found.baseline: found.verdict for found in report.splits[0].comparisons if found.decisive}
    assert verdicts.keys() == {"first stage", report.tuned.best_free, "incumbent"}
    assert verdicts["incumbent"] == "REGRESSION"
    assert not (config.folder / "package").exists()

    # The same path with another content is another incumbent: nothing but the evaluation is done again.
    first = (config.folder / "evaluate" / "runs" / "test.first-stage.trec").read_bytes()
    incumbent.write_bytes(first)
    run_stages(config, STAGES, SilentReporter())
    verdicts = {f.baseline: f.verdict for f in read_report(config.folder / "evaluate").splits[0].comparisons}
    assert verdicts["incumbent"] == "TIE"
    assert (config.folder / "package").is_dir()


def test_an_incumbent_that_is_nowhere_is_told_before_anything_runs(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    config = load_config(
        toy_config(tmp_path, toy_collection, tiny_encoder, evaluation={"incumbent": "no/where/at/all"})
    )
    with pytest.raises(InputError, match=r"evaluation\.incumbent: no/where/at/all: no such folder \(nor a TREC run"):
        run_stages(config, STAGES, SilentReporter())
    named = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"incumbent": "no/where"})})
    with pytest.raises(InputError, match=r"`hf download no/where` puts it there \(\w+\) \(nor a TREC run"):
        run_stages(named, STAGES, SilentReporter())
    assert not (config.folder / "collect").exists()
