"""Retrieve and rerank."""

import datetime
import json
import math
import shutil
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import reduce

import numpy as np
import pytest

from crossforge import Document, InputError, PackageError, Reranker, RetrieveAndRerank, TfidfRetriever
from crossforge.calibration import descending, fuse
from crossforge.documents import read_documents
from crossforge.passages import PassageWindows
from crossforge.runs import Candidate

QUERY = "bread oven yeast"
LONG = Document("long", "boat sail wind anchor " * 15 + "bread oven " + "mast tide crew deck " * 15, "Old things")


def manifest_with(toy_package, folder, **entries):
    """A copy of the package whose manifest has other entries."""
    shutil.copytree(toy_package, folder)
    manifest = json.loads((folder / "reranker.json").read_text())
    (folder / "reranker.json").write_text(json.dumps({**manifest, **entries}))
    return Reranker(folder)


@pytest.fixture(scope="module")
def rerankers(toy_package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weighted")
    return {
        weight: manifest_with(toy_package, folder / str(weight), fusion_weight=weight) for weight in (0.0, 0.5, 1.0)
    }


@pytest.fixture(scope="module")
def reranker(rerankers):
    return rerankers[0.0]


@pytest.fixture(scope="module")
def documents(toy_collection):
    return read_documents(toy_collection / "corpus.jsonl")


@pytest.fixture(scope="module")
def search(documents, reranker):
    return RetrieveAndRerank.from_documents(documents, reranker)


def ids(results):
    return [result.doc_id for result in results]


def test_the_candidates_are_those_of_the_first_stage(search, documents):
    candidates = TfidfRetriever.fit(documents).search({"q": QUERY}, 100)["q"]
    results = search(QUERY, k=None)
    assert len(results) > 5
    assert {result.doc_id: result.first_stage_score for result in results} == dict(candidates)
    in_first_order = sorted(results, key=lambda result: result.first_stage_rank)
    assert ids(in_first_order) == [candidate.doc_id for candidate in candidates]
    assert [result.first_stage_rank for result in in_first_order] == list(range(1, len(results) + 1))


def test_the_order_is_that_of_the_reranker(search, reranker, documents):
    by_id = {document.doc_id: document for document in documents}
    for result in search(QUERY, k=None):
        assert result.score == pytest.approx(reranker.score(QUERY, [by_id[result.doc_id]])[0], abs=1e-5)
    scores = [result.score for result in search(QUERY, k=None)]
    assert scores == sorted(scores, reverse=True)


def test_movement_is_the_difference_of_both_ranks(search):
    results = search(QUERY, k=None)
    assert [result.rank for result in results] == list(range(1, len(results) + 1))
    assert [result.movement for result in results] == [result.first_stage_rank - result.rank for result in results]
    assert any(result.movement for result in results)
    assert sum(result.movement for result in results) == 0


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_a_query_that_leaves_no_room_keeps_the_first_stages_order_and_says_so(documents, rerankers, weight):
    query = "bread oven yeast sail boat " * 20
    search = RetrieveAndRerank.from_documents(documents, rerankers[weight], passages=2)
    candidates = TfidfRetriever.fit(documents).search({"q": query}, 100)["q"]
    found = search(query, 5)
    assert ids(found) == [candidate.doc_id for candidate in candidates[:5]]
    assert not found.reranked
    assert found.above_threshold() == list(found)
    assert {(result.score, result.movement, result.truncated) for result in found} == {(0.0, 0, True)}
    assert search(QUERY).reranked


def test_k_cuts_after_reranking(search):
    everything = search(QUERY, k=None)
    assert list(search(QUERY, k=3)) == everything.top_k(3)
    assert list(search(QUERY)) == everything.top_k(10)


def test_depth_bounds_what_is_reranked(documents, reranker):
    shallow = RetrieveAndRerank.from_documents(documents, reranker, depth=4)(QUERY, k=None)
    assert sorted(result.first_stage_rank for result in shallow) == [1, 2, 3, 4]


def test_strings_and_mappings_can_be_searched(reranker):
    search = RetrieveAndRerank.from_documents(["bread", {"_id": "x", "text": "oven", "url": "u"}, "sail"], reranker)
    found = {result.doc_id: result for result in search(QUERY)}
    assert set(found) == {"0", "x"}
    assert found["x"].metadata == {"url": "u"}


@pytest.mark.parametrize("query", ["", " \n", None, 3])
def test_an_empty_query_is_an_input_error(search, query):
    with pytest.raises(InputError, match="the query is"):
        search(query)


def test_a_query_that_matches_nothing_gives_no_results(search):
    assert len(search("unheardof")) == 0


@pytest.mark.parametrize("documents", [[], ["the", "…"], ["a b", 3], [{"_id": "x", "text": "a"}] * 2])
def test_a_corpus_that_cannot_be_searched_is_an_input_error(documents, reranker):
    with pytest.raises(InputError):
        RetrieveAndRerank.from_documents(documents, reranker)


@pytest.mark.parametrize("k", [-1, "3"])
def test_k_that_is_no_count_is_an_input_error(search, k):
    with pytest.raises(InputError, match="k is"):
        search(QUERY, k=k)


def test_a_depth_of_nothing_is_refused(documents, reranker):
    with pytest.raises(InputError, match="depth is 0"):
        RetrieveAndRerank.from_documents(documents, reranker, depth=0)


# --- fusion ---


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_the_order_is_what_fuse_says_for_the_weight_in_the_manifest(documents, rerankers, weight):
    results = RetrieveAndRerank.from_documents(documents, rerankers[weight])(QUERY, k=None)
    candidates = sorted(results, key=lambda result: result.first_stage_rank)
    logits = np.array([result.score for result in candidates], dtype=np.float32)
    first_stage = np.array([result.first_stage_score for result in candidates])
    assert ids(results) == [candidates[position].doc_id for position in descending(fuse(logits, first_stage, weight))]


def test_the_weight_changes_the_order_and_not_the_scores(documents, rerankers):
    found = {
        weight: RetrieveAndRerank.from_documents(documents, reranker)(QUERY, k=None)
        for weight, reranker in rerankers.items()
    }
    assert len({tuple(ids(results)) for results in found.values()}) == 3
    scores = [{result.doc_id: (result.score, result.probability) for result in results} for results in found.values()]
    assert scores[0] == scores[1] == scores[2]
    assert [result.movement for result in found[1.0]] == [0] * len(found[1.0])


def test_ranking_without_a_first_stage_leaves_the_weight_aside(rerankers, documents):
    assert ids(rerankers[1.0].rank(QUERY, documents)) == ids(rerankers[0.0].rank(QUERY, documents))


# --- compression ---


@pytest.mark.parametrize("passages", [1, 2, 3])
def test_a_long_document_is_compressed_to_the_windows_most_like_the_query(documents, reranker, passages):
    retriever = TfidfRetriever.fit([*documents, LONG])
    search = RetrieveAndRerank([*documents, LONG], retriever, reranker, passages=passages)
    windows = PassageWindows(reranker.tokenizer).split(QUERY, LONG)
    order = np.argsort(-retriever.similarities(QUERY, windows), kind="stable")
    assert order[0] > 0
    assert search.passages(QUERY, [LONG]) == [[windows[position] for position in order[:passages]]]
    assert "bread oven" in windows[order[0]]


@pytest.mark.parametrize("passages", [1, 3])
def test_the_first_windows_are_read_if_asked_for_or_if_the_reranker_was_trained_on_them(
    documents, toy_package, reranker, tmp_path, passages
):
    trained = manifest_with(toy_package, tmp_path / "trained", long_documents="first_window")
    windows = PassageWindows(reranker.tokenizer).split(QUERY, LONG)
    asked = RetrieveAndRerank.from_documents([LONG], reranker, passages=passages, long_documents="first_window")
    by_itself = RetrieveAndRerank.from_documents([LONG], trained, passages=passages)
    otherwise = RetrieveAndRerank.from_documents([LONG], trained, passages=passages, long_documents="best_window")
    assert asked.passages(QUERY, [LONG]) == by_itself.passages(QUERY, [LONG]) == [windows[:passages]]
    assert "bread oven" in otherwise.passages(QUERY, [LONG])[0][0]
    asked.save(tmp_path / "search")
    assert RetrieveAndRerank.load(tmp_path / "search", reranker)(QUERY) == asked(QUERY)


def test_an_unknown_part_of_long_documents_is_refused(documents, reranker):
    with pytest.raises(InputError, match="long_documents='last'; expected one of: best_window, first_window"):
        RetrieveAndRerank.from_documents(documents, reranker, long_documents="last")


def test_the_passage_that_was_read_is_reported_and_was_not_cut(documents, reranker):
    search = RetrieveAndRerank.from_documents([*documents, LONG], reranker, passages=3)
    (result,) = (result for result in search(QUERY, k=None) if result.doc_id == "long")
    (passages,) = search.passages(QUERY, [LONG])
    scores = reranker.score(QUERY, passages)
    assert result.passage == passages[scores.argmax()]
    assert result.score == pytest.approx(scores.max(), abs=1e-5)
    assert not result.truncated


def test_short_documents_are_read_whole(search, documents):
    assert search.passages(QUERY, documents[:3]) == [[document.full_text] for document in documents[:3]]


def test_compression_keeps_apart_the_windows_of_several_documents(documents, reranker):
    search = RetrieveAndRerank.from_documents([*documents, LONG], reranker)
    other = replace(LONG, doc_id="other", text="soil seed " * 30 + "bread yeast " + "root weed " * 30)
    together = search.passages(QUERY, [documents[0], LONG, documents[1], other])
    assert together == [search.passages(QUERY, [found])[0] for found in (documents[0], LONG, documents[1], other)]


def test_a_long_title_without_a_text_can_be_found(documents, reranker):
    search = RetrieveAndRerank.from_documents([*documents, Document("titled", "", "bread oven " * 60)], reranker)
    assert "titled" in ids(search(QUERY, k=None))


def test_no_passages_at_all_are_refused(documents, reranker):
    with pytest.raises(InputError, match="passages"):
        RetrieveAndRerank.from_documents(documents, reranker, passages=0)


# --- save and load ---


def test_a_saved_pipeline_gives_the_same_results(tmp_path, documents, reranker):
    depth, passages = np.int64(7), np.int64(2)
    search = RetrieveAndRerank.from_documents([*documents, LONG], reranker, depth=depth, passages=passages)
    search.save(tmp_path / "search")
    loaded = RetrieveAndRerank.load(tmp_path / "search", reranker)
    for query in (QUERY, "sail", "unheardof"):
        assert loaded(query, k=None) == search(query, k=None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["search"]


def test_metadata_and_titles_survive_saving(tmp_path, reranker):
    document = Document("x", "bread", "Oven", {"year": 1999, "tags": ["a"]})
    RetrieveAndRerank.from_documents([document], reranker).save(tmp_path / "search")
    assert RetrieveAndRerank.load(tmp_path / "search", reranker)("bread")[0].document == document


def test_metadata_that_json_lacks_is_saved_by_a_rule(tmp_path, reranker):
    day, noon = datetime.date(2024, 5, 1), datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)
    metadata = {
        "day": day, "noon": noon, "count": np.int64(3), "share": np.float32(0.5), "vector": np.arange(2),
        "tags": {"b", "a"}, "missing": math.nan, "nested": {"days": [day]}, "price": Decimal("9.90"),
    }  # fmt: skip
    RetrieveAndRerank.from_documents([Document("x", "bread", metadata=metadata)], reranker).save(tmp_path / "search")
    assert RetrieveAndRerank.load(tmp_path / "search", reranker)("bread")[0].metadata == {
        "day": "2024-05-01", "noon": "2024-05-01T12:00:00+00:00", "count": 3, "share": 0.5, "vector": [0, 1],
        "tags": ["a", "b"], "missing": None, "nested": {"days": ["2024-05-01"]}, "price": "9.90",
    }  # fmt: skip


def test_metadata_that_cannot_be_saved_is_named_with_its_document(tmp_path, reranker):
    search = RetrieveAndRerank.from_documents([Document("x", "bread", metadata={"owner": object()})], reranker)
    with pytest.raises(InputError, match=r"^document 'x': its metadata 'owner' cannot be stored \(object is no type"):
        search.save(tmp_path / "search")
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_is_nested_too_deeply_is_named_with_its_document(tmp_path, reranker):
    deep = reduce(lambda inner, _: [inner], range(20_000), [])
    search = RetrieveAndRerank.from_documents([Document("x", "bread", metadata={"tree": deep})], reranker)
    with pytest.raises(InputError, match=r"^document 'x': its metadata 'tree' cannot be stored"):
        search.save(tmp_path / "search")


def test_documents_with_lone_surrogates_can_be_saved(tmp_path, reranker):
    RetrieveAndRerank.from_documents(["bread \ud800"], reranker).save(tmp_path / "search")
    assert len(RetrieveAndRerank.load(tmp_path / "search", reranker)("bread")) == 1


def test_saving_does_not_delete_a_folder_that_holds_something_else(tmp_path, reranker):
    (tmp_path / "thesis.txt").write_text("years of work")
    search = RetrieveAndRerank.from_documents(["bread"], reranker)
    with suppress(InputError):
        search.save(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_another_first_stage_cannot_be_saved(tmp_path, documents, reranker):
    class Constant:
        def search(self, queries, k):
            return {query_id: [Candidate(documents[0].doc_id, 1.0)] for query_id in queries}

        def similarities(self, query, texts):
            return np.zeros(len(texts), dtype=np.float32)

    search = RetrieveAndRerank(documents, Constant(), reranker)
    assert ids(search("whatever")) == [documents[0].doc_id]
    with pytest.raises(InputError, match="TF-IDF"):
        search.save(tmp_path / "search")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 7, "candidates": 9}, "not of a search that this version saves"),
        ({"format": "crossforge-search-2", "depth": 7}, "not of a search that this version saves"),
        ([7], "not of a search that this version saves"),
        ({"depth": "7"}, "depth is '7'; expected a whole number"),
        ({"long_documents": "none"}, "long_documents='none'; expected one of"),
    ],
)
def test_settings_of_a_saved_search_that_cannot_be_used_are_a_package_error(tmp_path, reranker, settings, message):
    RetrieveAndRerank.from_documents(["bread"], reranker).save(tmp_path)
    (tmp_path / "pipeline.json").write_text(json.dumps(settings))
    with pytest.raises(PackageError, match=rf"pipeline\.json: {message}"):
        RetrieveAndRerank.load(tmp_path, reranker)


def test_a_search_that_was_saved_before_there_were_formats_is_read(tmp_path, reranker):
    RetrieveAndRerank.from_documents(["bread"], reranker).save(tmp_path)
    (tmp_path / "pipeline.json").write_text('{"depth": 7, "passages": 1}')
    assert len(RetrieveAndRerank.load(tmp_path, reranker)) == 1


def test_a_missing_folder_is_an_input_error(tmp_path, reranker):
    with pytest.raises(InputError, match="no such file"):
        RetrieveAndRerank.load(tmp_path / "none", reranker)


def test_an_index_of_documents_that_are_not_there_is_refused(search, reranker, tmp_path):
    search.save(tmp_path / "search")
    path = tmp_path / "search" / "documents.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(PackageError, match=r"the index holds 'baking-0', which is not in documents\.jsonl"):
        RetrieveAndRerank.load(tmp_path / "search", reranker)
