"""The adapter for PyTerrier, with the real library; no Java is started."""

import pytest

pytest.importorskip("pyterrier", reason="python-terrier is not installed: crossforge[integrations]")

import pandas as pd
import pyterrier as pt
from support import TOY_QUERY as QUERY

from crossforge.integrations.pyterrier import CrossforgeTransformer


@pytest.fixture
def frame(toy_texts):
    rows = [
        {"qid": qid, "query": query, "docno": f"d{n}", "text": text, "score": 1.0, "rank": n, "n": n}
        for qid, query in (("q2", QUERY), ("q1", "boat sail"))
        for n, text in enumerate(toy_texts)
    ]
    return pd.DataFrame(rows)


def test_rows_are_scored_and_ranked_within_their_query(toy_reranker, frame, toy_texts):
    before = frame.copy(deep=True)
    found = CrossforgeTransformer(toy_reranker)(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert list(found["qid"].unique()) == ["q2", "q1"]
    for qid, query in (("q2", QUERY), ("q1", "boat sail")):
        rows = found[found["qid"] == qid]
        ranked = toy_reranker.rank(query, toy_texts)
        assert list(rows["docno"]) == [f"d{result.doc_id}" for result in ranked]
        assert list(rows["rank"]) == list(range(len(toy_texts)))
        assert list(rows["score"]) == pytest.approx([result.score for result in ranked], abs=1e-6)
        assert list(rows["n"]) == [int(result.doc_id) for result in ranked]


def test_it_is_part_of_a_pipeline(toy_reranker, frame):
    pipeline = pt.Transformer.from_df(frame) >> CrossforgeTransformer(toy_reranker) % 3
    found = pipeline(frame[["qid", "query"]].drop_duplicates())
    assert found.groupby("qid").size().to_dict() == {"q1": 3, "q2": 3}


def test_equal_scores_keep_the_order_of_the_rows(toy_reranker, frame):
    found = CrossforgeTransformer(toy_reranker)(frame.assign(text="bread"))
    assert list(found["n"]) == list(range(20)) * 2


def test_another_column_may_hold_the_text(toy_reranker, frame):
    renamed = frame.rename(columns={"text": "body"})
    found = CrossforgeTransformer(toy_reranker, text_field="body")(renamed)
    assert list(found["docno"]) == list(CrossforgeTransformer(toy_reranker)(frame)["docno"])


def test_a_missing_column_is_named_and_no_rows_are_no_error(toy_reranker, frame):
    with pytest.raises(KeyError, match="text"):
        CrossforgeTransformer(toy_reranker)(frame.drop(columns="text"))
    assert list(CrossforgeTransformer(toy_reranker)(frame.iloc[:0])["rank"]) == []


def test_pyterrier_can_look_into_it(toy_reranker, frame):
    outputs = pt.inspect.transformer_outputs(CrossforgeTransformer(toy_reranker), list(frame.columns))
    assert {"score", "rank", "docno"} <= set(outputs)
