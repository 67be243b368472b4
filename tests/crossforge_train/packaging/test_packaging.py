"""The package: every file that its readers expect, and nothing of the training data in its card."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PICKED, toy_config

from crossforge.backends.choice import EXACT, open_backend
from crossforge.calibration import Calibrator
from crossforge.errors import PackageError
from crossforge.files import read_json, write_json
from crossforge.long_documents import LONG_DOCUMENTS, read_long_documents
from crossforge.manifest import read_manifest
from crossforge.reranker import Reranker
from crossforge_train.collections.counts import Counts
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.config.training import PickedTraining
from crossforge_train.packaging import quantization, verify
from crossforge_train.packaging.card import model_card
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import package
from crossforge_train.stages.package import RegressionError
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.stage import Context
from crossforge_train.training.history import History

SIGMOID = "torch.nn.modules.activation.Sigmoid"
SYSTEMS = [
    "first stage", "BM25", "BM25, whole corpus", "base as bi-encoder", "base as bi-encoder, fused",
    "dense, whole corpus", "hybrid, whole corpus", "reranker alone", "as shipped",
]  # fmt: skip
MAX_LENGTH = 48


def facts(package: Path, name: str) -> Any:
    return json.loads((package / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "vocab.txt", "sentence_bert_config.json", "onnx/model.onnx", "reranker.json", "README.md",
        "evaluation/report.json", "evaluation/report.md", "evaluation/per_query.test.tsv",
        "evaluation/runs/test.as-shipped.trec", "evaluation/runs/test.first-stage.trec",
        "evaluation/runs/test.reranker-alone.trec", "first_stage/documents.jsonl", "first_stage/tfidf/index.json",
    ],
)  # fmt: skip
def test_the_package_holds(toy_package: Path, name: str) -> None:
    assert (toy_package / name).stat().st_size > 0


def test_nothing_half_done_is_left_in_the_package(toy_package: Path) -> None:
    names = [path.name for path in toy_package.rglob("*")]
    assert "reranker.json" in names
    assert [name for name in names if "checkpoint" in name or name.endswith((".writing", ".bin", ".pt", ".data"))] == []


def test_no_file_names_a_path_of_the_machine_that_made_it(toy_package: Path) -> None:
    here = {str(Path(__file__).parents[3]), str(Path(json.__file__).parents[1]), str(toy_package.parents[1])}
    named = {
        path.relative_to(toy_package).as_posix()
        for path in toy_package.rglob("*")
        if path.is_file() and any(place.encode() in path.read_bytes() for place in here)
    }
    assert named <= {"README.md", "reranker.json"}  # the base model, as the config names it


def test_the_config_has_one_label_and_names_the_sigmoid_for_every_reader(toy_package: Path) -> None:
    config = facts(toy_package, "config.json")
    assert len(config["id2label"]) == len(config["label2id"]) == 1
    assert config["sentence_transformers"]["activation_fn"] == SIGMOID
    assert config["sbert_ce_default_activation_function"] == SIGMOID
    assert config["architectures"] == ["BertForSequenceClassification"]


def test_every_file_says_the_same_maximum_length(toy_package: Path) -> None:
    assert facts(toy_package, "sentence_bert_config.json")["max_seq_length"] == MAX_LENGTH
    assert facts(toy_package, "tokenizer_config.json")["model_max_length"] == MAX_LENGTH
    assert "max_length" not in facts(toy_package, "tokenizer_config.json"), "FastEmbed cuts at the lesser of the two"
    assert read_manifest(toy_package).max_length == MAX_LENGTH


def test_the_tokenizer_file_neither_cuts_nor_pads(toy_package: Path) -> None:
    tokenizer = facts(toy_package, "tokenizer.json")
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None


def test_the_vocabulary_lists_the_tokens_in_the_order_of_their_ids(toy_package: Path) -> None:
    vocabulary = facts(toy_package, "tokenizer.json")["model"]["vocab"]
    assert (toy_package / "vocab.txt").read_text().splitlines() == sorted(vocabulary, key=vocabulary.get)


def test_special_tokens_are_named_as_plain_text(toy_package: Path) -> None:
    special = facts(toy_package, "special_tokens_map.json")
    assert special["pad_token"] == "[PAD]"
    assert special["sep_token"] == "[SEP]"


def test_the_manifest_carries_what_was_measured_and_chosen(toy_package: Path, toy_run: Path) -> None:
    manifest, report = read_manifest(toy_package), facts(toy_package, "evaluation/report.json")
    assert manifest.verdict == {"test": report["splits"][0]["verdict"]}
    assert manifest.fusion_weight == report["tuned"]["fusion_weight"]
    assert manifest.threshold == report["tuned"]["threshold"]
    assert manifest.folded == Calibrator(**report["tuned"]["calibrator"])
    assert manifest.calibrator == Calibrator()
    assert manifest.data_hash == read_json(toy_run / "stages" / "collect.json")["fingerprint"]
    assert set(manifest.metrics["test"]) == set(SYSTEMS)
    assert manifest.depth == 20
    assert manifest.long_documents == read_long_documents(toy_package) == "best_window"


def test_the_manifest_lists_every_file(toy_package: Path) -> None:
    files = {path.relative_to(toy_package).as_posix() for path in toy_package.rglob("*") if path.is_file()}
    assert set(read_manifest(toy_package).files) == files - {"reranker.json"}


def test_the_backends_agree_and_the_manifest_says_how_far(toy_package: Path) -> None:
    assert read_manifest(toy_package).agreement["torch"] == 0.0
    assert 0 <= read_manifest(toy_package).agreement["onnx"] < 1e-4


def test_backends_that_disagree_are_not_packaged(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Reranker.score_pairs

    def shifted(self: Reranker, pairs: Any) -> Any:
        scored = original(self, pairs)
        scored.logits[0] += 0.01 if self.backend_name == "onnx" else 0
        return scored

    monkeypatch.setattr(Reranker, "score_pairs", shifted)
    with pytest.raises(verify.PackageError, match=r"ONNX logits differ from torch by 0.01"):
        verify.measure_agreement(toy_package)


def test_the_card_holds_no_text_of_a_document_or_query(toy_package: Path, toy_collection: Path) -> None:
    card = (toy_package / "README.md").read_text(encoding="utf-8")
    for name in ("corpus.jsonl", "queries.jsonl"):
        for line in (toy_collection / name).read_text().splitlines():
            assert json.loads(line)["text"] not in card


def test_the_card_tells_data_recipe_and_result(toy_package: Path) -> None:
    card = (toy_package / "README.md").read_text(encoding="utf-8")
    report = facts(toy_package, "evaluation/report.json")
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    assert f"Verdict: **{report['verdict']}**" in card
    assert "72 documents" in card
    assert "group_softmax" in card
    assert "{" not in card
    assert "Its sigmoid, which\nmost clients apply, is the calibrated probability of relevance." in card


def test_the_per_query_values_have_the_reported_means(toy_package: Path) -> None:
    rows = [
        line.split("\t") for line in (toy_package / "evaluation" / "per_query.test.tsv").read_text().splitlines()[1:]
    ]
    split = facts(toy_package, "evaluation/report.json")["splits"][0]
    assert [system["name"] for system in split["systems"]] == SYSTEMS
    for system in split["systems"]:
        assert list(system["means"]) == ["nDCG@10", "RR@10", "R@10"]
        for measure, mean in system["means"].items():
            values = [float(value) for _, name, kind, value in rows if (name, kind) == (system["name"], measure)]
            assert len(values) == split["queries"] == 24
            assert sum(values) / len(values) == pytest.approx(mean, abs=1e-6)


def test_sentence_transformers_reads_the_package_and_gives_probabilities(toy_package: Path) -> None:
    from sentence_transformers import CrossEncoder

    pairs = [("bread dough oven", "flour yeast crust of the bread"), ("bread dough oven", "boat and sail in the wind")]
    model = CrossEncoder(str(toy_package), device="cpu", local_files_only=True)
    logits = Reranker(toy_package).score_pairs(pairs).logits
    assert model.max_length == MAX_LENGTH
    assert model.predict(pairs) == pytest.approx(1 / (1 + 2.718281828**-logits), abs=1e-5)


@pytest.fixture
def regressed(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the run whose report says REGRESSION."""
    folder = tmp_path / "runs" / "toy"
    shutil.copytree(toy_run, folder, ignore=shutil.ignore_patterns("package"))
    report = read_json(folder / "evaluate" / "report.json")
    report["verdict"] = report["splits"][0]["verdict"] = "REGRESSION"
    write_json(folder / "evaluate" / "report.json", report)
    return folder


def packaged(folder: Path, toy_collection: Path, tiny_encoder: Path, *, allow: bool) -> Path:
    path = toy_config(folder.parents[1], toy_collection, tiny_encoder, package={"allow_regression": allow})
    config: Config = load_config(path)
    assert config.folder == folder
    target = folder / "package.partial"
    target.mkdir()
    package.STAGE.run(Context(config, SilentReporter(), target))
    return target


def test_a_regression_is_not_packaged(regressed: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    with pytest.raises(RegressionError, match=r"package.allow_regression: true") as caught:
        packaged(regressed, toy_collection, tiny_encoder, allow=False)
    assert caught.value.exit_status == 2
    assert not list((regressed / "package.partial").iterdir())


def test_a_regression_is_packaged_where_that_is_allowed(
    regressed: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    target = packaged(regressed, toy_collection, tiny_encoder, allow=True)
    assert read_manifest(target).verdict == {"test": "REGRESSION"}
    files = [path.name for path in (target / "first_stage").iterdir()]
    assert files == ["recipe.json"], "the corpus is in it only where include_corpus says so"


def test_the_recipe_ends_with_the_package() -> None:
    assert [stage.name for stage in STAGES] == ["collect", "mine", "finetune", "evaluate", "package"]


@pytest.mark.parametrize(
    ("settings", "objective"),
    [
        ({"loss": "ranknet"}, "Loss `ranknet`, "),
        ({"distillation": "mse", "distillation_weight": 0.5}, "Loss `group_softmax` + 0.5 × `mse` from the teacher, "),
        ({"label_weight": 0, "distillation_weight": 1}, "Loss `kl` from the teacher, "),
    ],
)
def test_the_card_names_what_was_minimised(settings: dict, objective: str) -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"}, mining={"teacher": "base"}, training=settings)
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 0, **settings})
    assert objective in card(config, training)


@pytest.mark.parametrize(
    ("mining", "teacher"),
    [
        ({"teacher": None}, "No teacher."),
        ({"teacher": "auto"}, "Teacher scores are cosines of the base model as a bi-encoder."),
        ({"teacher": "scores"}, "Teacher scores were computed elsewhere."),
        ({"teacher": "org/m"}, "Teacher: `org/m`, a cross-encoder."),
        (
            {"teacher": "rerank_api", "rerank_api": {"url": "http://x", "model": "m"}},
            "Teacher scores are those of a rerank API, model `m`.",
        ),
        (
            {"teacher": ["base", {"name": "org/m", "weight": 2}]},
            "Teacher scores are averages of several, each standardised by query: cosines of the base model as a "
            "bi-encoder (weight 1); the cross-encoder `org/m` (weight 2).",
        ),
    ],
)
def test_the_card_names_the_teachers(mining: dict, teacher: str) -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"}, mining=mining)
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 1})
    assert f" {teacher}\n" in card(config, training)


def test_the_card_says_which_part_of_a_long_document_is_read() -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"})
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 0})
    best, first = (card(config, training.model_copy(update={"long_documents": read})) for read in LONG_DOCUMENTS)
    assert "of a longer document it reads the passage that matches the query best where" in best
    assert "of a longer document it reads the beginning. Probabilities" in first


def test_the_card_counts_the_checkpoints_that_were_measured() -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"})
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 0, "evaluations": 4})
    measured = [{"step": step, "eval_dev_metric": 0.4 + step / 100} for step in (3, 6, 9)]
    text = card(config, training, log=measured)
    assert "The best of\n3 checkpoint(s) by nDCG@10 on dev was kept (dev: alone 0.500, first stage 0.400)." in text
    text = card(config, training, log=measured, best_fused=0.52)
    assert "3 checkpoint(s) by nDCG@10 on dev, fused with the first stage, was kept (dev: alone 0.500, fused" in text


def test_the_card_says_of_negatives_what_holds_for_every_source_of_them() -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"}, mining={"negatives": 7, "random_negatives": 2})
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 0})
    text = " ".join(card(config, training).split())
    assert "one relevant document and up to 7 negatives, 2 of them random. The others were retrieved for the" in text
    assert "judged to be less relevant or not relevant, or given as negatives by the collection's source" in text


@pytest.mark.parametrize("name", ["TF-IDF", "BM25"])
def test_the_card_names_the_first_stage(name: str) -> None:
    config = Config(name="toy", collection={"builtin": "pydocs"})
    training = PickedTraining(**{**config.training.model_dump(), **PICKED, "distillation_weight": 0})
    text = card(config, training, first_stage=name)
    assert f"to reorder what a {name} first stage retrieves" in text
    assert ("TF-IDF" in text) == (name == "TF-IDF")


def card(
    config: Config,
    training: PickedTraining,
    first_stage: str = "TF-IDF",
    log: Sequence[dict] = (),
    best_fused: float | None = None,
) -> str:
    counts = Counts(name="toy", documents=1, queries={"train": 1}, leaks="drop", leaking_queries={}, leakage_left=[])
    history = History(
        training, first_stage_dev=0.4, best_dev=0.5, best_step=1, steps=1, groups=1, device="cpu", cut_in_training=0,
        cut_on_dev=0, log=log, best_fused=best_fused,
    )  # fmt: skip
    return model_card(config, counts, history, first_stage=first_stage, why="", results="", version="1.0")


def test_every_backend_that_is_here_is_compared(toy_package: Path) -> None:
    agreement = read_manifest(toy_package).agreement
    assert 0 <= agreement["openvino"] < 1e-4
    assert "onnx-int8" not in agreement


@pytest.mark.parametrize(("most_lost", "packed"), [(1.0, True), (-1.0, False)])
def test_int8_is_packed_where_it_ranks_as_well(
    toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_lost: float, packed: bool
) -> None:
    monkeypatch.setattr(quantization, "MOST_LOST", most_lost)
    shutil.copytree(toy_run, tmp_path / "toy", ignore=shutil.ignore_patterns("package"))
    config = load_config(toy_run.parents[1] / "config.yaml", [f"runs={tmp_path}", "package.int8=true"])
    folder = tmp_path / "package"
    folder.mkdir()
    package.STAGE.run(Context(config, SilentReporter(), folder))
    assert (folder / "onnx" / "model_int8.onnx").is_file() is packed
    assert ("onnx-int8" in read_manifest(folder).agreement) is packed
    if packed:
        pairs = [("bread", "bread oven"), ("bread", "boat"), ("sail", "wind " * 30)]
        quick = Reranker(folder, backend="onnx-int8").score_pairs(pairs).logits
        assert 0 < np.abs(quick - Reranker(folder).score_pairs(pairs).logits).max() < 0.5
    else:
        with pytest.raises(PackageError, match=r"model_int8\.onnx: missing"):
            Reranker(folder, backend="onnx-int8")


def test_auto_takes_the_fastest_within_the_tolerance(toy_package: Path) -> None:
    folder, exact = toy_package, {"onnx": 1e-7, "openvino": 1e-6, "openvino-bf16": 0.02}
    assert open_backend(folder, "auto", {}, EXACT).name == "onnx"
    assert open_backend(folder, "auto", {"onnx": 1e-7}, 1.0).name == "onnx"
    assert open_backend(folder, "auto", exact, EXACT).name == "onnx"
    assert open_backend(folder, "auto", {**exact, "onnx-int8": 0.3}, EXACT).name == "onnx"
    near = open_backend(folder, "auto", exact, 0.1).name
    assert near in ("openvino-bf16", "onnx")  # the second on a CPU without native bf16


def test_auto_goes_on_to_what_is_installed(toy_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_backend(toy_package, "auto", {"openvino": 1e-6, "openvino-bf16": 0.02}, 0.1).name == "onnx"


def test_the_tokenizers_class_is_one_that_transformers_4_knows(toy_package: Path) -> None:
    """Its name for tokenizers without a model of their own is read by 5 too; the other way round it is not."""
    from transformers import AutoTokenizer

    settings = json.loads((toy_package / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert AutoTokenizer.from_pretrained(toy_package).is_fast
