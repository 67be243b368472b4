"""Options that a command would ignore are refused in one line, and each command offers only options that it uses."""

from pathlib import Path

import pytest
from support import Command, error_line, toy_config

# Words in capitals stand for the places below.
REFUSED = [
    ("evaluate CONFIG --depth 5", "--depth: only with --reranker"),
    ("evaluate CONFIG --split test", "--split: only with --reranker"),
    ("evaluate CONFIG --max-queries 5", "--max-queries: only with --reranker"),
    ("evaluate CONFIG --report X --depth 100", "--depth, --report: only with --reranker"),
    ("evaluate --reranker PACKAGE --collection COLLECTION --set a=1", "--set: only with a config"),
    ("evaluate --reranker PACKAGE --collection COLLECTION --fresh", "--fresh: only with a config"),
    ("evaluate CONFIG --reranker PACKAGE", "give either a config, or both --reranker and --collection"),
    ("judge RUN --queries CORPUS", "--queries: only for documents; RUN is a run folder"),
    ("judge RUN --proposed 40", "--proposed: only for documents"),
    ("judge RUN --depth 5", "--depth: only for documents"),
    ("judge RUN --out X", "--out: only for documents"),
    ("judge RUN --config CONFIG", "--config: only for documents"),
    ("judge RUN --set a=1", "--set: only for documents"),
    ("judge CORPUS --file X", "--file: only for a run folder; CORPUS is not one"),
    ("judge CORPUS --queries X --proposed 3", "--proposed: not with --queries"),
    ("judge CORPUS --set collection.documents.corpus=X", "--set collection.documents.corpus: CORPUS sets this key"),
    ("judge CORPUS --out X --set name=x", "--set name: --out sets this key"),
    ("adapt CORPUS --set collection.documents.corpus=X", "--set collection.documents.corpus: CORPUS sets this key"),
    ("adapt CORPUS --out X --set runs=x", "--set runs: --out sets this key"),
    ("adapt CORPUS --base X --set base_model=x", "--set base_model: --base sets this key"),
    ("search PACKAGE q --lexical", "--lexical: only with --corpus"),
    ("search PACKAGE query --explain --compare", "--compare: not with --explain"),
    ("search PACKAGE query --json --compare", "--compare: not with --json"),
    ("search PACKAGE query --explain --json -k 3", "-k: not with --explain --json"),
    ("search PACKAGE query -k 20 --depth 10", "-k: 20 results are more than the 10 candidates to rerank"),
    ("inspect PACKAGE --model X", "--model: only for a collection or a config; PACKAGE is a reranker package"),
    ("inspect PACKAGE --max-length 64", "--max-length: only for a collection or a config"),
    ("inspect PACKAGE --max-queries 5", "--max-queries: only for a collection or a config"),
    ("inspect COLLECTION --max-length 64", "--max-length: needs --model"),
    ("serve BARE --depth 5", "--depth: needs documents; BARE holds none, so name them with --corpus"),
    ("serve BARE --judgements X", "--judgements: needs documents"),
    ("sweep SWEEP --set training.learning_rate=1", "--set training.learning_rate: sweep.space of SWEEP searches this"),
]


@pytest.fixture
def places(
    tmp_path: Path, toy_run: Path, toy_package: Path, toy_collection: Path, tiny_encoder: Path
) -> dict[str, Path]:
    (tmp_path / "bare").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "docs.txt").write_text("bread from the oven\nboat and sail\n")
    space = {"training.learning_rate": [1e-4, 1e-3]}
    return {
        "CONFIG": toy_config(tmp_path, toy_collection, tiny_encoder),
        "SWEEP": toy_config(tmp_path / "sweep", toy_collection, tiny_encoder, sweep={"space": space}),
        "PACKAGE": toy_package,
        "COLLECTION": toy_collection,
        "RUN": toy_run,
        "CORPUS": tmp_path / "docs.txt",
        "BARE": tmp_path / "bare",
        "X": tmp_path / "x",
    }


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_an_option_that_would_be_ignored_is_refused(
    crossforge: Command, places: dict[str, Path], line: str, message: str
) -> None:
    found = error_line(crossforge(*(places.get(word, word) for word in line.split())))
    # CORPUS as an option's setter is the argument's name, and no path.
    expected = message if "CORPUS sets" in message else _filled(message, places)
    assert found.startswith(f"error: {expected}")


def _filled(text: str, places: dict[str, Path]) -> str:
    for word, path in places.items():
        text = text.replace(f"{word} ", f"{path} ")
    return text


def test_defaults_are_not_refused(crossforge: Command, toy_package: Path) -> None:
    assert crossforge("search", toy_package, "bread", "--depth", "5").status == 0
    assert crossforge("search", toy_package, "bread", "--explain", "--json").status == 0
    assert crossforge("inspect", toy_package).status == 0


@pytest.mark.parametrize("command", ["search", "inspect", "judge", "serve"])
def test_commands_without_progress_offer_no_quiet(crossforge: Command, command: str) -> None:
    assert "No such option: --quiet" in error_line(crossforge(command, "x", "y", "--quiet"))


@pytest.mark.parametrize("stage", ["collect", "mine", "finetune", "evaluate", "package"])
def test_every_stage_has_a_command(
    crossforge: Command, toy_run: Path, toy_collection: Path, tiny_encoder: Path, tmp_path: Path, stage: str
) -> None:
    config = toy_config(
        tmp_path, toy_collection, tiny_encoder, runs=str(toy_run.parent), mining={"teacher": "base"},
        training={"distillation_weight": 1.0, "epochs": 2}, package={"include_corpus": True, "allow_regression": True},
    )  # fmt: skip
    found = crossforge(stage, config, "--json")
    assert found.json["folder"] == str(toy_run / stage)
    assert found.err == ""


def test_a_stage_ends_there(crossforge: Command, toy_collection: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    config = toy_config(tmp_path, toy_collection, tiny_encoder)
    assert crossforge("collect", config, "--quiet").err == ""
    assert {path.name for path in (tmp_path / "runs" / "toy").iterdir()} == {"collect", "run.json", "stages"}
