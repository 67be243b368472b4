"""The adapter for LlamaIndex, with the real library."""

import asyncio
from copy import deepcopy

import pytest

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed: crossforge[integrations]")

from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from support import TOY_QUERY as QUERY

from crossforge import InputError
from crossforge.integrations.llama_index import CrossforgeRerank


@pytest.fixture
def nodes(toy_texts):
    return [NodeWithScore(node=TextNode(text=text, metadata={"n": n}), score=0.5) for n, text in enumerate(toy_texts)]


def test_nodes_are_ordered_and_scored_by_probability(toy_reranker, nodes, toy_ranked):
    found = CrossforgeRerank(reranker=toy_reranker).postprocess_nodes(nodes, query_str=QUERY)
    assert [node.text for node in found] == [result.text for result in toy_ranked]
    assert [node.score for node in found] == [result.probability for result in toy_ranked]
    assert [node.metadata["n"] for node in found] == [int(result.doc_id) for result in toy_ranked]


def test_what_was_given_stays_as_it_is(toy_reranker, nodes):
    before = deepcopy(nodes)
    CrossforgeRerank(reranker=toy_reranker).postprocess_nodes(nodes, QueryBundle(QUERY))
    assert nodes == before


def test_it_cuts_to_the_best_and_to_the_relevant(toy_reranker, nodes, toy_ranked):
    assert len(CrossforgeRerank(reranker=toy_reranker, top_n=3).postprocess_nodes(nodes, query_str=QUERY)) == 3
    relevant = CrossforgeRerank(reranker=toy_reranker, only_relevant=True).postprocess_nodes(nodes, query_str=QUERY)
    assert len(relevant) == len(toy_ranked.above_threshold())


def test_it_works_in_an_event_loop(toy_reranker, nodes):
    rerank = CrossforgeRerank(reranker=toy_reranker, top_n=4)
    found = asyncio.run(rerank.apostprocess_nodes(nodes, query_str=QUERY))
    assert found == rerank.postprocess_nodes(nodes, query_str=QUERY)


def test_metadata_is_read_where_that_is_asked_for(toy_reranker):
    node = NodeWithScore(node=TextNode(text="sail", metadata={"title": "bread"}))
    rerank = CrossforgeRerank(reranker=toy_reranker, metadata_mode=MetadataMode.ALL)
    (with_metadata,) = rerank.postprocess_nodes([node], query_str=QUERY)
    (without,) = CrossforgeRerank(reranker=toy_reranker).postprocess_nodes([node], query_str=QUERY)
    assert without.score == toy_reranker.rank(QUERY, ["sail"])[0].probability
    assert with_metadata.score == toy_reranker.rank(QUERY, ["title: bread\n\nsail"])[0].probability != without.score


def test_a_query_is_needed(toy_reranker, nodes):
    with pytest.raises(InputError, match="needs a query"):
        CrossforgeRerank(reranker=toy_reranker).postprocess_nodes(nodes)
    assert CrossforgeRerank(reranker=toy_reranker).postprocess_nodes([], query_str=QUERY) == []
