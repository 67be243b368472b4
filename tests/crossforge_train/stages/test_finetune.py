"""Fine-tuning: resuming, determinism, and runs that fail with advice. A tiny model, the real trainer."""

import math
import shutil
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from support import Recorder, toy_config
from transformers import AutoModelForSequenceClassification

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import read_json
from crossforge.loading import Parts
from crossforge.long_documents import BEST_WINDOW, FIRST_WINDOW, LONG_DOCUMENTS, read_long_documents
from crossforge.manifest import Manifest
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.tfidf import TfidfRetriever
from crossforge.tokenization import PairTokenizer
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group, read_groups
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stage_folders import FinetunedFolder
from crossforge_train.stages import finetune as finetune_module
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.records import read_record
from crossforge_train.stages.runner import run_stages
from crossforge_train.training import lora, picks, preparation, progress, schedule, start, trial
from crossforge_train.training.history import read_history
from crossforge_train.training.progress import TrainingProgress
from crossforge_train.training.reading import pick_long_documents
from crossforge_train.training.rows import make_rows
from crossforge_train.training.timing import Pace

COLLECT, MINE, FINETUNE, *_ = STAGES


@pytest.fixture(scope="module", autouse=True)
def no_export(quickly: None) -> Any:
    """The ONNX export takes longer than everything else here and is no part of what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossforge_train.models.export.export_onnx", lambda model, folder: None)
        yield


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory, toy_collection: Path, tiny_encoder: Path) -> Path:
    """A config whose stages up to `mine` are done."""
    path = toy_config(tmp_path_factory.mktemp("finetune"), toy_collection, tiny_encoder)
    run_stages(load_config(path), (COLLECT, MINE), SilentReporter())
    return path


@pytest.fixture
def prepared(config_file: Path, tmp_path: Path) -> Callable[..., Config]:
    """Makes a config with a run folder of its own, in which all but fine-tuning is done."""

    def make(*overrides: str, name: str = "runs") -> Config:
        source = load_config(config_file).runs
        shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("finetune*"))
        return load_config(config_file, [f"runs={tmp_path / name}", *overrides])

    return make


def trained(config: Config) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    run_stages(config, (COLLECT, MINE, FINETUNE), SilentReporter())
    folder = config.folder / "finetune"
    return read_json(folder / "history.json"), load_file(folder / "model" / "model.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(config_file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    return trained(load_config(config_file))


def interrupt_after(checkpoints: int, config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run until so many checkpoints are written, then press Ctrl-C; the folder of the checkpoints."""
    saved = []

    def on_save(self: TrainingProgress, args: Any, state: Any, control: Any, **_: Any) -> None:
        saved.append(state.global_step)
        if len(saved) == checkpoints:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_save", on_save)
        with pytest.raises(KeyboardInterrupt):
            trained(config)
    assert not (config.folder / "finetune").exists()
    record = read_record(RunFolder(config.folder), "finetune")
    assert record is not None
    assert not record.finished
    return config.folder / "finetune.partial" / "checkpoints"


def test_a_training_has_begun_with_its_first_whole_checkpoint(tmp_path: Path) -> None:
    assert not finetune_module.begun(tmp_path / "none")
    checkpoint = tmp_path / "checkpoints" / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    assert not finetune_module.begun(tmp_path)
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text("{}")
    assert finetune_module.begun(tmp_path)


def test_links_to_the_base_model_are_not_copied_to_go_on_elsewhere(tmp_path: Path) -> None:
    for name in ("start", "tensorboard", "base", "checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "picked.json").write_text("{}")
    assert {path.name for path in FinetunedFolder(tmp_path).resumable} == {"start", "checkpoints", "picked.json"}


def by_age(folder: Path) -> list[Path]:
    """The checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def resumed_from(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the trainer is told to go on from, from now on."""
    from sentence_transformers.cross_encoder import CrossEncoderTrainer

    told: list[str] = []
    original = CrossEncoderTrainer.train

    def train(self: Any, resume_from_checkpoint: str | None = None, **options: Any) -> Any:
        told.append(Path(resume_from_checkpoint).name if resume_from_checkpoint else "")
        return original(self, resume_from_checkpoint=resume_from_checkpoint, **options)

    monkeypatch.setattr(CrossEncoderTrainer, "train", train)
    return told


def same(left: tuple[dict, dict], right: tuple[dict, dict]) -> None:
    for key in ("best_dev", "best_step", "steps", "first_stage_dev"):
        assert left[0][key] == right[0][key], key
    assert left[1].keys() == right[1].keys()
    for name, weights in left[1].items():
        assert torch.equal(weights, right[1][name]), name


def test_training_changes_the_model_and_keeps_its_best_checkpoint(uninterrupted: tuple, tiny_encoder: Path) -> None:
    history, weights = uninterrupted
    measured = [entry for entry in history["log"] if "eval_dev_fused" in entry]
    assert len(measured) == 3
    assert history["best_fused"] == max(entry["eval_dev_fused"] for entry in measured)
    kept = next(entry for entry in measured if entry["step"] == history["best_step"])
    assert (kept["eval_dev_metric"], kept["eval_dev_fused"]) == (history["best_dev"], history["best_fused"])
    before = load_file(tiny_encoder / "model.safetensors")
    changed = [not torch.equal(before[name], weights.get(f"bert.{name}", before[name])) for name in before]
    assert any(changed)


def test_the_checkpoints_are_gone_when_the_stage_is_done(uninterrupted: tuple, config_file: Path) -> None:
    assert not (load_config(config_file).folder / "finetune" / "checkpoints").exists()


@pytest.mark.parametrize("checkpoints", [1, 2])
def test_a_killed_run_goes_on_to_the_same_model(
    prepared: Callable[..., Config], uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch, checkpoints: int
) -> None:
    config = prepared()
    folder = interrupt_after(checkpoints, config, monkeypatch)
    newest = by_age(folder)[-1].name
    told = resumed_from(monkeypatch)
    found = trained(config)
    assert told == [newest]
    same(found, uninterrupted)


@pytest.mark.parametrize("checkpoints", [1, 3])
def test_another_machine_goes_on_from_the_checkpoint_in_the_store(
    prepared: Callable[..., Config],
    uninterrupted: tuple,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    checkpoints: int,
) -> None:
    first, second = (prepared(f"store=file://{tmp_path}/store", name=name) for name in ("first", "second"))
    newest = by_age(interrupt_after(checkpoints, first, monkeypatch))[-1].name
    shutil.rmtree(first.runs)
    told = resumed_from(monkeypatch)
    found = trained(second)
    assert told == ([newest] if checkpoints < 3 else [])  # after its last step, it trains no more
    same(found, uninterrupted)
    assert not list((tmp_path / "store" / "toy").rglob("checkpoint-*/*"))


def test_a_run_killed_after_its_last_step_trains_no_more(
    prepared: Callable[..., Config], uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared()
    interrupt_after(3, config, monkeypatch)
    told = resumed_from(monkeypatch)
    found = trained(config)
    assert told == []
    same(found, uninterrupted)


# The rate of the tiny model, far too high, makes dev go down again.
PATIENT = ("training.patience=1", "training.epochs=4", "training.evaluations=8", "training.learning_rate=0.02")


@pytest.mark.parametrize("last", [False, True])
def test_patience_ends_a_run_and_is_not_forgotten_when_it_is_killed(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, last: bool
) -> None:
    whole = trained(prepared(*PATIENT, name="whole"))
    measured = [entry["eval_dev_fused"] for entry in whole[0]["log"] if "eval_dev_fused" in entry]
    assert 2 <= len(measured) < 8
    assert measured[-1] <= max(measured[:-1]) == whole[0]["best_fused"]
    config = prepared(*PATIENT, name="killed")
    interrupt_after(len(measured) if last else 1, config, monkeypatch)
    same(trained(config), whole)


# Time for 15 and a half of 32 steps, after the four that are timed.
IN_TIME = ("training.epochs=auto", "training.minutes=13", "training.evaluations=4")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that does one and a half steps a minute, which training notices only on its way."""
    monkeypatch.setattr(schedule, "_LEAST_SECONDS", 0)
    monkeypatch.setattr(trial, "measure_pace", lambda *_, **__: Pace(1e6, 1e6))
    monkeypatch.setattr(TrainingProgress, "pace", lambda self: Pace(1.5 * self._training.groups_per_batch, 1e6))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=count(0, 40).__next__))  # asked once a step


@pytest.mark.usefixtures("slow")
def test_a_training_that_is_slower_than_planned_ends_in_time(prepared: Callable[..., Config]) -> None:
    reporter = Recorder()
    config = prepared(*IN_TIME)
    run_stages(config, (COLLECT, MINE, FINETUNE), reporter)
    history = read_history(config.folder / "finetune" / "history.json")
    assert history.steps == 15
    assert history.training.epochs == pytest.approx(15 * history.training.groups_per_batch / history.groups, rel=0.05)
    assert history.dev_metrics()[-1][0] == 15
    assert any("slower than planned, so about 15 steps" in note for note in reporter.notes)
    rates = {entry["step"]: entry["learning_rate"] for entry in history.log if "learning_rate" in entry}
    assert 0 < rates[15] < 0.2 * history.training.learning_rate


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("checkpoints", [1, 2])
def test_a_shortened_training_goes_on_to_the_same_model(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, checkpoints: int
) -> None:
    whole = trained(prepared(*IN_TIME, name="whole"))
    config = prepared(*IN_TIME, name="killed")
    newest = by_age(interrupt_after(checkpoints, config, monkeypatch))[-1].name
    told = resumed_from(monkeypatch)
    same(trained(config), whole)
    assert told == ([newest] if checkpoints < 2 else [])


AUTO = tuple(
    f"training.{key}=auto"
    for key in (
        "distillation_weight",
        "learning_rate",
        "head_learning_rate",
        "epochs",
        "merge",
        "max_length",
        "long_documents",
    )
)


def test_what_is_left_to_auto_is_picked_once_noted_and_written_down(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Recorder()
    config = prepared(*AUTO, name="whole")
    run_stages(config, (COLLECT, MINE, FINETUNE), reporter)
    folder = config.folder / "finetune"
    whole = read_json(folder / "history.json"), load_file(folder / "model" / "model.safetensors")
    picked = whole[0]["training"]
    assert picked["epochs"] == 4  # few groups
    assert picked["max_length"] in range(16, 65, 16)  # the base reads 64
    assert 0 < picked["learning_rate"] <= 2e-4
    assert picked["head_learning_rate"] == pytest.approx(10 * picked["learning_rate"])
    assert whole[0]["steps"] == 4 * math.ceil(whole[0]["groups"] / 4)
    assert [line.split(":")[0] for line in reporter.notes if ", picked " in line] == [
        "training.lora", "training.max_length", "training.long_documents", "training.merge",
        "training.distillation_weight", "training.dev_queries", "training.epochs", "training.learning_rate",
        "training.head_learning_rate",
    ]  # fmt: skip
    saved = read_json(folder / "model" / "sentence_bert_config.json")
    assert saved["max_seq_length"] == FinetunedFolder(folder).history.training.max_length == picked["max_length"]

    killed = prepared(*AUTO, name="killed")
    interrupt_after(1, killed, monkeypatch)
    monkeypatch.setattr(trial, "losses_by_rate", None)  # a run that goes on must not pick again
    same(trained(killed), whole)


def curve(history: dict[str, Any]) -> list[float]:
    return [entry["loss"] for entry in history["log"] if "loss" in entry]


@pytest.mark.parametrize("override", ["accumulation=2", "mini_batch=128", "gradient_checkpointing=true"])
def test_what_saves_memory_changes_nothing_else(
    prepared: Callable[..., Config], uninterrupted: tuple, override: str
) -> None:
    history, _ = trained(prepared(f"training.{override}"))
    assert history["steps"] == uninterrupted[0]["steps"]
    assert history["best_dev"] == pytest.approx(uninterrupted[0]["best_dev"], abs=0.01)
    # The last batch of an epoch is smaller, and then the parts that it is taken in are not equal: as far as to there.
    assert curve(history)[:-1] == pytest.approx(curve(uninterrupted[0])[:-1], abs=1e-3)


def test_a_batch_that_cannot_be_taken_in_equal_parts_is_refused(prepared: Callable[..., Config]) -> None:
    with pytest.raises(
        InputError, match=r"training.accumulation: 4 groups per step cannot be split into 3 equal parts"
    ):
        trained(prepared("training.accumulation=3"))


def test_adapters_are_trained_and_merged(
    prepared: Callable[..., Config], uninterrupted: tuple, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = ("training.lora={rank: 4}", "training.learning_rate=0.01")
    in_memory: list[torch.Tensor] = []
    ids = torch.arange(5, 25).view(2, 10)

    def save(context: Any, model: torch.nn.Module, *rest: Any) -> None:
        in_memory.append(model.eval()(input_ids=ids).logits.detach())
        original(context, model, *rest)

    original = finetune_module._save
    monkeypatch.setattr(finetune_module, "_save", save)
    config = prepared(*adapters, name="whole")
    whole = trained(config)
    assert whole[1].keys() == uninterrupted[1].keys()  # no adapter is left
    before = load_file(tiny_encoder / "model.safetensors")
    for name, changed in (
        ("encoder.layer.0.attention.self.query.weight", True),
        ("embeddings.LayerNorm.weight", False),
    ):
        assert torch.equal(whole[1][f"bert.{name}"], before[name]) is not changed, name
    reloaded = AutoModelForSequenceClassification.from_pretrained(config.folder / "finetune" / "model").eval()
    assert torch.allclose(reloaded(input_ids=ids).logits, in_memory[0], atol=1e-6)

    killed = prepared(*adapters, name="killed")
    interrupt_after(1, killed, monkeypatch)
    same(trained(killed), whole)


def test_adapters_without_their_library_are_told_before_anything_runs(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"crossforge\[lora\]"):
        trained(prepared("training.lora={}"))
    monkeypatch.setattr(picks, "ADAPTED_FROM", 1000)
    with pytest.raises(InputError, match=r"crossforge\[lora\]\"; or set training.lora: null"):
        trained(prepared(name="by-size"))


def test_adapters_are_the_default_of_large_models(
    prepared: Callable[..., Config], uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uninterrupted[0]["training"]["lora"] is None
    finished = prepared("training.dev_queries=100", name="finished")
    trained(finished)
    monkeypatch.setattr(picks, "ADAPTED_FROM", 1000)
    large = prepared(name="large")
    history, _ = trained(large)
    assert history["training"]["lora"] == {"rank": 16, "alpha": 32.0, "dropout": 0.0}
    record = read_record(RunFolder(large.folder), "finetune")
    assert record is not None
    assert record.depends_on["training"]["lora"] == history["training"]["lora"]
    # One that was finished before there was this default still counts.
    assert trained(finished)[0]["training"]["lora"] is None


def test_frozen_layers_and_what_is_below_them_stay_as_they_were_and_the_rest_learns(
    prepared: Callable[..., Config], tiny_encoder: Path
) -> None:
    _, weights = trained(prepared("training.frozen_layers=1", "training.gradient_checkpointing=true"))
    before = load_file(tiny_encoder / "model.safetensors")
    moved = {name for name, value in before.items() if not torch.equal(weights[f"bert.{name}"], value)}
    assert moved
    assert all(name.startswith(("encoder.layer.1.", "pooler.")) for name in moved)


def test_a_model_of_which_nothing_is_left_to_train_is_refused(prepared: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match=r"training.frozen_layers is 2, but the model has 2 layers: none is left"):
        trained(prepared("training.frozen_layers=2"))


def test_frozen_embeddings_stay_as_they_were(
    prepared: Callable[..., Config], uninterrupted: tuple, tiny_encoder: Path
) -> None:
    _, weights = trained(prepared("training.freeze_embeddings=true"))
    name = "embeddings.word_embeddings.weight"
    before = load_file(tiny_encoder / "model.safetensors")[name]
    assert torch.equal(weights[f"bert.{name}"], before)
    assert not torch.equal(uninterrupted[1][f"bert.{name}"], before)
    assert not torch.equal(weights["classifier.weight"], uninterrupted[1]["classifier.weight"])


def test_values_that_are_given_stay_as_given(uninterrupted: tuple, config_file: Path) -> None:
    given = load_config(config_file).training.model_dump(mode="json")
    assert uninterrupted[0]["training"] == {**given, "lora": None, "dev_queries": 100}


def test_a_loss_that_does_not_move_stops_the_run_with_advice(prepared: Callable[..., Config]) -> None:
    config = prepared(
        "training.learning_rate=1e-12", "training.head_learning_rate=1e-12", "training.epochs=20",
        "training.evaluations=5",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"stuck.*by step \d+ of \d+.*raise training.learning_rate") as caught:
        trained(config)
    assert "\n" not in str(caught.value)


def test_tensorboard_gets_the_curves(prepared: Callable[..., Config]) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = prepared("training.report_to=[tensorboard]")
    history, _ = trained(config)
    found = accumulators.EventAccumulator(str(config.folder / "finetune" / "tensorboard"))
    found.Reload()
    measured = [event.value for event in found.Scalars("eval/dev_metric")]
    assert measured == pytest.approx([e["eval_dev_metric"] for e in history["log"] if "eval_dev_metric" in e])
    assert len(found.Scalars("train/loss")) == len([entry for entry in history["log"] if "loss" in entry])


def test_a_tracker_that_is_not_installed_is_told_before_anything_runs(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossforge_train.training.tracking.find_spec", lambda name: None)
    config = load_config(config_file, [f"runs={tmp_path}", "training.report_to=[wandb, mlflow]"])
    with pytest.raises(InputError, match="names wandb, mlflow, which is not installed: pip install wandb mlflow"):
        trained(config)
    assert not (config.folder / "collect").exists()


def test_another_tracker_is_no_reason_to_train_again(prepared: Callable[..., Config]) -> None:
    config = prepared()
    assert FINETUNE.depends_on(config) == FINETUNE.depends_on(
        prepared("training.report_to=[tensorboard]", name="other")
    )


@pytest.mark.parametrize("content", [None, '{"global_step": 6, "log_his'])
def test_a_half_written_checkpoint_is_ignored(
    prepared: Callable[..., Config], uninterrupted: tuple, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    config = prepared()
    folder = interrupt_after(2, config, monkeypatch)
    first, second = by_age(folder)
    (second / "trainer_state.json").unlink()
    if content is not None:
        (second / "trainer_state.json").write_text(content)
    told = resumed_from(monkeypatch)
    found = trained(config)
    assert told == [first.name]
    same(found, uninterrupted)


def test_checkpoints_of_other_settings_are_not_gone_on_from(
    prepared: Callable[..., Config], config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared()
    interrupt_after(1, config, monkeypatch)
    told = resumed_from(monkeypatch)
    trained(load_config(config_file, [f"runs={config.runs}", "training.learning_rate=0.001"]))
    assert told == [""]


def test_the_same_config_gives_the_same_groups_and_the_same_metrics(
    config_file: Path, uninterrupted: tuple, tmp_path: Path
) -> None:
    config = load_config(config_file, [f"runs={tmp_path}"])
    same(trained(config), uninterrupted)
    first, second = (
        (one.folder / "mine" / "groups" / "part-00000.parquet").read_bytes()
        for one in (load_config(config_file), config)
    )
    assert first == second


def test_another_seed_gives_another_model(prepared: Callable[..., Config], uninterrupted: tuple) -> None:
    _, weights = trained(prepared("seed=7"))
    assert not torch.equal(weights["classifier.weight"], uninterrupted[1]["classifier.weight"])


def test_a_model_that_ranks_nothing_is_refused_with_advice(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = preparation.load_model

    def with_a_dead_head(*arguments: Any) -> Any:
        model = original(*arguments)
        torch.nn.init.zeros_(model.model.classifier.weight)
        return model

    monkeypatch.setattr(preparation, "load_model", with_a_dead_head)
    config = prepared("training.learning_rate=1e-12", "training.head_learning_rate=1e-12")
    with pytest.raises(InputError, match=r"the same score.*raise training.head_learning_rate") as caught:
        trained(config)
    assert "\n" not in str(caught.value)
    assert not (config.folder / "finetune").exists()


def test_a_run_that_diverges_is_stopped_with_advice(prepared: Callable[..., Config]) -> None:
    config = prepared("training.learning_rate=1e30", "training.head_learning_rate=1e30", "training.warmup=0")
    with pytest.raises(InputError, match=r"training diverged.*lower training.learning_rate") as caught:
        trained(config)
    assert "\n" not in str(caught.value)
    assert not (config.folder / "finetune").exists()


def test_too_little_disk_space_is_told_before_training(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=1000))
    told = resumed_from(monkeypatch)
    with pytest.raises(InputError, match=r"0\.0 MB free, but fine-tuning needs about"):
        trained(prepared())
    assert told == []


def test_queries_that_leave_no_room_for_a_document_are_refused_where_there_is_no_other(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crossforge.tokenization import PairTokenizer

    monkeypatch.setattr(preparation, "_require_readable", lambda *_: None)  # of dev and test, before
    monkeypatch.setattr(PairTokenizer, "fits", lambda self, query: False)
    with pytest.raises(InputError, match="no training query leaves room for a document in 48 tokens"):
        trained(prepared())


@pytest.mark.parametrize("loss", ["ranknet", "ndcg_loss2pp", "multiple_negatives"])
def test_a_model_of_another_loss_scores_in_raw_logits(prepared: Callable[..., Config], loss: str) -> None:
    config = prepared(f"training.loss={loss}", "training.in_batch_negatives=2", "training.head_learning_rate=0.05")
    history, _ = trained(config)
    assert history["groups"] > 0
    reranker = Reranker(config.folder / "finetune" / "model", backend="torch")
    scores = reranker.score("bread dough", ["oven flour bread", "the sail", "pawn rook"])
    assert ((scores < 0) | (scores > 1)).any()  # a sigmoid stays between
    probabilities = [found.probability for found in reranker.rank("bread dough", ["oven flour bread", "the sail"])]
    assert all(0 < probability < 1 for probability in probabilities)


def test_the_share_of_documents_that_are_cut_is_told(prepared: Callable[..., Config]) -> None:
    config, notes = prepared("training.max_length=16", "training.long_documents=first_window"), Recorder()
    run_stages(config, (COLLECT, MINE, FINETUNE), notes)
    shares = read_json(config.folder / "finetune" / "history.json")["cut_documents"]
    assert min(shares.values()) > 0.5
    told = f"{shares['training']:.0%} of the training documents are longer than 16 tokens: the beginning is read"
    assert told in notes.notes
    assert f"{shares['dev']:.0%} of the dev candidates are too long to be read in full" in notes.notes


def test_the_part_that_suits_the_start_on_dev_is_trained_on_and_kept_with_the_model(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []

    def other_one(head: str, **by: Any) -> tuple[str, str]:
        found, why = pick_long_documents("trained", **by)
        chosen.append(FIRST_WINDOW if found == BEST_WINDOW else BEST_WINDOW)
        return chosen[0], why

    monkeypatch.setattr(preparation, "pick_long_documents", other_one)
    config, notes = prepared("training.max_length=16", "training.long_documents=auto"), Recorder()
    run_stages(config, (COLLECT, MINE, FINETUNE), notes)
    finetuned = RunFolder(config.folder).finetuned
    assert [finetuned.history.training.long_documents] == [read_long_documents(finetuned.model)] == chosen
    assert any(note.startswith("training.long_documents: ") and "by the first window" in note for note in notes.notes)


def test_nothing_is_told_of_cut_documents_where_all_are_read(uninterrupted: tuple) -> None:
    assert uninterrupted[0]["cut_documents"] == {"training": 0.0, "dev": 0.0}


def test_a_teacher_alone_can_be_learned_from(prepared: Callable[..., Config], uninterrupted: tuple) -> None:
    config = prepared("training.label_weight=0", "training.distillation_weight=1", "training.distillation=margin_mse",
                      "mining.teacher=base")  # fmt: skip
    history, weights = trained(config)
    assert len(curve(history)) == history["steps"] > 0
    assert all(map(math.isfinite, curve(history)))
    assert not torch.equal(weights["classifier.weight"], uninterrupted[1]["classifier.weight"])


def test_the_beginning_or_the_window_that_matches_best_is_trained_on(
    toy_collection: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    text = f"{'boat sail wind harbour ' * 8} bread dough oven {'tide crew deck ' * 8}"
    collection = Collection(
        "one", {"long": Document("long", text)}, {"q": "bread dough"}, {"train": {"q": {"long": 1}}}
    )
    retriever = TfidfRetriever.fit(list(read_beir(toy_collection).corpus.values()))
    group, read = Group("q", ["long"], [1], [1]), {}
    for window in LONG_DOCUMENTS:
        parts = Parts(
            PairTokenizer(tiny_encoder / "tokenizer.json", 24), None, Manifest("x", 24, long_documents=window)
        )
        pipeline = RetrieveAndRerank(collection.corpus, retriever, Reranker.from_parts(parts))
        read[window] = make_rows(
            [group], collection, "train", pipeline, path=tmp_path / window, reporter=SilentReporter()
        )
    assert "bread dough" in read["best_window"].dataset[0]["documents"][0]
    assert read["first_window"].dataset[0]["documents"][0].startswith("boat sail")
    assert read["best_window"].cut == read["first_window"].cut == 1.0


def test_a_weight_without_a_teacher_is_told(prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossforge_train.mining.teachers.is_bi_encoder", lambda folder: False)
    with pytest.raises(InputError, match=r"distillation_weight needs a teacher, .* set mining\.teacher"):
        trained(prepared("training.distillation_weight=1", "mining.teacher=auto"))


def test_a_training_that_is_left_with_nothing_to_learn_from_is_told(prepared: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match=r"label_weight is 0 and there is no teacher"):
        trained(prepared("training.label_weight=0", "training.distillation_weight=auto"))


def test_training_starts_from_the_bi_encoder(prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_FAITHFUL", 0.0)  # random weights follow their cosines less closely than real ones
    config = prepared("training.start=bi_encoder", "training.learning_rate=auto", "training.head_learning_rate=auto")
    history, weights = trained(config)
    assert history["training"]["learning_rate"] <= 5e-5
    assert history["training"]["head_learning_rate"] == history["training"]["learning_rate"]
    assert any(name.startswith("bert.encoder.layer.2.") for name in weights)  # two of the bi-encoder, one to compare
    assert not RunFolder(config.folder).finetuned.working_files.start.exists()


def test_by_itself_training_takes_the_teacher_if_there_is_one_that_is_seldom_mistaken(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = "training.distillation_weight=auto"
    history, _ = trained(prepared(auto))
    assert history["training"]["distillation_weight"] == 0
    history, _ = trained(prepared(auto, "mining.teacher=base", name="with"))
    assert history["training"]["distillation_weight"] == 0  # a random teacher
    monkeypatch.setattr(picks, "_MISTAKEN", 1.1)
    history, _ = trained(prepared(auto, "mining.teacher=base", name="trusted"))
    assert history["training"]["distillation_weight"] == 1


def test_a_bi_encoder_is_its_own_teacher(prepared: Callable[..., Config], tiny_encoder: Path, tmp_path: Path) -> None:
    embeds = tmp_path / "embeds"
    SentenceTransformer(str(tiny_encoder)).save_pretrained(str(embeds))
    config = prepared(f"base_model={embeds}", "mining.teacher=auto")
    run_stages(config, (COLLECT, MINE), SilentReporter())
    groups = read_groups(config.folder / "mine" / "groups")
    assert len(groups) > 20
    assert all(len(group.teacher) == len(group.doc_ids) for group in groups)


def test_what_precedes_training_takes_from_its_time(
    prepared: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[float] = []
    make_rows = preparation.make_rows
    pick_by_trial = preparation.pick_by_trial

    def slow(*arguments: Any, **settings: Any) -> Any:
        time.sleep(0.6)
        return make_rows(*arguments, **settings)

    def watched(*arguments: Any, **settings: Any) -> None:
        spent.append(settings["spent"])
        pick_by_trial(*arguments, **settings)

    monkeypatch.setattr(preparation, "make_rows", slow)
    monkeypatch.setattr(preparation, "pick_by_trial", watched)
    run_stages(prepared(), STAGES[:3], SilentReporter())
    assert 0.01 < spent[0] < 5
