"""Clicks become judgements: simulated from a known truth, whose order must come back where counting clicks fails."""

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from reading import problem, read, write_table
from scipy.stats import kendalltau
from support import write_lines

from crossforge_train.collections.readers.reader import source_depends_on
from crossforge_train.config.clicks import ClickWeights, UbiFiles
from crossforge_train.config.sources import AnySource
from crossforge_train.labels.click_logs import read_ubi
from crossforge_train.labels.click_model import attraction

POSITIONS = 10


class Simulated(NamedTuple):
    truth: np.ndarray  # attractiveness of each pair, shape (pairs,)
    pairs: np.ndarray  # of each line
    positions: np.ndarray
    clicks: np.ndarray
    bias: np.ndarray


def simulated(ranker: float, noise: float, sessions: int = 400, queries: int = 30, seed: int = 0) -> Simulated:
    """Users of the position-based model look at position k with probability 1/k and click by attractiveness.

    Args:
        ranker: 1 puts the best documents on top, -1 the worst ones.
        noise: spread of the ranker's scores between sessions.
    """
    draw = np.random.default_rng(seed)
    bias = 1 / np.arange(1, POSITIONS + 1)
    truth = draw.uniform(0.05, 0.95, (queries, POSITIONS))
    scores = ranker * truth[:, None] + noise * draw.normal(size=(queries, sessions, POSITIONS))
    order = np.argsort(-scores, axis=2)
    attractive = np.take_along_axis(np.broadcast_to(truth[:, None], scores.shape), order, axis=2)
    clicks = (draw.random(order.shape) < attractive * bias).astype(float)
    pairs = order + POSITIONS * np.arange(queries)[:, None, None]
    positions = np.broadcast_to(np.arange(POSITIONS), order.shape)
    return Simulated(truth.ravel(), pairs.ravel(), positions.ravel(), clicks.ravel(), bias)


def agreement(found: Simulated, values: np.ndarray) -> float:
    """Kendall's tau with the true order, averaged over queries."""
    rows = zip(found.truth.reshape(-1, POSITIONS), values.reshape(-1, POSITIONS), strict=True)
    return float(np.mean([kendalltau(true, value).statistic for true, value in rows]))


@pytest.fixture(scope="module")
def misled() -> Simulated:
    """A log of a ranker that puts the worst documents on top."""
    return simulated(-1, noise=0.3, sessions=1000)


def test_the_true_order_comes_back_where_naive_counts_are_wrong(misled: Simulated) -> None:
    counted = np.bincount(misled.pairs, misled.clicks)
    found = attraction(misled.pairs, misled.positions, misled.clicks, prior=1)
    assert agreement(misled, counted) < 0.3
    assert agreement(misled, found.ratio) > 0.85
    assert np.abs(found.bias / found.bias[0] - misled.bias).max() < 0.03


def test_turns_take_the_goodness_of_documents_out_of_their_positions(misled: Simulated) -> None:
    coec = attraction(misled.pairs, misled.positions, misled.clicks, prior=1, turns=1)
    found = attraction(misled.pairs, misled.positions, misled.clicks, prior=1)
    given = attraction(misled.pairs, misled.positions, misled.clicks, prior=1, bias=misled.bias)
    assert np.abs(coec.bias / coec.bias[0] - misled.bias).max() > 0.15
    assert agreement(misled, found.ratio) > agreement(misled, coec.ratio) + 0.1
    assert agreement(misled, given.ratio) == pytest.approx(agreement(misled, found.ratio), abs=0.01)


def test_where_every_document_keeps_its_position_the_estimate_is_plain_coec() -> None:
    positions, pairs = np.tile(np.arange(4), 200), np.arange(800) % 8
    clicks = (np.random.default_rng(0).random(800) < 0.4).astype(float)
    coec = attraction(pairs, positions, clicks, prior=0, turns=1)
    assert attraction(pairs, positions, clicks, prior=0).ratio == pytest.approx(coec.ratio)


def test_as_many_clicks_are_expected_as_there_are_and_one_is_average() -> None:
    log = simulated(0, noise=1, sessions=50)
    found = attraction(log.pairs, log.positions, log.clicks, prior=0)
    assert found.bias[log.positions].sum() == pytest.approx(log.clicks.sum())
    assert np.average(found.ratio, weights=np.bincount(log.pairs, found.bias[log.positions])) == pytest.approx(1)
    assert (found.impressions == 50).all()


def test_a_log_where_nobody_clicks_has_no_infinite_ratio() -> None:
    lines = np.arange(4)
    found = attraction(lines, lines, np.array([1.0, 0, 0, 0]), prior=0)
    assert list(found.ratio) == [1, 0, 0, 0]
    assert np.isfinite(attraction(lines, lines, np.zeros(4), prior=1).ratio).all()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_table(tmp_path / "docs.jsonl", [{"_id": f"d{n}", "text": f"text {n}"} for n in range(4)])


def lines(*shown: tuple, times: int = 10, query: str = "boats", **more: object) -> list[dict]:
    return [
        {"query": query, "doc": doc_id, "position": position, "clicked": int(number < clicks), **more}
        for doc_id, position, clicks in shown
        for number in range(times)
    ]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_becomes_graded_judgements(tmp_path: Path, corpus: Path, suffix: str) -> None:
    rows = lines(("d0", 1, 2), ("d1", 1, 8), ("d2", 2, 1), ("d3", 2, 0))
    rows += lines(("d0", 1, 9), times=9, query="rare") + lines(("d0", 1, 0), query="never clicked")
    rows += lines(("gone", 1, 9), query="boats")
    log = write_table(tmp_path / f"log{suffix}", rows)
    found = read(clicks={"corpus": corpus, "log": log, "prior": 0, "position_bias": [2, 1]})
    # 20 clicks on 39 lines at position 1 and 20 at position 2, whose bias is half of it: 0.41 and 0.2 a line.
    assert list(found.splits["train"].values()) == [{"d0": 0, "d1": 2, "d2": 0, "d3": 0}]
    assert list(found.queries.values()) == ["boats"]
    assert [found.query_fields[key]["judged_by"] for key in found.queries] == ["clicks"]
    assert found.counted == {
        "lines of the click log": 69,
        "lines with documents that are not in the corpus": 10,
        "pairs with too few impressions": 1,
        "queries without a relevant document": 1,
        "judged pairs": 4,
    }
    assert len(source_depends_on(AnySource(clicks={"corpus": corpus, "log": log}))["files"]) == 2


def test_what_nobody_clicked_is_not_relevant_wherever_it_stood(tmp_path: Path, corpus: Path) -> None:
    rows = lines(("d0", 1, 8), ("d1", 1, 1), ("d2", 50, 0), ("d3", 2, 0)) + lines(("d3", 2, 1), query="others")
    log = write_table(tmp_path / "log.csv", rows)
    found = read(clicks={"corpus": corpus, "log": log, "grades": [0.2, 1.5]})
    assert {"d0": 2, "d1": 1, "d2": 0, "d3": 0} in found.splits["train"].values()


def test_a_log_without_a_click_is_refused(tmp_path: Path, corpus: Path) -> None:
    log = write_table(tmp_path / "log.csv", lines(("d0", 1, 0), ("d1", 2, 0)))
    assert problem(clicks={"corpus": corpus, "log": log}) == (
        f"{log}: nobody clicked anything in its 20 lines, so they say nothing; check its column 'clicked' "
        "(collection.clicks.columns.clicked)"
    )
    files = ubi(tmp_path, [event("hover", "d0")], ["d0", "d1"])
    assert problem(clicks={"corpus": corpus, "ubi": files}) == (
        f"{files['events']}: nobody clicked anything in its 20 lines, so they say nothing; check its events"
    )


def test_dwell_and_purchases_weigh_more(tmp_path: Path, corpus: Path) -> None:
    rows = lines(("d0", 1, 5), dwell="", purchased="0") + lines(("d1", 1, 5), dwell="45.5", purchased="0")
    rows += lines(("d2", 1, 5), dwell="2", purchased="0") + lines(("d3", 1, 1), dwell="", purchased="1")
    log = write_table(tmp_path / "log.csv", rows)
    found = read(clicks={"corpus": corpus, "log": log, "prior": 0, "grades": [0.5, 1, 2.5]})
    (labels,) = found.splits["train"].values()
    assert labels == {"d0": 0, "d1": 1, "d2": 0, "d3": 3}


def test_queries_with_personal_data_or_without_a_word_are_counted_and_dropped(tmp_path: Path, corpus: Path) -> None:
    rows = lines(("d0", 1, 9)) + lines(("d0", 1, 9), query="mail jane@example.org") + lines(("d0", 1, 9), query=" ")
    found = read(clicks={"corpus": corpus, "log": write_table(tmp_path / "log.csv", rows), "prior": 0})
    assert list(found.queries.values()) == ["boats"]
    assert found.counted["lines whose query holds a mail address"] == found.counted["lines without a query"] == 10


def test_spellings_of_a_query_are_one_and_the_commonest_stands(tmp_path: Path, corpus: Path) -> None:
    rows = [*lines(("d0", 1, 9), query="C++  boats"), *lines(("d1", 1, 1), query="c++ boats", times=20)]
    rows += lines(("d2", 1, 9), query="c boats")
    found = read(clicks={"corpus": corpus, "log": write_table(tmp_path / "log.csv", rows), "prior": 0})
    assert sorted(found.queries.values()) == ["c boats", "c++ boats"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": "1.5"}, "the position '1.5' is no whole number of 0 or more"),
        ({"position": -1}, "the position '-1' is no whole number"),
        ({"clicked": "often"}, "column 'clicked' holds 'often' where 1, 0, true or false is expected"),
        ({"doc": "d 1"}, "the id 'd 1' is empty or holds a space"),
        ({"dwell": "long"}, "the dwell time 'long' is no number of seconds"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, corpus: Path, change: dict, message: str) -> None:
    row = {"query": "q", "doc": "d0", "position": 1, "clicked": 1, "dwell": ""}
    log = write_table(tmp_path / "log.csv", [row, {**row, **change}])
    assert problem(clicks={"corpus": corpus, "log": log}).startswith(f"{log}, line 3: {message}")


def test_a_log_that_says_nothing_is_refused(tmp_path: Path, corpus: Path) -> None:
    log = write_table(tmp_path / "log.csv", lines(("d0", 1, 3), times=9))
    source = {"corpus": corpus, "log": log}
    assert problem(clicks=source).startswith(f"{log}: of 1 pairs of query and document, none that was shown 10 times")
    assert "position 1 occurs" not in problem(clicks={**source, "position_bias": [1]})
    write_table(log, lines(("d0", 3, 3)))
    assert problem(clicks={**source, "position_bias": [1, 0.5]}).startswith(f"{log}: position 3 occurs, but")
    write_table(log, lines(("elsewhere", 1, 3)))
    assert problem(clicks=source) == f"{log}: no line in it shows a document of {corpus}"
    write_table(log, [{"query": "q", "doc": "d0", "clicked": 1}])
    assert problem(clicks=source).startswith(f"{log}, line 2: there is no column 'position'; columns here: query")


def ubi(folder: Path, events: list[dict], hits: list[str] | None = None, sessions: int = 10) -> dict:
    """Exports of a query that is asked in several sessions, each with the same events."""
    queries = [{"query_id": f"s{n}", "user_query": "boats", "query_response_hit_ids": hits} for n in range(sessions)]
    rows = [{**event, "query_id": f"s{n}"} for n in range(sessions) for event in events]
    paths = {"queries": folder / "ubi_queries.jsonl", "events": folder / "ubi_events.jsonl"}
    for path, found in zip(paths.values(), (queries, rows), strict=True):
        path.write_text("".join(json.dumps({"_id": n, "_source": row}) + "\n" for n, row in enumerate(found)))
    return paths


def event(action: str, doc_id: str, position: object = None, **more: object) -> dict:
    place = {} if position is None else {"position": {"ordinal": position}}
    return {"action_name": action, "event_attributes": {"object": {"object_id": doc_id}, **place, **more}}


def test_ubi_shows_what_a_query_returned_unless_impressions_were_recorded(tmp_path: Path, corpus: Path) -> None:
    files = ubi(tmp_path, [event("click", "d1"), event("click", "d1"), event("login", "d0")], ["d0", "d1", "d2"])
    found = read(clicks={"corpus": corpus, "ubi": files, "position_bias": [1, 1, 1], "prior": 0})
    assert list(found.splits["train"].values()) == [{"d0": 0, "d1": 3, "d2": 0}]
    assert found.counted["lines of the click log"] == 30
    files = ubi(tmp_path, [event("impression", "d0", 0), event("click", "d1", {"index": 1})], ["d0", "d1", "d2"])
    found = read(clicks={"corpus": corpus, "ubi": files, "position_bias": [1, 1], "prior": 0})
    assert list(found.splits["train"].values()) == [{"d0": 0, "d1": 3}], "d2 was never seen, d1 was clicked"


@pytest.mark.parametrize("first", [0, 1])
def test_positions_of_ubi_start_at_one_whether_they_were_recorded_or_listed(tmp_path: Path, first: int) -> None:
    files = ubi(tmp_path, [event("impression", "d0", first), event("click", "d1", first + 1)], sessions=1)
    with files["queries"].open("a") as rows:
        rows.write('{"query_id": "listed", "user_query": "boats", "query_response_hit_ids": ["d0", "d1"]}\n')
    shown = read_ubi(UbiFiles(**files), ClickWeights(), Counter())
    assert [(line.doc_id, line.position) for line in shown] == [("d0", 1), ("d1", 2), ("d0", 1), ("d1", 2)]


def test_the_strongest_reaction_of_ubi_counts(tmp_path: Path, corpus: Path) -> None:
    events = [event("click", "d0"), event("click", "d1", dwell_time=60), event("purchase", "d2"), event("click", "d2")]
    files = ubi(tmp_path, [*events, event("add_to_cart", "d3"), event("click", "d9")], ["d0", "d1", "d2", "d3"])
    source = {"corpus": corpus, "ubi": {"train": files}, "position_bias": [1] * 4, "prior": 0}
    found = read(clicks={**source, "grades": [0.3, 0.5, 1, 1.5]})
    assert list(found.splits["train"].values()) == [{"d0": 1, "d1": 2, "d2": 4, "d3": 3}]
    assert found.counted["reactions to documents at unknown positions"] == 10


def test_what_ubi_cannot_use_is_counted_or_named(tmp_path: Path, corpus: Path) -> None:
    files = ubi(tmp_path, [event("click", "d0", 1), {"action_name": "click"}], ["d0", "d1"])
    with files["events"].open("a") as rows:
        rows.write(json.dumps({**event("click", "d0"), "query_id": "elsewhere"}) + "\n")
    source = {"corpus": corpus, "ubi": files}
    counted = read(clicks=source).counted
    assert counted["events of unknown queries"] == 1
    assert counted["events without an object and a position"] == 10
    files["events"].write_text('{"query_id": "s0"}\n')
    assert problem(clicks=source) == f"{files['events']}, line 1: no action_name; keys here: query_id"
    files["queries"].write_text('{"user_query": "boats"}\n')
    assert problem(clicks=source) == f"{files['queries']}, line 1: no query_id; keys here: user_query"
    files["queries"].write_text('{"query_id": "s0", "user_query": 7}\n')
    assert problem(clicks=source) == f"{files['queries']}, line 1: user_query holds 7 where a text is expected"


def test_ubi_queries_without_a_text_are_counted_and_left_out(tmp_path: Path, corpus: Path) -> None:
    files = ubi(tmp_path, [event("click", "d1")], ["d0", "d1"], sessions=12)
    rows = [json.loads(line) for line in files["queries"].read_text().splitlines()]
    for row, empty in zip(rows, ({"user_query": None}, {"user_query": " "}), strict=False):
        row["_source"].update(empty)
    write_lines(files["queries"], rows)
    source = {"corpus": corpus, "ubi": files, "position_bias": [1, 1], "prior": 0}
    found = read(clicks=source)
    assert list(found.splits["train"].values()) == [{"d0": 0, "d1": 3}]
    assert found.counted["queries without a text"] == 2
    assert "events of unknown queries" not in found.counted, "they are known, and of no use"
    for row in rows:
        del row["_source"]["user_query"]
    write_lines(files["queries"], rows)
    assert problem(clicks=source) == f"{files['queries']}: none of its 12 queries has a text (user_query)"


def test_a_log_or_ubi_is_named_and_grades_rise(corpus: Path) -> None:
    for wrong in ({}, {"log": "a.csv", "ubi": {"queries": "q.jsonl", "events": "e.jsonl"}}):
        with pytest.raises(ValueError, match="exactly one of log"):
            AnySource(clicks={"corpus": corpus, **wrong})
    with pytest.raises(ValueError, match="grades must rise"):
        AnySource(clicks={"corpus": corpus, "log": "a.csv", "grades": [2, 1]})
