"""The adapters for LangChain, with the real library."""

import asyncio
from copy import deepcopy

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed: crossforge[integrations]")

from langchain_core.documents import Document
from support import TOY_QUERY as QUERY

from crossforge import InputError
from crossforge.integrations.langchain import CrossforgeCrossEncoder, CrossforgeReranker, CrossforgeRetriever


@pytest.fixture
def documents(toy_texts):
    return [
        Document(page_content=text, metadata={"n": n, "tags": ["a"]}, id=f"d{n}") for n, text in enumerate(toy_texts)
    ]


def test_a_compressor_orders_and_writes_the_probability(toy_reranker, documents, toy_ranked):
    found = CrossforgeReranker(reranker=toy_reranker).compress_documents(documents, QUERY)
    assert [document.page_content for document in found] == [result.text for result in toy_ranked]
    assert [document.metadata["relevance_score"] for document in found] == [r.probability for r in toy_ranked]
    for document in found:
        assert document.metadata["tags"] == ["a"]
        assert document.id == f"d{document.metadata['n']}"


def test_a_compressor_leaves_what_it_was_given_as_it_is(toy_reranker, documents):
    before = deepcopy(documents)
    found = CrossforgeReranker(reranker=toy_reranker).compress_documents(documents, QUERY)
    found[0].metadata["mine"] = True
    assert documents == before


def test_a_compressor_cuts_to_the_best_and_to_the_relevant(toy_reranker, documents, toy_ranked):
    assert len(CrossforgeReranker(reranker=toy_reranker, top_n=3).compress_documents(documents, QUERY)) == 3
    relevant = CrossforgeReranker(reranker=toy_reranker, only_relevant=True).compress_documents(documents, QUERY)
    assert len(relevant) == len(toy_ranked.above_threshold())


def test_a_compressor_works_in_an_event_loop(toy_reranker, documents):
    compressor = CrossforgeReranker(reranker=toy_reranker, top_n=5)
    assert asyncio.run(compressor.acompress_documents(documents, QUERY)) == compressor.compress_documents(
        documents, QUERY
    )


def test_nothing_to_compress_gives_nothing(toy_reranker):
    assert CrossforgeReranker(reranker=toy_reranker).compress_documents([], QUERY) == []
    with pytest.raises(InputError, match="query is empty"):
        CrossforgeReranker(reranker=toy_reranker).compress_documents([], "")


def test_documents_may_share_an_id_or_have_none(toy_reranker, toy_texts):
    documents = [Document(page_content=text, id=None) for text in toy_texts[:3]] + [
        Document(page_content=toy_texts[0], id="x")
    ]
    assert len(CrossforgeReranker(reranker=toy_reranker).compress_documents(documents, QUERY)) == 4


def test_unknown_options_are_refused(toy_reranker):
    with pytest.raises(ValueError, match="top_k"):
        CrossforgeReranker(reranker=toy_reranker, top_k=3)


def test_a_cross_encoder_scores_pairs_for_langchains_own_compressor(toy_reranker, documents, toy_ranked, toy_texts):
    classic = pytest.importorskip(
        "langchain_classic.retrievers.document_compressors", reason="langchain-classic is not installed"
    )
    model = CrossforgeCrossEncoder(toy_reranker)
    assert model.score([(QUERY, text) for text in toy_texts]) == pytest.approx(
        toy_reranker.score(QUERY, toy_texts), abs=1e-6
    )
    found = classic.CrossEncoderReranker(model=model, top_n=5).compress_documents(documents, QUERY)
    assert [document.page_content for document in found] == [result.text for result in toy_ranked.top_k(5)]


def test_a_compressor_works_behind_a_retriever(toy_reranker, documents):
    retrievers = pytest.importorskip("langchain_classic.retrievers", reason="langchain-classic is not installed")
    first_stage = CrossforgeRetriever.from_documents(documents, toy_reranker, k=8)
    both = retrievers.ContextualCompressionRetriever(
        base_retriever=first_stage, base_compressor=CrossforgeReranker(reranker=toy_reranker, top_n=2)
    )
    assert len(both.invoke(QUERY)) == 2
    assert asyncio.run(both.ainvoke(QUERY)) == both.invoke(QUERY)


def test_a_retriever_gives_what_the_pipeline_gives(toy_reranker, documents):
    retriever = CrossforgeRetriever.from_documents(documents, toy_reranker, k=4)
    ranked = retriever.search(QUERY, 4)
    found = retriever.invoke(QUERY)
    assert [document.id for document in found] == [result.doc_id for result in ranked]
    for document, result in zip(found, ranked, strict=True):
        assert document.page_content == result.text
        assert document.metadata["relevance_score"] == result.probability
        assert document.metadata["passage"] == result.passage
        assert document.metadata["first_stage_rank"] == result.first_stage_rank
        assert document.metadata["tags"] == ["a"]
    assert asyncio.run(retriever.ainvoke(QUERY)) == found
    assert retriever.invoke("unheardof") == []


def test_a_retriever_reads_titles_from_the_metadata(toy_reranker):
    documents = [Document(page_content="sail", metadata={"title": "bread"}), Document(page_content="wind")]
    (found,) = CrossforgeRetriever.from_documents(documents, toy_reranker).invoke("bread")
    assert (found.metadata["title"], found.page_content) == ("bread", "sail")


def test_a_retriever_keeps_the_metadata_that_it_is_given(toy_reranker):
    given = {"doc_id": "X1", "title": 7, "source": "a.pdf"}
    documents = [Document(page_content="bread oven", metadata=given), Document(page_content="sail")]
    retriever = CrossforgeRetriever.from_documents(documents, toy_reranker)
    (found,) = retriever.invoke("bread")
    assert {key: found.metadata[key] for key in given} == given
    (found,) = retriever.invoke("sail")
    assert (found.metadata["doc_id"], found.metadata["title"]) == ("1", "")


def test_passages_of_one_text_may_share_the_id_in_their_metadata(toy_reranker):
    documents = [Document(page_content=f"bread {n}", metadata={"doc_id": "X1"}) for n in range(2)]
    found = CrossforgeRetriever.from_documents(documents, toy_reranker).invoke("bread")
    assert sorted(document.id for document in found) == ["0", "1"]
    assert {document.metadata["doc_id"] for document in found} == {"X1"}


def test_documents_without_an_id_get_none_that_another_has(toy_reranker):
    documents = [Document(page_content=f"bread {n}", id=own) for n, own in enumerate(("1", None, None, "4"))]
    found = CrossforgeRetriever.from_documents(documents, toy_reranker).invoke("bread")
    assert {document.page_content: document.id for document in found} == {
        "bread 0": "1", "bread 1": "5", "bread 2": "2", "bread 3": "4",
    }  # fmt: skip
