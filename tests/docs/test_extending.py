"""The packages of docs/extending.md, installed as if by pip, do what the page says."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support import write_lines

from crossforge import Document, InputError, PackageError, Reranker, RetrieveAndRerank
from crossforge.backends.registry import BACKENDS
from crossforge.files import write_json
from crossforge.heads.registry import HEADS
from crossforge.plugins import Registry
from crossforge.retrievers.registry import RETRIEVERS
from crossforge_train import registries
from crossforge_train.adaptation.reader import read_adapted
from crossforge_train.collections.readers.reader import source_depends_on
from crossforge_train.config.loading import load_config
from crossforge_train.config.run import Config
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.collect import load_collection
from crossforge_train.stages.mine import STAGE as MINE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
WORDS = [f"{first * 2}{second * 2}" for first in "abcdefgh" for second in "abcdefgh"]
REGISTRIES = [BACKENDS, RETRIEVERS, HEADS, registries.LOSSES, registries.DISTILLATIONS, registries.READERS,
              registries.TEACHERS, registries.MAKERS]  # fmt: skip


def snippets(heading: str) -> dict[str, str]:
    """File name -> text of the code blocks below a heading."""
    chapter = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', chapter, re.DOTALL))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Installs the package below a heading, and gives what stands in its config."""

    def installed(heading: str) -> dict[str, Any]:
        found, site = snippets(heading), tmp_path / "site-packages"
        project = tomllib.loads(found["pyproject.toml"])["project"]
        info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
                for group, points in project["entry-points"].items()
            )
        )
        (code,) = (name for name in found if name.endswith(".py"))
        (site / code).write_text(found[code])
        monkeypatch.syspath_prepend(str(site))
        for registry in REGISTRIES:
            anew = Registry(registry.kind, registry.noun, registry.built_in).third_party
            monkeypatch.setitem(vars(registry), "third_party", anew)
        return yaml.safe_load(found["config.yaml"])

    return installed


def loaded(folder: Path, sections: dict[str, Any]) -> Config:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "collection": {"builtin": "pydocs"}, **sections}))
    return load_config(path)


def test_the_loss_trains(tmp_path: Path, install: Callable[[str], dict[str, Any]]) -> None:
    config = loaded(tmp_path, {**install("A loss"), "mining": {"teacher": None}})
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)  # no lead yet, so that there is something to learn
    loss = GroupLoss(model, config.training.model_copy(update={"distillation_weight": 0.0}))
    loss._run = lambda batch: model(batch["x"]).view(-1)  # type: ignore[method-assign]
    features = [[{"x": torch.tensor([[1.0], [-1.0]])}], torch.arange(2), torch.ones(1, 2), torch.zeros(1, 2)]
    before = loss(features, torch.tensor([[1.0, 0.0]]))
    before.backward()
    with torch.no_grad():
        model.weight -= 0.1 * model.weight.grad
    assert loss(features, torch.tensor([[1.0, 0.0]])) < before


def test_a_plug_in_is_named_where_an_unknown_value_is_like_it(
    tmp_path: Path, install: Callable[[str], dict[str, Any]]
) -> None:
    install("A loss")
    with pytest.raises(InputError, match=r"training\.loss: no value 'hing'; did you mean hinge\?"):
        loaded(tmp_path, {"training": {"loss": "hing"}})


def test_the_reader_reads(tmp_path: Path, install: Callable[[str], dict[str, Any]]) -> None:
    sections = install("A reader")
    sections["collection"]["faq"]["file"] = str(tmp_path / "faq.json")
    write_json(tmp_path / "faq.json", {f"What is a {word}?": f"A {word} is a thing." for word in WORDS[:40]})
    config = loaded(tmp_path, sections).collection
    kind, settings = config.chosen()
    assert (kind, settings.file) == ("faq", tmp_path / "faq.json")
    collection = load_collection(config, 0).collection
    assert len(collection.corpus) == 40
    assert {split: len(qrels) for split, qrels in collection.splits.items()}.keys() == {"train", "dev", "test"}
    assert config.model_dump(mode="json", exclude_none=True)["faq"] == {"file": str(tmp_path / "faq.json")}
    assert source_depends_on(config).keys() == {"files", "reader faq"}
    assert source_depends_on(config)["reader faq"] == "crossforge-faq 1.0"


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        ({"faq": {"fil": "a.json"}}, "unknown key collection.faq.fil; did you mean collection.faq.file?"),
        ({"faq": {}}, "collection.faq.file is missing"),
        ({"faqs": {"file": "a.json"}}, "unknown key collection.faqs; did you mean collection.faq?"),
        ({"faq": {"file": "a.json"}, "beir": "b"}, "give exactly one of builtin, "),
        ({"mix": [{"faq": {"file": "a.json"}}, {"faq": {"file": 3}}]}, "collection.mix[1].faq.file: "),
    ],
)
def test_the_keys_of_a_reader_are_checked_like_any_others(
    tmp_path: Path, install: Callable[[str], dict[str, Any]], collection: dict[str, Any], message: str
) -> None:
    install("A reader")
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, {"collection": collection})
    assert message in str(caught.value)


def test_the_backend_scores(tmp_path: Path, install: Callable[[str], dict[str, Any]], toy_package: Path) -> None:
    backend = loaded(tmp_path, install("A backend")).evaluation.backend
    pairs = [("bread oven", "flour and yeast"), ("sail", "a boat in the wind")]
    reranker = Reranker(toy_package, backend=backend)
    assert reranker.backend_name == "onnx-one-thread"
    expected = Reranker(toy_package, backend="onnx").score_pairs(pairs).logits
    assert reranker.score_pairs(pairs).logits == pytest.approx(expected, abs=1e-4)


def test_the_retriever_searches_and_is_found_again(
    tmp_path: Path, install: Callable[[str], dict[str, Any]], toy_reranker: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(tmp_path, install("A retriever")).first_stage
    documents = [Document("b", "the bread and the oven"), Document("a", "bread in an oven"), Document("c", "a sail")]
    retriever = fit_first_stage(documents, settings)
    assert [one.doc_id for one in retriever.search({"q": "bread oven in"}, 5)["q"]] == ["b", "a"]
    assert [one.doc_id for one in retriever.search({"q": "bread oven"}, 5, ties_by_id=True)["q"]] == ["a", "b"]
    RetrieveAndRerank(documents, retriever, toy_reranker).save(tmp_path / "saved")
    assert (tmp_path / "saved" / "overlap" / "overlap.json").is_file()
    search = RetrieveAndRerank.load(tmp_path / "saved", toy_reranker)
    assert sorted(found.doc_id for found in search("bread oven")) == ["a", "b"]
    MinedFolder(tmp_path).save_retriever(retriever)
    assert MinedFolder(tmp_path).retriever().kind == "overlap"
    monkeypatch.setitem(vars(RETRIEVERS), "third_party", {})
    with pytest.raises(PackageError, match=r"no first-stage index of a known kind \(lexical, .*; is overlap an index"):
        RetrieveAndRerank.load(tmp_path / "saved", toy_reranker)


def test_a_plug_in_stands_in_the_fingerprint_of_its_stage(
    tmp_path: Path, install: Callable[[str], dict[str, Any]]
) -> None:
    config = loaded(tmp_path, {**install("A retriever"), "mining": {"teacher": None}})
    depends_on = MINE.depends_on(config)
    assert depends_on["retriever overlap"] == "crossforge-overlap 1.0"
    assert depends_on["first_stage"] == {"kind": "overlap", "options": {"shortest": 3}, "depth": 200}


def test_the_maker_makes_queries(tmp_path: Path, install: Callable[[str], dict[str, Any]]) -> None:
    sections = install("A pseudo-query maker")
    rows = [{"_id": f"d{n}", "text": f"{one} is text {one} which {'goes on and ' * 9}ends"}
            for n, one in enumerate(WORDS)]  # fmt: skip
    write_lines(tmp_path / "corpus.jsonl", rows)
    sections["collection"]["documents"] |= {
        "corpus": str(tmp_path / "corpus.jsonl"),
        "dev": 0.2,
        "test": 0.2,
        "consistency": None,
    }
    _, source = loaded(tmp_path, sections).collection.chosen()
    collection = read_adapted(source)
    assert collection.made.keys() == {"opening"}
    assert "aaaa is text aaaa which" in collection.queries.values()
    test_query = next(iter(collection.splits["test"]))
    (doc_id,) = collection.splits["test"][test_query]
    assert collection.corpus[doc_id].text.startswith("goes on"), "the query's words are lifted out of its document"


def test_a_quota_of_nobody_is_an_unknown_key(tmp_path: Path, install: Callable[[str], dict[str, Any]]) -> None:
    install("A pseudo-query maker")
    with pytest.raises(InputError, match=r"quotas\.openings; did you mean collection\.documents\.quotas\.opening\?"):
        loaded(tmp_path, {"collection": {"documents": {"corpus": "x", "quotas": {"openings": 1}}}})
    with pytest.raises(InputError, match=r"collection\.documents\.quotas\.opening: .*\(found 'much'\)"):
        loaded(tmp_path, {"collection": {"documents": {"corpus": "x", "quotas": {"opening": "much"}}}})


def test_every_kind_of_plug_in_stands_on_the_page() -> None:
    assert re.findall(r"\| `(crossforge\.\w+)` \|", PAGE.read_text()) == [
        registry.group
        for registry in (registries.LOSSES, registries.DISTILLATIONS, registries.READERS, BACKENDS, RETRIEVERS,
                         registries.TEACHERS, registries.MAKERS, HEADS)
    ]  # fmt: skip
