"""What the config says of the first stage is what the index is made with."""

import pytest

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.retrievers.analysis import Analyzer
from crossforge_train.collections.collection import Collection
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.stages.mine import fit_first_stage

CORPUS = {
    "a": Document("a", "the boat in the wind", title="Sails"),
    "b": Document("b", "sails and ropes for the old boats in the harbour of the town", title="Chandler"),
}
COLLECTION = Collection("any", CORPUS, {}, {"train": {}})


def test_the_defaults_choose_by_the_corpus():
    retriever = fit_first_stage(COLLECTION, FirstStageConfig())
    assert retriever.analyzer == Analyzer("word", "english")
    assert retriever.title_weight == 1
    assert retriever.similarities("wind", ["wind"]) == pytest.approx([1])


def test_analyzer_and_language_are_taken_from_the_config():
    char = fit_first_stage(COLLECTION, FirstStageConfig(analyzer="char"))
    word = fit_first_stage(COLLECTION, FirstStageConfig(analyzer="word", language="none"))
    assert (char.analyzer.kind, word.analyzer.language) == ("char", "none")


def test_a_language_without_a_stemmer_is_an_input_error():
    with pytest.raises(InputError, match="klingon"):
        fit_first_stage(COLLECTION, FirstStageConfig(analyzer="word", language="klingon"))


def test_weighting_and_title_weight_are_taken_from_the_config():
    light = fit_first_stage(COLLECTION, FirstStageConfig(weighting="bm25", title_weight=0.1))
    heavy = fit_first_stage(COLLECTION, FirstStageConfig(weighting="bm25", title_weight=9))
    assert [found.doc_id for found in light.search({"q": "sails"}, 2)["q"]] == ["b", "a"]
    assert [found.doc_id for found in heavy.search({"q": "sails"}, 2)["q"]] == ["a", "b"]
