"""What queries of the same text know of each other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge_train.collections.collection import Collection, positives
from crossforge_train.collections.same_text import judged_by_text, spared_documents
from crossforge_train.collections.splits import normalized
from crossforge_train.encoders import tuning
from crossforge_train.evaluation import moving
from crossforge_train.stages.tuned_encoder import _examples
from crossforge_train.training.collator import GroupCollator
from crossforge_train.training.rows import _Texts

COLLECTION = Collection(
    "any",
    {key: Document(key, f"text {key}") for key in "abcd"},
    {"one": "renew passport", "two": "Renew, passport!", "other": "new passport", "elsewhere": "renew passport"},
    {
        "train": {"one": {"a": 1, "b": 0}, "two": {"b": 2, "c": 0}, "other": {"c": 1}},
        "dev": {"elsewhere": {"d": 1}},
    },
    own_documents={"two": "d", "other": "c"},
)


def test_judgements_of_the_same_text_are_merged_within_a_split() -> None:
    judged = judged_by_text(COLLECTION, "train")
    assert judged["one"] == judged["two"] == {"a": 1, "b": 2, "c": 0}
    assert judged["other"] == {"c": 1}
    assert judged_by_text(COLLECTION, "dev") == {"elsewhere": {"d": 1}}


def test_what_is_relevant_to_the_same_text_is_spared_and_so_is_the_querys_own_document() -> None:
    assert spared_documents(COLLECTION, "train") == {"one": ["b"], "two": ["a", "d"], "other": ["c"]}
    assert spared_documents(COLLECTION, "dev") == {}


def test_what_has_the_very_text_of_a_relevant_document_is_spared_and_another_title_makes_another_text() -> None:
    corpus = {"copy": Document("copy", "text a"), "titled": Document("titled", "text b", "of b"), **COLLECTION.corpus}
    found = spared_documents(replace(COLLECTION, corpus=corpus), "train")
    assert found == {"one": ["b", "copy"], "two": ["a", "copy", "d"], "other": ["c"]}


@st.composite
def collections(draw: st.DrawFn) -> Collection:
    """Few texts under many ids, some nearly the same, and queries that share texts, grades and own documents."""
    texts = ["an old boat", "an old boat!", "bread and dough", "a chord"]
    documents = draw(st.lists(st.tuples(st.sampled_from(texts), st.sampled_from(["", "t"])), min_size=2, max_size=8))
    corpus = {f"d{n}": Document(f"d{n}", text, title) for n, (text, title) in enumerate(documents)}
    queries = {f"q{n}": draw(st.sampled_from(["red car", "Red car!", "blue"])) for n in range(draw(st.integers(2, 6)))}
    one = st.sampled_from(list(corpus))
    judged = {query_id: draw(st.dictionaries(one, st.integers(0, 3), min_size=1, max_size=3)) for query_id in queries}
    own = {query_id: doc_id for query_id in queries if judged[query_id].get(doc_id := draw(one), 0) <= 0}
    return Collection("any", corpus, queries, {"train": judged}, own_documents=draw(st.sampled_from([{}, own])))


def no_negatives(collection: Collection, query_id: str) -> set[str]:
    """What must not be a negative of a query: all that is known to be relevant to its text, and what reads the same."""
    text = normalized(collection.queries[query_id])
    known = {
        doc_id
        for other, judged in collection.qrels("train").items()
        if normalized(collection.queries[other]) == text
        for doc_id in positives(judged)
    }
    read = {collection.corpus[doc_id].full_text for doc_id in known}
    own = (collection.own_documents or {}).get(query_id)
    return {doc_id for doc_id, document in collection.corpus.items() if document.full_text in read} | known | {own}


def of_tuning(collection: Collection) -> Iterator[tuple[str, str]]:
    """Query and negative, for the negatives that the encoder is moved away from, with all queries in one batch."""
    examples = _examples(collection, "train")
    asked = [query_id for query_id, judged in collection.qrels("train").items() if positives(judged)]
    places = range(len(asked))
    documents, wanted = torch.zeros(len(asked), len(asked), requires_grad=True), []

    def read(texts: Sequence[str], role: str) -> torch.Tensor:
        return documents if role == "document" else torch.eye(len(texts))

    def text(doc_id: str) -> str:
        wanted.append(doc_id)
        return doc_id

    tuning._loss(read, replace(examples, text=text), places, 0).backward()  # type: ignore[arg-type]
    moved = documents.grad
    assert moved is not None
    # What a query is moved away from pulls its loss down by being less similar.
    return ((asked[row], wanted[column]) for row in places for column in places if moved[column, row] > 0)


def of_query_map(collection: Collection) -> Iterator[tuple[str, str]]:
    """The same for the query map, which has every document as a negative that it is not told to leave."""
    told: list[Any] = []
    doc_ids = list(collection.corpus)
    retriever: Any = SimpleNamespace(doc_ids=doc_ids, vectors=np.eye(len(doc_ids)), query_vectors=lambda texts: texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "fit_query_map", lambda *given: told.append(given))
        moving.learned_map(retriever, collection, "train", 0)
    _, _, relevant, _, spared = told[0]
    asked = [query_id for query_id, judged in collection.qrels("train").items() if positives(judged)]
    left = [{*rows, *spared.get(query, ())} for query, rows in enumerate(relevant)]
    return (
        (asked[query], doc_id) for query in range(len(asked)) for row, doc_id in enumerate(doc_ids)
        if row not in left[query]
    )  # fmt: skip


def of_batch(collection: Collection) -> Iterator[tuple[str, str]]:
    """The same for the documents of other queries' groups, which join a group in training."""
    pipeline: Any = SimpleNamespace(passages=lambda query, documents: [[found.doc_id] for found in documents])
    asked = [query_id for query_id, judged in collection.qrels("train").items() if positives(judged)]
    groups = [positives(collection.qrels("train")[query_id])[:1] for query_id in asked]
    given = {"query_id": asked, "doc_ids": groups, "label": [[1]] * len(asked), "teacher": [[]] * len(asked)}
    columns = _Texts(collection, "train", pipeline)(given)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    collate = GroupCollator(None, 100, in_batch_negatives=100)  # type: ignore[arg-type]
    return (
        (query_id, doc_id)
        for query_id, row in zip(asked, rows, strict=True)
        for doc_id in collate._with_others(row, rows)["documents"][1:]
    )


@pytest.mark.parametrize("source", [of_tuning, of_query_map, of_batch])
def test_no_source_of_negatives_has_a_known_positive_or_what_reads_the_same(source: Any) -> None:
    seen = []

    @settings(max_examples=50)
    @given(collections())
    def check(collection: Collection) -> None:
        if not any(map(positives, collection.qrels("train").values())):
            return
        for query_id, doc_id in source(collection):
            assert doc_id not in no_negatives(collection, query_id)
            seen.append(doc_id)

    check()
    assert seen, "there are negatives"
