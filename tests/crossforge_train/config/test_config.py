"""The config file: what it accepts, and what it says about what it does not accept."""

from pathlib import Path

import pytest
import yaml
from support import marked

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config, make_config, override_of
from crossforge_train.config.run import Config

ROOT = Path(__file__).parents[3]
MINIMAL = {"name": "mine", "collection": {"builtin": "pydocs"}}


def written(folder: Path, values: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def problem(path: Path, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_minimal_config_takes_every_default(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    assert config == Config(**MINIMAL)
    assert config.folder == Path("runs/mine")


@pytest.mark.parametrize(
    "text",
    ["list_net", "find #1 hits", "Given a web query: retrieve", "null", "1e3", "0.5", "- a", "*all", "@x", "", " a ",
     "a\nb", "2024-13-45", 'say "a"', "\x7f", "schön 🎉", "a " * 300],
)  # fmt: skip
def test_an_override_gives_the_text_that_it_is_made_of(text: str) -> None:
    assert make_config(MINIMAL, [override_of("training.prompts.query", text)]).training.prompts.query == text


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", 1e-5), ("epochs", 3.0), ("report_to", ()), ("lora", None)]
)
def test_an_override_gives_the_value_that_it_is_made_of(key: str, value: object) -> None:
    assert getattr(make_config(MINIMAL, [override_of(f"training.{key}", value)]).training, key) == value


def test_an_override_quotes_no_more_than_it_must() -> None:
    assert override_of("training.loss", "list_net") == "training.loss=list_net"
    assert override_of("training.instruction", "find #1 hits") == 'training.instruction="find #1 hits"'


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configs_load(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_the_quickstart_leaves_to_its_run_what_negatives_it_takes_and_whether_its_teacher_is_followed() -> None:
    config = load_config(ROOT / "configs" / "quickstart.yaml")
    assert config.mining.teacher == "base"
    assert (config.mining.choice, config.training.distillation_weight) == ("auto", "auto")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("training", "epochs", True), ("training", "minutes", False), ("evaluation", "depths", [10, True])],
)
def test_truth_is_no_number(tmp_path: Path, section: str, key: str, value: object) -> None:
    path = written(tmp_path, {**MINIMAL, section: {key: value}})
    shown = "false" if value is False else "true"
    assert problem(path) == f"{path}: {section}.{key}: expected a number, not {shown}"


@pytest.mark.parametrize(
    ("section", "wrong", "right"),
    [
        ("training", "learning_rte", "training.learning_rate"),
        ("mining", "negative", "mining.negatives"),
        ("evaluation", "metrics", "evaluation.metric"),
    ],
)
def test_an_unknown_key_names_the_nearest_key_and_the_file(
    tmp_path: Path, section: str, wrong: str, right: str
) -> None:
    path = written(tmp_path, {**MINIMAL, section: {wrong: 1}})
    assert problem(path) == f"{path}: unknown key {section}.{wrong}; did you mean {right}?"


def test_an_unknown_section_names_the_nearest_section(tmp_path: Path) -> None:
    assert "unknown key trainning; did you mean training?" in problem(written(tmp_path, {**MINIMAL, "trainning": {}}))


def test_an_unknown_key_like_no_other_lists_the_known_ones(tmp_path: Path) -> None:
    found = problem(written(tmp_path, {**MINIMAL, "package": {"zzz": 1}}))
    assert "known here: allow_regression, budget_ms, layers, int8, include_corpus" in found


def test_students_need_a_budget_and_each_number_of_layers_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, {**MINIMAL, "package": {"layers": [4]}})
    assert "package: layers: students are picked within a time that a query may take; set budget_ms" in problem(path)
    found = load_config(path, ["package.budget_ms=100", "package.layers=[2, 6, 4, 6]"])
    assert found.package.layers == (6, 4, 2)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "epochs", "many"),
        ("training", "epochs", 0),
        ("training", "loss", "hinge"),
        ("mining", "negatives", 2.5),
        ("mining", "near_copy", 1.5),
        ("first_stage", "depth", 0),
        ("evaluation", "permutations", 10),
        ("package", "include_corpus", "perhaps"),
        ("package", "layers", 4),
    ],
)
def test_a_wrong_value_names_key_file_and_value(tmp_path: Path, section: str, key: str, value: object) -> None:
    path = written(tmp_path, {**MINIMAL, section: {key: value}})
    found = problem(path)
    assert found.startswith(f"{path}: {section}.{key}: ")
    assert repr(value) in found


def test_two_wrong_keys_are_both_named_on_one_line(tmp_path: Path) -> None:
    found = problem(written(tmp_path, {**MINIMAL, "training": {"epochs": -1, "warmup": 2}}))
    assert "training.epochs" in found
    assert "training.warmup" in found


def test_a_proof_needs_a_split(tmp_path: Path) -> None:
    path = written(tmp_path, {**MINIMAL, "collection": {**MINIMAL["collection"], "test": []}})
    assert problem(path) == (
        f"{path}: collection: test names no split, so nothing could be proven; name one, or set aside a share"
    )


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_a_name_that_is_no_plain_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "name" in problem(written(tmp_path, {**MINIMAL, "name": name}))


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("s3://key:se/cret@bucket/folder", "holds credentials, which whoever reads the config would see"),
        ("gs://:secret@bucket", "holds credentials"),
        (
            "ftp://host/folder",
            "expected a URI that starts with s3://, gs://, hdfs:// or file:// (found 'ftp://host/folder')",
        ),
        ("bucket/folder", "expected a URI"),
        ("", "expected a URI"),
    ],
)
def test_a_store_is_a_uri_without_credentials(tmp_path: Path, store: str, told: str) -> None:
    path = written(tmp_path, {**MINIMAL, "store": store})
    assert problem(path).startswith(f"{path}: store: {told}")
    assert "cret" not in problem(path)


@pytest.mark.parametrize(
    "store", ["s3://bucket/a?endpoint_override=host:9000", "hdfs://user@host:9000/a", "hdfs://host:9000/a@b", None]
)
def test_a_run_may_have_a_store(tmp_path: Path, store: str | None) -> None:
    assert load_config(written(tmp_path, {**MINIMAL, "store": store})).store == store


@pytest.mark.parametrize("uri", ["s3://bucket/runs", "gs://bucket", "file:///runs"])
def test_a_uri_is_no_folder(tmp_path: Path, uri: str) -> None:
    path = written(tmp_path, {**MINIMAL, "runs": uri})
    assert problem(path) == f"{path}: runs: expected a folder; name an object store in `store` (found '{uri}')"
    documents = {"corpus": "docs.jsonl", "generator": {"model": "a/model", "cache": uri}}
    path = written(tmp_path, {**MINIMAL, "collection": {"documents": documents}})
    assert f"generator.cache: expected a path on a file system, not a URI (found '{uri}')" in problem(path)


def test_a_missing_name_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "name is missing" in problem(written(tmp_path, {"collection": {"builtin": "pydocs"}}))


@pytest.mark.parametrize("collection", [{}, {"builtin": "pydocs", "beir": "somewhere"}])
def test_a_collection_has_exactly_one_source(tmp_path: Path, collection: dict) -> None:
    assert "exactly one of builtin" in problem(written(tmp_path, {"name": "mine", "collection": collection}))


@pytest.mark.parametrize("dev", [0.0, 1.0, 1, -0.5, 3])
def test_a_dev_share_outside_zero_and_one_is_refused(tmp_path: Path, dev: float) -> None:
    assert "share" in problem(written(tmp_path, {"name": "mine", "collection": {"builtin": "pydocs", "dev": dev}}))


def test_a_dev_of_the_wrong_type_is_named_by_its_key_once(tmp_path: Path) -> None:
    found = problem(written(tmp_path, {"name": "mine", "collection": {"builtin": "pydocs", "dev": ["dev"]}}))
    assert "collection.dev: " in found, "the key is collection.dev; there is no collection.dev.str"


@pytest.mark.parametrize("test", [0.0, 1.0, 1, -0.5])
def test_a_test_share_outside_zero_and_one_is_refused(tmp_path: Path, test: float) -> None:
    assert "share" in problem(written(tmp_path, {"name": "mine", "collection": {"builtin": "pydocs", "test": test}}))


FILES = {"corpus": "c.csv", "queries": "q.csv", "qrels": "j.csv"}


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        ({"bier": "folder"}, "unknown key collection.bier; did you mean collection.beir?"),
        (
            {"files": {**FILES, "querys": "x"}},
            "key collection.files.querys; did you mean collection.files.queries?",
        ),
        ({"files": {"corpus": "c.csv", "queries": "q.csv"}}, "collection.files.qrels is missing"),
        ({"files": {**FILES, "qrels": {"train": 3}}}, "collection.files.qrels.train: "),
        ({"files": {**FILES, "corpus_columns": {"txt": "a"}}}, "did you mean collection.files.corpus_columns.text?"),
        ({"pairs": {"files": "p.csv", "columns": {"qury": "q"}}}, "did you mean collection.pairs.columns.query?"),
        ({"pairs": 3}, "collection.pairs: "),
        ({"trec": {"documents": [], "topics": "t", "qrels": "q"}}, "collection.trec.documents: "),
        ({"datasets": {"path": "a/b", "corpus": "corpus"}}, "collection.datasets: corpus, queries and qrels belong"),
        (
            {"mix": [{"beir": "a"}, {"bier": "b"}]},
            "collection.mix[1].bier; did you mean collection.mix[1].beir?",
        ),
        ({"mix": [{"beir": "a"}, {"beir": "b", "weight": "x"}]}, "collection.mix[1].weight: "),
        ({"mix": [{"beir": "a"}, {"files": {"corpus": "c"}}]}, "collection.mix[1].files.queries is missing"),
        ({"beir": "folder", "leaks": "ignore"}, "collection.leaks: "),
    ],
)
def test_a_wrong_key_within_a_source_is_named_in_full(tmp_path: Path, collection: dict, message: str) -> None:
    path = written(tmp_path, {"name": "mine", "collection": collection})
    found = problem(path)
    assert found.startswith(f"{path}: ")
    assert message in found
    assert "BeforeValidator" not in found


def test_short_and_long_forms_of_a_source_mean_the_same(tmp_path: Path) -> None:
    def source(collection: dict) -> object:
        return load_config(written(tmp_path, {"name": "mine", "collection": collection})).collection.chosen()

    assert source({"pairs": "p.csv"}) == source({"pairs": {"files": {"train": "p.csv"}}})
    assert source({"datasets": "a/b"}) == source({"datasets": {"path": "a/b"}})
    assert source({"ir_datasets": "x/train"}) == source({"ir_datasets": {"train": "x/train"}})
    assert source({"files": FILES}) == source({"files": {**FILES, "qrels": {"train": "j.csv"}}})


def test_distillation_needs_a_teacher(tmp_path: Path) -> None:
    path = written(tmp_path, {**MINIMAL, "training": {"distillation_weight": 0.5}, "mining": {"teacher": None}})
    assert problem(path) == f"{path}: training.distillation_weight needs a teacher: set mining.teacher"
    assert load_config(path, ["mining.teacher=base"]).training.uses_teacher


def test_a_training_that_learns_from_nothing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {**MINIMAL, "training": {"label_weight": 0, "distillation_weight": 0}})
    assert problem(path).endswith("label_weight and distillation_weight are both 0: nothing is left to learn from")
    teacher = ["training.distillation_weight=1", "mining.teacher=base"]
    assert load_config(path, teacher).training.label_weight == 0


@pytest.mark.parametrize(
    ("key", "wrong", "right"),
    [
        ("training.loss", "listnet", "list_net"),
        ("training.loss", "lambda", "lambda_rank"),
        ("training.distillation", "margin", "margin_mse"),
        ("training.long_documents", "best", "best_window"),
        ("mining.choice", "stratify", "stratified"),
    ],
)
def test_an_unknown_value_names_the_nearest_one(tmp_path: Path, key: str, wrong: str, right: str) -> None:
    path = written(tmp_path, MINIMAL)
    assert problem(path, (f"{key}={wrong}",)) == f"{path}: {key}: no value {wrong!r}; did you mean {right}?"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.learning_rate=auot", "expected a number or auto (found 'auot'); did you mean auto?"),
        ("training.max_length=atuo", "expected a whole number or auto (found 'atuo'); did you mean auto?"),
        ("training.max_length=64.5", "expected a whole number or auto (found 64.5)"),
        ("training.max_length=3", "Input should be greater than or equal to 16 (found 3)"),
        ("evaluation.max_queries=all", "expected a whole number or auto (found 'all')"),
        ("first_stage.approximate=auot", "expected true, false or auto (found 'auot'); did you mean auto?"),
        ("training.merge=auot", "expected a number, a list or auto (found 'auot'); did you mean auto?"),
        ("training.merge=[0.1, 2]", "Input should be less than or equal to 1 (found 2)"),
        ("training.merge=[0.1, x]", "Input should be a valid number, unable to parse string as a number (found 'x')"),
        ("training.merge=[x, y]", "Input should be a valid number, unable to parse string as a number (found 'x')"),
        ("training.lora=auot", "expected a section or auto (found 'auot'); did you mean auto?"),
        ("collection.dev=[dev]", "expected a text or a number (found ['dev'])"),
    ],
)
def test_a_value_of_none_of_several_types_is_told_all_of_them(tmp_path: Path, override: str, told: str) -> None:
    path = written(tmp_path, MINIMAL)
    assert problem(path, (override,)) == f"{path}: {override.partition('=')[0]}: {told}"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("collection=coll", "expected a section with keys such as builtin, beir, files (found 'coll')"),
        ("first_stage.options=fast", "expected a section (found 'fast')"),
        ("training.report_to=tensorboard", "expected a list such as [tensorboard] (found 'tensorboard')"),
        ("collection.beir=3", "expected a path (found 3)"),
        ("name=3", "expected a text (found 3)"),
        ("training.prompts.query=query: ", "expected a text; put it in quotes (found {'query': None})"),
    ],
)
def test_a_value_of_another_type_is_told_what_it_may_be(tmp_path: Path, override: str, told: str) -> None:
    path = written(tmp_path, MINIMAL)
    assert problem(path, (override,)).startswith(f"{path}: {override.partition('=')[0]}: {told}")


def test_two_sources_are_told(tmp_path: Path) -> None:
    found = problem(written(tmp_path, MINIMAL), ("collection.pairs=p.csv", "collection.beir=b", "collection.builtin="))
    assert found.endswith("; found beir and pairs")


def test_a_section_that_might_be_a_word_is_told_by_its_keys(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    found = problem(path, ("training.lora={rnk: 3, alpha: x}",))
    assert found.startswith(f"{path}: training.lora.alpha: Input should be a valid number")
    assert found.endswith("; unknown key training.lora.rnk; did you mean training.lora.rank?")


def test_a_value_like_no_other_lists_the_known_ones(tmp_path: Path) -> None:
    found = problem(written(tmp_path, {**MINIMAL, "training": {"loss": "zzz"}}))
    assert "'group_softmax'" in found
    assert "'adr_mse'" in found


@pytest.mark.parametrize(
    "mining", [{"negatives": 2, "random_negatives": 3}, {"skip_top": 50, "window": 50}], ids=["random", "window"]
)
def test_mining_settings_that_contradict_each_other_are_refused(tmp_path: Path, mining: dict) -> None:
    assert ": mining: " in problem(written(tmp_path, {**MINIMAL, "mining": mining}))


def test_the_deciding_metric_is_one_of_the_measures(tmp_path: Path) -> None:
    found = problem(written(tmp_path, {**MINIMAL, "evaluation": {"metric": "AP"}}))
    assert "evaluation.metric AP is not among evaluation.measures" in found


def test_a_byte_order_mark_in_a_config_changes_nothing(tmp_path: Path) -> None:
    assert load_config(marked(written(tmp_path, MINIMAL))) == Config(**MINIMAL)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: no such config file"


def test_a_folder_in_place_of_a_config_is_an_input_error(tmp_path: Path) -> None:
    assert str(tmp_path) in problem(tmp_path)


@pytest.mark.parametrize("text", ["name: [", "a: b: c", "\tname: x"])
def test_bad_yaml_is_told_on_one_line_with_its_place(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    found = problem(path)
    assert found.startswith(f"{path}: not valid YAML")
    assert "line 1" in found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mining: {negatives: 9}\n\nmining: {window: 70}\n", "line 3: the key 'mining' is in line 1 as well"),
        ("mining:\n  negatives: 9\n  window: 70\n  negatives: 3\n", "line 4: the key 'negatives' is in line 2 as well"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    assert problem(path) == f"{path}: not valid YAML ({complaint}; make them one)"


def test_a_key_may_stand_beside_one_that_is_merged(tmp_path: Path) -> None:
    """Also if a section is merged into another before it is read itself."""
    text = """
name: x
collection:
  mix:
  - &one {<<: &base {beir: some/folder, weight: 1}, weight: 2}
  - {<<: *one, <<: *base, name: other, weight: 3}
"""
    mix = load_config(written(tmp_path, text)).collection.mix
    assert mix is not None
    assert [part.weight for part in mix] == [2, 3]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "a config is a mapping" in problem(written(tmp_path, text))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("[" * 20_000 + "]" * 20_000, "nested too deeply"),
        ("9" * 5_000, "integer"),
        ("2026-13-45", "month must be in 1..12"),
    ],
    ids=["deep", "long", "date"],
)
def test_yaml_that_python_cannot_hold_is_told_in_one_short_line(tmp_path: Path, value: str, complaint: str) -> None:
    path = written(tmp_path, f"name: {value}")
    for found in (problem(path), problem(written(tmp_path, MINIMAL), (f"name={value}",))):
        assert complaint in found
        assert len(found) < 1000


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("seed=-1", "seed: Input should be greater than or equal to 0"),
        (f"seed={10**30}", "seed: Input should be less than 4294967296"),
        (f"seed=0x{'f' * 5000}", "less than 4294967296 (found a number of too many digits)"),
        (f"training.loss=0x{'f' * 5000}", "training.loss"),
        (f"seed={'x' * 5000}", "xxx…)"),
        ("training.learning_rate=.inf", "training.learning_rate: Input should be a finite number"),
        ("training.weight_decay=.nan", "training.weight_decay: Input should be a finite number"),
        ("compute.gpus_per_worker=-0.5", "compute.gpus_per_worker: Input should be greater than or equal to 0"),
        ("compute.gpus_per_worker=2", "compute.gpus_per_worker: Input should be less than or equal to 1 (found 2)"),
        ("compute.gpus_per_worker=.nan", "compute.gpus_per_worker: Input should be a finite number"),
        ("compute.gpus_per_worker=true", "compute.gpus_per_worker: expected a number, not true"),
        ("compute.gpus_per_worker=1e-9", "compute.gpus_per_worker: expected 0, or a number from 0.01 to 1"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(tmp_path: Path, override: str, complaint: str) -> None:
    assert complaint in problem(written(tmp_path, MINIMAL), (override,))


@pytest.mark.parametrize("override", ['base_model="a\\0b"', 'collection={pairs: "a\\0b"}', 'runs="\\0"'])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, override: str) -> None:
    assert "holds the character 0" in problem(written(tmp_path, MINIMAL), (override,))


def test_overrides_replace_and_add_keys(tmp_path: Path) -> None:
    path = written(tmp_path, {**MINIMAL, "training": {"epochs": 1}})
    config = load_config(
        path, ["training.epochs=2.5", "evaluation.measures=[AP, nDCG@10]", "seed=7", "mining.max_queries=null"]
    )
    assert config.training.epochs == 2.5
    assert config.evaluation.measures == ("AP", "nDCG@10")
    assert config.seed == 7
    assert config.mining.max_queries is None


def test_the_last_of_two_overrides_counts(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, MINIMAL), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize("override", ["training.epochs", "=2", "training.=2", "name.first=2", "seed=[1"])
def test_a_bad_override_is_named_as_it_was_given(tmp_path: Path, override: str) -> None:
    assert problem(written(tmp_path, MINIMAL), (override,)).startswith(f"--set {override}: ")


def test_an_override_of_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    assert "did you mean training.epochs?" in problem(written(tmp_path, MINIMAL), ("training.epoch=2",))


def test_an_override_into_a_section_left_empty_in_the_file_works(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\ncollection: {builtin: pydocs}\ntraining:\n")
    assert load_config(path, ["training.epochs=2"]).training.epochs == 2
