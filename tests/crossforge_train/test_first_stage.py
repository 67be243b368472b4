"""What the config says of the first stage is what the index is made with."""

import pytest

from crossforge.documents import Document
from crossforge.errors import PackageError
from crossforge.plugins import Plugin
from crossforge.retrievers.analysis import Analyzer
from crossforge.retrievers.choice import load_retriever, save_retriever
from crossforge.retrievers.registry import RETRIEVERS
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.first_stage import fit_first_stage

CORPUS = {
    "a": Document("a", "the boat in the wind", title="Sails"),
    "b": Document("b", "sails and ropes for the old boats in the harbour of the town", title="Chandler"),
}


def test_the_defaults_choose_by_the_corpus():
    retriever = fit_first_stage(CORPUS.values(), FirstStageConfig())
    assert retriever.analyzer == Analyzer("word", "english")
    assert retriever.title_weight == 1
    assert retriever.similarities("wind", ["wind"]) == pytest.approx([1])


def test_analyzer_and_language_are_taken_from_the_config():
    char = fit_first_stage(CORPUS.values(), FirstStageConfig(analyzer="char"))
    word = fit_first_stage(CORPUS.values(), FirstStageConfig(analyzer="word", language="none"))
    assert (char.analyzer.kind, word.analyzer.language) == ("char", "none")


def test_a_language_without_a_stemmer_is_no_config():
    with pytest.raises(ValueError, match="no stemmer for the language 'klingon'; have none, arabic"):
        FirstStageConfig(analyzer="word", language="klingon")


@pytest.mark.parametrize("analyzer", ["auto", "char"])
def test_a_language_that_the_analyzer_does_not_read_is_refused(analyzer):
    with pytest.raises(ValueError, match=f"language: analyzer: {analyzer} ignores it; add analyzer: word"):
        FirstStageConfig(analyzer=analyzer, language="german")


def test_weighting_and_title_weight_are_taken_from_the_config():
    light = fit_first_stage(CORPUS.values(), FirstStageConfig(weighting="bm25", title_weight=0.1))
    heavy = fit_first_stage(CORPUS.values(), FirstStageConfig(weighting="bm25", title_weight=9))
    assert [found.doc_id for found in light.search({"q": "sails"}, 2)["q"]] == ["b", "a"]
    assert [found.doc_id for found in heavy.search({"q": "sails"}, 2)["q"]] == ["a", "b"]


def test_the_fingerprint_of_a_lexical_first_stage_knows_of_no_kinds():
    assert FirstStageConfig(kind="lexical", depth=7).fingerprint() == {
        "analyzer": "auto", "language": "english", "weighting": "tfidf", "title_weight": 1.0, "depth": 7,
    }  # fmt: skip


def test_options_are_for_plug_ins_and_the_settings_of_lexical_are_not(monkeypatch):
    with pytest.raises(ValueError, match="options are for other kinds; kind: lexical has analyzer, language"):
        FirstStageConfig(kind="lexical", options={"shortest": 3})
    monkeypatch.setitem(vars(RETRIEVERS), "third_party", {"other": Plugin("nowhere:at_all", "")})
    with pytest.raises(ValueError, match="weighting: no settings of kind: other; its settings go into options"):
        FirstStageConfig(kind="other", weighting="bm25")


def test_no_other_folder_than_a_registered_kinds_is_loaded(tmp_path):
    (tmp_path / "os").mkdir()
    (tmp_path / "os" / "index.json").write_text("{}")
    with pytest.raises(PackageError, match=r"no first-stage index of a known kind \(lexical.*; is os an index of"):
        load_retriever(tmp_path)
    save_retriever(tmp_path, fit_first_stage(CORPUS.values(), FirstStageConfig()))
    assert load_retriever(tmp_path).name == "TF-IDF"
    assert (tmp_path / "tfidf" / "index.json").is_file()
