"""The command line: one line for each mistake, one JSON value for machines."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import Command, error_line, toy_config, write_collection, write_lines

from crossforge.documents import as_documents
from crossforge.errors import InputError
from crossforge.retrievers.choice import fit_retriever
from crossforge.retrievers.recipe import save_recipe
from crossforge_train.cli import main, searching
from crossforge_train.config.loading import load_config
from crossforge_train.run_folder import RunFolder


@pytest.fixture
def config(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> Path:
    return toy_config(tmp_path, toy_collection, tiny_encoder)


@pytest.fixture
def finished_config(tmp_path: Path, toy_run: Path, toy_collection: Path, tiny_encoder: Path) -> Path:
    """The config of `toy_run`, all of whose stages are done."""
    return toy_config(
        tmp_path, toy_collection, tiny_encoder, runs=str(toy_run.parent), mining={"teacher": "base"},
        training={"distillation_weight": 1.0, "epochs": 2}, package={"include_corpus": True, "allow_regression": True},
    )  # fmt: skip


def test_help_lists_the_commands(crossforge: Command) -> None:
    found = crossforge("--help")
    assert found.status == 0
    for command in ("train", "mine", "evaluate", "package", "search", "rerank", "inspect"):
        assert command in found.out


@pytest.mark.parametrize("command", ["train", "mine", "evaluate", "package", "search", "rerank", "inspect"])
def test_every_command_has_help(crossforge: Command, command: str) -> None:
    found = crossforge(command, "--help")
    assert found.status == 0
    assert "--json" in found.out


def test_the_command_alone_shows_its_help(crossforge: Command) -> None:
    found = crossforge()
    assert "Usage" in found.out + found.err
    assert "error:" not in found.err


def test_version(crossforge: Command) -> None:
    assert crossforge("--version").out == "0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.yaml"], "none.yaml: no such config file"),
        (["trian", "x"], "No such command 'trian'"),
        (["train"], "Missing argument"),
        (["train", "x.yaml", "--until", "nowhere"], "nowhere"),
        (["train", "x.yaml", "--nope"], "--nope"),
        (["search", "somewhere"], "Missing argument"),
        (["search", "none/such/folder", "query"], "none/such/folder: no such folder"),
        (["rerank", "none/such/folder", "query", "none.jsonl"], "none.jsonl: no such file"),
        (["inspect", "none"], "none: no such folder"),
        (["inspect", "none.yaml"], "none.yaml: no such file"),
        (["rerank", "x", "query", "docs.csv"], "docs.csv: documents are read from JSONL, or from .txt"),
        (["inspect", "x", "--max-length", "3"], "--max-length"),
        (["adapt", ".", "--out", "s3://bucket/run"], "s3:/bucket/run: a run needs a path on a file system, not a URI"),
        (["fetch", "scifact", "--to", "s3://bucket/x"], "s3:/bucket/x: a collection needs a path on a file system"),
        (["serve", "x", "--corpus", "y", "--judgements", "."], ".: is a folder; name a file for a table of judgements"),
        (["evaluate"], "either a config, or both --reranker and --collection"),
        (["evaluate", "--reranker", "x"], "either a config, or both --reranker and --collection"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(crossforge: Command, arguments: list[str], message: str) -> None:
    assert message in error_line(crossforge(*arguments))


def test_a_model_that_is_not_in_the_hub_cache_is_told_with_what_a_command_can_do(
    crossforge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = error_line(crossforge("search", "owner/no model", "query", "--corpus", tmp_path))
    way_out = "`hf download 'owner/no model'` puts it there"
    assert found.startswith(f"error: owner/no model: no such folder, and not in the hub cache; {way_out} (")


def test_an_unknown_key_is_told_in_one_line(crossforge: Command, config: Path) -> None:
    found = error_line(crossforge("train", config, "--set", "training.epoch=3"))
    assert found == f"error: {config}: unknown key training.epoch; did you mean training.epochs?"


def test_a_folder_in_place_of_a_config_is_told_in_one_line(crossforge: Command, tmp_path: Path) -> None:
    assert str(tmp_path) in error_line(crossforge("train", tmp_path))


def test_a_folder_that_is_neither_package_nor_collection_is_told(crossforge: Command, tmp_path: Path) -> None:
    assert "neither a reranker package" in error_line(crossforge("inspect", tmp_path))


def test_a_long_message_stays_on_one_line_and_keeps_its_brackets(crossforge: Command, tmp_path: Path) -> None:
    name = "a [red]very[/] long name " * 12
    assert f"error: {tmp_path / name}: no such folder" == error_line(crossforge("inspect", tmp_path / name))


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["crossforge", "--debug", "inspect", "none"])
    with pytest.raises(Exception, match="none: no such folder"):
        main()


def test_an_interrupted_run_is_told_in_one_line(
    crossforge: Command, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("crossforge_train.api.running.run_stages", interrupted)
    assert "the same command resumes" in error_line(crossforge("train", config), status=130)


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyboardInterrupt(), ("interrupted", 130)), (OSError(28, "No space left on device"), ("same command again", 1))],
)
@pytest.mark.parametrize(
    ("command", "reads"),
    [
        ("rerank PACKAGE q", "searching.Reranker"),
        ("evaluate --reranker PACKAGE --collection x", "evaluating.refuse"),
        ("serve PACKAGE", "serving.holds_documents"),
    ],
)
def test_only_a_command_that_resumes_says_so(
    crossforge: Command, monkeypatch: pytest.MonkeyPatch, command: str, reads: str, error: BaseException, said: tuple
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    words, status = said
    monkeypatch.setattr(f"crossforge_train.cli.{reads}", failing)
    assert error_line(crossforge(*command.split(), stdin="bread\n"), status=status).endswith(words)


def made_of(cause: Exception) -> InputError:
    error = InputError("base model x: no cross-encoder can be made of it: RuntimeError")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "no space left on the disk"),
        (OSError(27, "File too large"), "a file is larger than this process may write; lift the limit (ulimit -f)"),
        (OSError(122, "Disk quota exceeded"), "your quota of the disk is used up"),
        (RuntimeError("I/O error: File too large (os error 27)"), "a file is larger than this process may write"),
        (OSError("20 requested and 0 written"), "no space left on the disk"),
        (made_of(RuntimeError("I/O error: No space left on device (os error 28)")), "no space left on the disk"),
        (PermissionError(13, "Permission denied", "/some/x"), "/some/x: permission denied"),
        (OSError(30, "Read-only file system", "/some/x"), "/some/x: read-only file system"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed"),
    ],
)
def test_a_machine_that_lacks_something_is_told_in_one_line(
    crossforge: Command, config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("crossforge_train.api.running.run_stages", failing)
    assert message in error_line(crossforge("train", config))


def test_a_bug_keeps_its_traceback(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossforge_train.api.running.run_stages", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["crossforge", "train", str(config)])
    with pytest.raises(ZeroDivisionError):
        main()


def test_search_needs_a_corpus_where_the_package_has_none(crossforge: Command, tmp_path: Path) -> None:
    assert "name one with --corpus FILE" in error_line(crossforge("search", tmp_path, "query"))


def test_search_gives_json(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("search", toy_package, "bread dough oven", "-k", "3", "--json")
    assert found.status == 0
    assert found.json["query"] == "bread dough oven"
    assert [row["rank"] for row in found.json["results"]] == [1, 2, 3]
    assert all(0 < row["probability"] < 1 and row["first_stage_rank"] >= 1 for row in found.json["results"])


def test_more_results_than_are_reranked_are_told(crossforge: Command, toy_package: Path) -> None:
    depth = crossforge("inspect", toy_package, "--json").json["depth"]
    found = crossforge("search", toy_package, "bread", "-k", depth + 1, "--json")
    assert found.err == f"  no more than {depth} results: so many candidates are reranked; raise --depth\n"
    assert crossforge("search", toy_package, "bread", "-k", depth, "--json").err == ""


def test_search_takes_another_corpus(crossforge: Command, toy_package: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("bread from the oven\nboat and sail\n")
    found = crossforge("search", toy_package, "oven", "--corpus", tmp_path / "notes.txt", "--json")
    assert [row["doc_id"] for row in found.json["results"]] == ["0"]


def test_search_shows_that_it_embeds_another_corpus(
    tiny_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not searching.has_encoder(str(tmp_path / "package"))
    texts = [f"bread oven {number}" for number in range(9)]
    retriever = fit_retriever(as_documents(texts), "dense", {"encoder": tiny_onnx})
    save_recipe(tmp_path / "package" / "first_stage", retriever)
    (tmp_path / "notes.txt").write_text("\n".join(texts))
    assert searching.has_encoder(str(tmp_path / "package"))
    reranker: Any = SimpleNamespace(folder=tmp_path / "package")
    documents, found = searching.first_stage(reranker, str(tmp_path / "package"), tmp_path / "notes.txt")
    assert (len(documents), found.kind) == (9, "dense")
    said = capsys.readouterr().err
    assert "embedding 9 documents with tiny …" in said
    assert "package.include_corpus: true holds its index" in said
    _, found = searching.first_stage(reranker, "package", tmp_path / "notes.txt", lexical=True)
    assert (found.kind, capsys.readouterr().err) == ("lexical", "")


def test_search_reads_several_passages_of_a_long_document(
    crossforge: Command, toy_package: Path, tmp_path: Path
) -> None:
    # TF-IDF takes the first half, where the oven is the only word that counts; the model prefers the second.
    (tmp_path / "notes.txt").write_text(f"{'the oven of old in a good ' * 7}{'oven bread dough flour yeast ' * 9}\n")

    def found(*options: object) -> dict:
        (row,) = crossforge("search", toy_package, "oven", "--corpus", tmp_path / "notes.txt", "--json", *options).json[
            "results"
        ]
        return row

    one, nine = found(), found("--passages", 9)
    assert "bread" not in one["passage"]
    assert "bread" in nine["passage"]
    assert nine["score"] > one["score"]
    assert found("--passages", 50) == nine


def test_search_explains_its_steps(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("search", toy_package, "bread oven", "--explain", "-k", "3")
    assert [line[:2] for line in found.out.splitlines()[1:5]] == ["1.", "2.", "3.", "4."]
    assert len(found.out.splitlines()) == 1 + 4 + 1 + 3
    explained = crossforge("search", toy_package, "bread oven", "--explain", "--json").json
    assert explained["query"] == "bread oven"
    assert {"first_stage_rank", "first_stage_score", "passage", "logit", "probability", "rank", "movement"} <= set(
        explained["rows"][0]
    )


def test_search_compares_both_orders(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("search", toy_package, "bread dough oven", "-k", "2", "--compare")
    assert "TF-IDF" in found.out
    assert "reranked" in found.out
    assert "baking" in found.out


def test_search_that_finds_nothing_says_so(crossforge: Command, toy_package: Path) -> None:
    assert crossforge("search", toy_package, "zzzz").out == "nothing found\n"
    assert crossforge("search", toy_package, "zzzz", "--json").json["results"] == []
    assert crossforge("search", toy_package, "zzzz", "--compare").status == 0


@pytest.mark.parametrize("command", ["search", "rerank"])
def test_a_query_that_is_not_utf8_is_told_in_one_line(crossforge: Command, tmp_path: Path, command: str) -> None:
    assert "the query is not UTF-8 text" in error_line(crossforge(command, tmp_path, "oven\udce9"))


@pytest.mark.parametrize("command", ["search", "rerank"])
def test_an_empty_query_is_told_in_one_line(crossforge: Command, toy_package: Path, command: str) -> None:
    assert "query is empty" in error_line(crossforge(command, toy_package, "  ", stdin="bread\n"))


def test_rerank_reads_lines_from_standard_input(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("rerank", toy_package, "oven", "--json", stdin="bread oven\n\nboat sail\n")
    assert sorted(row["passage"] for row in found.json["results"]) == ["boat sail", "bread oven"]


def test_rerank_reads_jsonl_from_standard_input(crossforge: Command, toy_package: Path) -> None:
    lines = '{"_id": "a", "title": "Oven", "text": "bread"}\n{"_id": "b", "text": "boat"}\n'
    found = crossforge("rerank", toy_package, "oven", "-k", "1", "--json", stdin=lines)
    (best,) = found.json["results"]
    assert best["doc_id"] in ("a", "b")
    assert best["first_stage_rank"] is None


def test_rerank_gives_a_table(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("rerank", toy_package, "oven", stdin="bread [oven]\nboat sail\n")
    assert "probability" in found.out
    assert "bread [oven]" in found.out


def test_half_a_surrogate_pair_in_a_document_is_shown(crossforge: Command, toy_package: Path) -> None:
    line = '{"_id": "a", "title": "Oven \\ud83d", "text": "bread \\ud83d"}\n'
    shown = crossforge("rerank", toy_package, "oven", stdin=line)
    assert (shown.status, "Oven ? bread ?" in shown.out) == (0, True)
    (found,) = crossforge("rerank", toy_package, "oven", "--json", stdin=line).json["results"]
    assert (found["title"], found["passage"]) == ("Oven \ud83d", "Oven \ud83d\nbread \ud83d")


def test_rerank_of_nothing_is_told_in_one_line(crossforge: Command, toy_package: Path) -> None:
    assert "standard input: no documents in it" in error_line(crossforge("rerank", toy_package, "q", stdin=" \n"))


@pytest.mark.parametrize(
    ("stdin", "line"),
    [
        ('{"text": "a"}\n{"text": \n', 2),
        ('\n{"text": "a"}\n\n{"text": \n', 4),
        ('{"text": "a"}\n{"title": "b"}\n', 2),
    ],
    ids=["malformed", "malformed below empty lines", "without text"],
)
def test_a_malformed_line_of_standard_input_is_named(
    crossforge: Command, toy_package: Path, stdin: str, line: int
) -> None:
    assert f"standard input, line {line}: " in error_line(crossforge("rerank", toy_package, "q", stdin=stdin))


def test_a_byte_order_mark_on_standard_input_changes_nothing(crossforge: Command, toy_package: Path) -> None:
    found = crossforge("rerank", toy_package, "oven", "--json", stdin='\ufeff{"_id": "a", "text": "bread"}\n')
    assert [one["doc_id"] for one in found.json["results"]] == ["a"]


def test_a_malformed_line_of_a_file_is_named(crossforge: Command, toy_package: Path, tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "a"}\n\n{"text": \n')
    found = error_line(crossforge("rerank", toy_package, "q", tmp_path / "docs.jsonl"))
    assert f"{tmp_path / 'docs.jsonl'}, line 3: not valid JSON" in found


def test_inspect_of_a_package_gives_json(crossforge: Command, toy_package: Path) -> None:
    facts = crossforge("inspect", toy_package, "--json").json
    assert facts["max_length"] == 48
    assert "all hashes right" in facts["files"]


def test_inspect_of_a_collection_gives_json(crossforge: Command, toy_collection: Path) -> None:
    facts = crossforge("inspect", toy_collection, "--json").json
    assert facts["documents"] == 72
    assert facts["splits"]["test"]["queries"] == 24
    assert facts["tokens"] is None
    assert facts["first_stage"]["test"]["depths"]["100"]["recall"] > 0.9


def test_inspect_of_a_config_looks_at_its_splits_and_its_base_model(crossforge: Command, config: Path) -> None:
    facts = crossforge("inspect", config, "--json").json
    assert set(facts["splits"]) == {"train", "dev", "test"}
    assert facts["tokens"]["max_length"] == 48
    assert list(facts["first_stage"]["dev"]["depths"]) == ["10", "20"]
    shown = crossforge("inspect", config).out
    assert "nDCG@10 of the first stage itself" in shown
    assert facts["first_stage"]["test"]["detectable"] > 0
    assert f"test {facts['first_stage']['test']['detectable']:.3f}" in shown.split("can show")[1]


def test_inspect_of_a_config_counts_what_people_judged_in_its_run(crossforge: Command, config: Path) -> None:
    before = crossforge("inspect", config, "--json").json["splits"]
    run = RunFolder(load_config(config).folder)
    run.path.mkdir(parents=True, exist_ok=True)
    write_lines(run.typed_queries, [{"_id": "typed-1", "text": "nobody asked that before"}])
    run.judgements.write_text("typed-1\tbaking-0\t1\n")
    after = crossforge("inspect", config, "--json").json["splits"]
    assert after["train"]["queries"] == before["train"]["queries"] + 1


def test_inspect_of_a_config_without_its_base_model_says_so(crossforge: Command, config: Path) -> None:
    config.write_text(config.read_text().replace("base_model: ", "base_model: ./none # "))
    facts = crossforge("inspect", config, "--json").json
    assert facts["tokens"] is None
    assert "tokens were not looked at: base model ./none" in facts["warnings"][-1]


def test_what_the_stage_collect_wrote_is_a_collection_too(crossforge: Command, toy_run: Path) -> None:
    assert crossforge("inspect", toy_run / "collect" / "collection", "--json").json["documents"] == 72


def test_inspect_gives_a_table(crossforge: Command, toy_collection: Path) -> None:
    assert "duplicate documents" in crossforge("inspect", toy_collection).out


def test_train_gives_one_json_value_and_skips_what_is_done(
    crossforge: Command, finished_config: Path, toy_run: Path
) -> None:
    before = (toy_run / "package" / "reranker.json").stat().st_mtime_ns
    found = crossforge("train", finished_config, "--json")
    assert found.err == ""
    assert found.json["folder"] == str(toy_run / "package")
    assert found.status == (2 if found.json["verdict"] == "REGRESSION" else 0)
    assert (toy_run / "package" / "reranker.json").stat().st_mtime_ns == before


def test_train_shows_stages_and_verdict(crossforge: Command, finished_config: Path) -> None:
    found = crossforge("train", finished_config)
    assert "finetune is already done" in found.err
    assert "test split: test" in found.out
    assert " against the first stage: nDCG@10 " in found.out


def test_quiet_says_nothing_on_standard_error(crossforge: Command, finished_config: Path) -> None:
    assert crossforge("train", finished_config, "--quiet").err == ""


def test_mine_ends_after_mining(crossforge: Command, config: Path) -> None:
    found = crossforge("mine", config, "--json")
    folder = Path(found.json["folder"])
    assert found.status == 0
    assert (folder / "groups").is_dir()
    assert not (folder.parent / "finetune").exists()


def test_evaluate_measures_any_reranker_on_any_collection(
    crossforge: Command, toy_package: Path, tmp_path: Path
) -> None:
    other = write_collection(tmp_path / "other", train=10, test=12, seed=5)
    found = crossforge("evaluate", "--reranker", toy_package, "--collection", other, "--depth", "10", "--json")
    assert found.status == (2 if found.json["verdict"] == "REGRESSION" else 0)
    (split,) = found.json["splits"]
    assert (split["split"], split["queries"], found.json["metric"]) == ("test", 12, "nDCG@10")
    names = [system["name"] for system in split["systems"]]
    assert names == [
        "first stage", "BM25", "BM25, whole corpus", "base as bi-encoder", "base as bi-encoder, fused",
        "dense, whole corpus", "hybrid, whole corpus", "reranker alone", "as shipped",
    ]  # fmt: skip
    # Without a dev split the best free alternative of this split decides, too.
    means = {system["name"]: system["means"]["nDCG@10"] for system in split["systems"][1:-2]}
    decisive = [each["baseline"] for each in split["comparisons"] if each["decisive"]]
    assert decisive == ["first stage", max(means, key=means.__getitem__)]


def test_evaluate_of_a_split_that_is_not_there_is_told(
    crossforge: Command, toy_package: Path, toy_collection: Path
) -> None:
    found = crossforge("evaluate", "--reranker", toy_package, "--collection", toy_collection, "--split", "dev")
    assert "no split 'dev'; it has test, train" in error_line(found)


@pytest.mark.slow
def test_a_stage_is_a_script_too(config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crossforge_train.mine", str(config)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "mine: " in done.stdout
    assert (config.parent / "runs" / "toy" / "mine" / "groups").is_dir()


def test_the_installed_command_prints_one_line_and_no_traceback() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("crossforge")), "inspect", "none"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: none: no such folder\n"
