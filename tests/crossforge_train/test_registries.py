"""The toolkit's registries: every name leads to code, and configs accept exactly these names."""

import sys
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from crossforge.documents import Document
from crossforge.plugins import Plugin
from crossforge.retrievers.choice import fit_retriever
from crossforge.runs import Candidate
from crossforge_train import registries
from crossforge_train.collections.collection import Collection
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.documents import Quotas
from crossforge_train.config.run import Config
from crossforge_train.config.sources import AnySource, MixedSource
from crossforge_train.mining.negatives import Candidates
from crossforge_train.mining.teacher import TeacherKind
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages import mine

ALL = [registries.LOSSES, registries.DISTILLATIONS, registries.READERS, registries.TEACHERS, registries.MAKERS]


@pytest.mark.parametrize("registry", ALL, ids=lambda registry: registry.kind)
def test_every_built_in_can_be_imported(registry):
    assert all(registry.load(name) and found.description for name, found in registry.built_in.items())


def test_every_source_and_every_quota_with_a_field_has_a_plug_in():
    assert set(AnySource._built_in()) <= set(registries.READERS.built_in)
    assert set(Quotas.model_fields) <= set(registries.MAKERS.built_in)


def test_a_built_in_needs_no_field(monkeypatch):
    monkeypatch.setitem(sys.modules, "letters", SimpleNamespace(READER=SimpleNamespace(settings=None)))
    monkeypatch.setitem(registries.READERS.built_in, "letters", Plugin("letters:READER", "letters"))
    monkeypatch.setitem(registries.MAKERS.built_in, "opening", Plugin("letters:maker", "first words"))
    assert AnySource(letters={"from": "a"}).chosen() == ("letters", {"from": "a"})
    assert Quotas(opening=2).model_dump()["opening"] == 2
    with pytest.raises(ValidationError, match="opening"):
        Quotas(opening=-1)


def test_a_part_of_a_mix_is_no_mix():
    with pytest.raises(ValidationError, match="mix"):
        MixedSource(mix=[{"builtin": "pydocs"}, {"beir": "folder"}])


class ConstantTeacher:
    """Takes one document for relevant, and scores by the length of ids."""

    def __init__(self):
        self.opened = 0

    def can_read(self, query_id):
        return True

    def read(self, groups):
        self.opened += len(groups)

    def scores(self, group):
        return [float(len(doc_id)) for doc_id in group.doc_ids]

    def above(self, group, margin):
        return [doc_id for doc_id in group.doc_ids[1:] if doc_id == "bbb"]


def test_a_third_partys_teacher_drops_and_scores_and_stands_in_the_fingerprint(monkeypatch):
    teacher = ConstantTeacher()
    kind = TeacherKind(lambda config, collection, reporter: teacher, lambda config: {"constant": 1})
    monkeypatch.setitem(sys.modules, "constant_teacher", SimpleNamespace(TEACHER=kind))
    plugin = Plugin("constant_teacher:TEACHER", "constant", "constant 1.0")
    monkeypatch.setitem(vars(registries.TEACHERS), "third_party", {"constant": plugin})
    config = Config(
        name="mine", collection={"builtin": "pydocs"}, mining={"teacher": "constant", "negatives": 2, "choice": "top"}
    )
    found = mine.STAGE.depends_on(config)
    assert (found["teacher"], found["teacher constant"]) == ({"constant": 1}, "constant 1.0")
    corpus = {name: Document(name, f"text {name * 3}") for name in ("a", "bbb", "cc", "d")}
    collection = Collection("any", corpus, {"q": "a question"}, {"train": {"q": {"a": 1}}})
    run = {"q": [Candidate(name, 1.0) for name in corpus]}
    context = SimpleNamespace(config=config, reporter=SilentReporter(), engine=LocalEngine())
    mined = mine.mine_candidates(
        context, config, collection, fit_retriever(corpus.values()), Candidates(run, {}), config.mining
    )
    (group,) = mined.groups
    assert (group.doc_ids, group.teacher) == (["a", "cc", "d"], [1.0, 2.0, 1.0])
    assert mined.counts.dropped["above_margin"] == 1
