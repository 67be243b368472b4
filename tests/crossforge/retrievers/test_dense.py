"""Dense and hybrid first stages: what they find, how they are kept, and what a damaged one says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import make_documents

from crossforge import Document
from crossforge.embedding.encoder import Encoder
from crossforge.errors import InputError, PackageError
from crossforge.retrievers.base import CombinedRetriever, RepeatableRetriever, ScoringRetriever
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.recipe import fit_by_recipe, has_recipe, save_recipe

DOCUMENTS = [Document(found["_id"], found["text"], found["title"]) for found in make_documents(5)]
QUERIES = {"q1": "bread oven yeast", "q2": "rook bishop castle", "q3": "zebra"}


@pytest.fixture(scope="module")
def dense(tiny_onnx: Path) -> Any:
    return fit_retriever(DOCUMENTS, "dense", {"encoder": tiny_onnx})


@pytest.fixture(scope="module")
def hybrid(tiny_onnx: Path) -> Any:
    return fit_retriever(DOCUMENTS, "hybrid", {"dense": {"encoder": tiny_onnx}, "weight": 0.5, "pool": 4})


def ids(run: Any, query_id: str) -> list[str]:
    return [found.doc_id for found in run[query_id]]


def test_dense_orders_by_cosine_and_finds_something_for_every_query(dense: Any, tiny_onnx: Path) -> None:
    encoder = Encoder(tiny_onnx)
    cosines = encoder.embed(["zebra"], "query") @ encoder.embed([d.full_text for d in DOCUMENTS], "document").T
    found = dense.search(QUERIES, 7)["q3"]
    assert len(found) == 7
    assert [c.score for c in found] == pytest.approx(np.sort(cosines[0])[::-1][:7], abs=2e-3)  # float16
    scores = dense.scores(QUERIES, {key: ids(dense.search(QUERIES, 5), key) for key in QUERIES})
    assert scores["q3"] == pytest.approx([c.score for c in found[:5]], abs=1e-5)
    assert isinstance(dense, ScoringRetriever)


def test_threads_that_search_at_the_same_time_get_their_own_answers(hybrid: Any) -> None:
    texts = [f"{word} {number}" for number in range(40) for word in ("bread", "rook", "boat")]
    expected = [hybrid.search({"q": text}, 5)["q"] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: hybrid.search({"q": text}, 5)["q"], texts))
    assert found == expected


def test_dense_chooses_passages_by_words(dense: Any) -> None:
    similar = dense.similarities("bread oven", ["a boat", "bread from the oven", "oven"])
    assert similar.argmax() == 1
    assert similar[0] == 0


def test_lexical_scores_of_chosen_documents_are_those_of_search() -> None:
    lexical = fit_retriever(DOCUMENTS)
    found = lexical.search(QUERIES, 10)
    scores = lexical.scores(QUERIES, {key: [*ids(found, key), "music-0"] for key in QUERIES})
    assert scores["q1"][:-1] == pytest.approx([c.score for c in found["q1"]])
    assert scores["q1"][-1] == scores["q3"][-1] == 0


def test_hybrid_joins_both_lists_by_both_scores(hybrid: Any) -> None:
    lexical, dense = (part.search(QUERIES, 4) for part in hybrid.parts)
    joint = ids(hybrid.search(QUERIES, 20), "q1")
    assert set(joint[:8]) <= {d.doc_id for d in DOCUMENTS}
    assert ids(hybrid.with_weight(1.0).search(QUERIES, 4), "q1") == ids(lexical, "q1")
    assert ids(hybrid.with_weight(0.0).search(QUERIES, 4), "q1") == ids(dense, "q1")
    assert set(ids(hybrid.with_weight(None).search(QUERIES, 8), "q1")) <= set(joint)
    assert isinstance(hybrid, CombinedRetriever)
    assert hybrid.name == "BM25 + dense"


def test_who_asks_for_less_gets_the_beginning_of_the_same_order(hybrid: Any, tiny_onnx: Path, tmp_path: Path) -> None:
    deep = fit_retriever(DOCUMENTS, "hybrid", {"dense": {"encoder": tiny_onnx}, "weight": 0.5, "pool": 20})
    assert ids(deep.search(QUERIES, 3), "q1") == ids(deep.search(QUERIES, 20), "q1")[:3]
    save_retriever(tmp_path, deep)
    assert load_retriever(tmp_path).pool == 20
    assert hybrid.with_weight(0.1).pool == 4


def test_hybrid_finds_where_no_word_matches_and_tells_where_from(hybrid: Any) -> None:
    assert len(hybrid.search(QUERIES, 5)["q3"]) == 5
    origins = hybrid.origins("bread oven yeast", 4)
    assert {name for ranks in origins.values() for name in ranks} == {"BM25", "dense"}
    assert origins[ids(hybrid.parts[0].search(QUERIES, 4), "q1")[0]]["BM25"] == 1
    assert all(ranks.keys() == {"dense"} for ranks in hybrid.origins("zebra", 4).values())


def test_reciprocal_rank_fusion_needs_no_scores(hybrid: Any) -> None:
    found = hybrid.with_weight(None).search(QUERIES, 30)["q1"]
    ranks = hybrid.origins(QUERIES["q1"], 30)
    expected = [sum(1 / (60 + rank) for rank in ranks[c.doc_id].values()) for c in found]
    assert [c.score for c in found] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["dense", "hybrid"])
def test_a_saved_index_finds_the_same(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    retriever = request.getfixturevalue(kind)
    save_retriever(tmp_path, retriever)
    loaded = load_retriever(tmp_path)
    assert loaded.kind == kind
    assert loaded.search(QUERIES, 9, ties_by_id=True) == retriever.search(QUERIES, 9, ties_by_id=True)
    assert loaded.description == retriever.description


def test_parts_that_do_not_fit_together_are_refused(hybrid: Any, dense: Any, tmp_path: Path) -> None:
    save_retriever(tmp_path, dense)
    np.save(tmp_path / "dense" / "vectors.npy", np.zeros((3, 32), np.float16))
    with pytest.raises(PackageError, match="documents and encoder ask for"):
        load_retriever(tmp_path)
    (tmp_path / "dense" / "vectors.npy").write_bytes(b"")
    with pytest.raises(PackageError, match="damaged or no dense index"):
        load_retriever(tmp_path)
    for value, what in ((np.nan, "no finite numbers"), (1j, "complex128"), ("x", "<U1")):
        np.save(tmp_path / "dense" / "vectors.npy", np.full(dense.vectors.shape, value))
        with pytest.raises(PackageError, match=what):
            load_retriever(tmp_path)
    with pytest.raises(InputError, match="a dense index needs an encoder"):
        fit_retriever(DOCUMENTS, "dense")
    with pytest.raises(InputError, match="the corpus is empty"):
        fit_retriever([], "dense", {"encoder": tmp_path})
    other = fit_retriever(DOCUMENTS[1:])
    with pytest.raises(InputError, match="two indexes of the same documents"):
        type(hybrid)(other, dense)


def test_a_hybrid_weights_words_as_a_run_does(hybrid: Any, tiny_onnx: Path) -> None:
    assert [part.name for part in hybrid.parts] == ["BM25", "dense"]
    settings = {"lexical": {"weighting": "tfidf"}, "dense": {"encoder": tiny_onnx}}
    assert fit_retriever(DOCUMENTS, "hybrid", settings).parts[0].name == "TF-IDF"


def test_a_recipe_makes_the_same_first_stage_over_other_documents(hybrid: Any, tmp_path: Path) -> None:
    assert isinstance(hybrid, RepeatableRetriever)
    assert not has_recipe(tmp_path)
    save_recipe(tmp_path, hybrid)
    again = fit_by_recipe(tmp_path, DOCUMENTS)
    assert again.search(QUERIES, 9) == hybrid.search(QUERIES, 9)
    assert len(fit_by_recipe(tmp_path, DOCUMENTS[:3]).search(QUERIES, 9)["q3"]) == 3


def test_a_recipe_points_nowhere_outside(hybrid: Any, tmp_path: Path) -> None:
    save_recipe(tmp_path, hybrid)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"encoder"\n', '"../encoder"\n').replace(': "encoder"', ': "../x"'))
    with pytest.raises(PackageError, match="points outside the package"):
        fit_by_recipe(tmp_path, DOCUMENTS)


def test_only_the_recipe_itself_is_called_damaged(hybrid: Any, tmp_path: Path) -> None:
    def failing(_: Path) -> dict[str, Any]:
        raise TypeError("the app's own")

    save_recipe(tmp_path, hybrid)
    with pytest.raises(TypeError, match="the app's own"):
        fit_by_recipe(tmp_path, DOCUMENTS, failing)
    for damaged in ('{"kind": "dense"}', '{"kind": "dense", "settings": []}'):
        (tmp_path / "recipe.json").write_text(damaged)
        with pytest.raises(PackageError, match=r"recipe\.json: damaged; copy the package again"):
            fit_by_recipe(tmp_path, DOCUMENTS)
