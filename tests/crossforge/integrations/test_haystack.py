"""The adapter for Haystack, with the real library."""

import asyncio
import os
from copy import deepcopy

import pytest

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
pytest.importorskip("haystack", reason="haystack-ai is not installed: crossforge[integrations]")

from haystack import Document, Pipeline
from support import TOY_QUERY as QUERY

from crossforge import InputError
from crossforge.integrations.haystack import CrossforgeRanker


@pytest.fixture
def documents(toy_texts):
    return [Document(content=text, meta={"n": n}) for n, text in enumerate(toy_texts)]


@pytest.fixture
def ranker(toy_package):
    return CrossforgeRanker(str(toy_package))


def test_documents_are_ordered_and_scored_by_probability(ranker, documents, toy_ranked):
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    assert [document.content for document in found] == [result.text for result in toy_ranked]
    assert [document.score for document in found] == [result.probability for result in toy_ranked]
    assert [document.meta["n"] for document in found] == [int(result.doc_id) for result in toy_ranked]


def test_what_was_given_stays_as_it_is(ranker, documents):
    before = deepcopy(documents)
    ranker.run(query=QUERY, documents=documents)
    assert documents == before


def test_it_cuts_to_the_best_and_to_the_relevant(toy_package, documents, toy_ranked):
    assert len(CrossforgeRanker(str(toy_package), top_k=3).run(QUERY, documents)["documents"]) == 3
    assert len(CrossforgeRanker(str(toy_package), top_k=3).run(QUERY, documents, top_k=5)["documents"]) == 5
    relevant = CrossforgeRanker(str(toy_package), only_relevant=True).run(QUERY, documents)["documents"]
    assert len(relevant) == len(toy_ranked.above_threshold())


def test_it_is_part_of_a_pipeline_that_can_be_written_down(toy_package, documents, toy_ranked):
    pipeline = Pipeline()
    pipeline.add_component("ranker", CrossforgeRanker(str(toy_package), top_k=4, options={"max_passages": 2}))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=[CrossforgeRanker.__module__])
    found = again.run({"ranker": {"query": QUERY, "documents": documents}})["ranker"]["documents"]
    assert [document.content for document in found] == [result.text for result in toy_ranked.top_k(4)]


def test_it_works_in_an_event_loop(toy_package, documents, toy_ranked):
    pipeline = Pipeline()
    pipeline.add_component("ranker", CrossforgeRanker(str(toy_package)))
    found = asyncio.run(pipeline.run_async({"ranker": {"query": QUERY, "documents": documents}}))
    assert [d.content for d in found["ranker"]["documents"]] == [result.text for result in toy_ranked]


def test_titles_are_read_before_the_text(ranker, toy_reranker):
    titled = Document(content="sail", meta={"title": "bread"})
    (found,) = ranker.run(QUERY, [titled])["documents"]
    assert found.score == toy_reranker.rank(QUERY, ["bread\nsail"])[0].probability


def test_copies_and_documents_without_text(ranker, documents):
    assert len(ranker.run(QUERY, [*documents, documents[0]])["documents"]) == len(documents)
    assert ranker.run(QUERY, []) == {"documents": []}
    with pytest.raises(InputError, match="NoneType"):
        ranker.run(QUERY, [Document(content=None, meta={"title": "bread"})])
