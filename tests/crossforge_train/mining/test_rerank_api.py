"""A rerank API as teacher: what is sent, what becomes of its failures, and that no pair is paid for twice."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_endpoint import Failure, RerankServer, as_json, serving
from support import Recorder, toy_config

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.runs import Candidate
from crossforge_train.asking import endpoint
from crossforge_train.collections.collection import Collection
from crossforge_train.config.loading import load_config
from crossforge_train.config.mining import MiningConfig
from crossforge_train.config.rerank_api import RerankApiConfig
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.negatives import Candidates, Miner
from crossforge_train.mining.rerank_api import RerankApiTeacher
from crossforge_train.mining.teacher import mine_with_teacher
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.runner import run_stages

CORPUS = {f"d{n}": Document(f"d{n}", f"text number {n}") for n in range(30)}
QUERIES = {f"q{n}": f"query {n}" for n in range(6)}
COLLECTION = Collection("any", CORPUS, QUERIES, {"train": {query_id: {"d0": 1} for query_id in QUERIES}})


def number(text: str) -> int:
    return int(text.split("text number ")[1].split()[0])


def probability(query: str, text: str) -> float:
    """The lower the document's number, the more probable; the same for all queries."""
    return 1 / (2 + number(text))


def logit(text: str) -> float:
    return math.log(1 / (1 + number(text)))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RerankServer]:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    with serving(probability, RerankServer) as found:
        yield found


def api_config(server: RerankServer, folder: Path, **settings: Any) -> RerankApiConfig:
    usual = {"url": f"{server.url}/rerank", "model": "m", "cache": folder / "reranked", "concurrency": 1}
    return RerankApiConfig(**{**usual, **settings})


Teach = Callable[..., RerankApiTeacher]


@pytest.fixture
def teacher(server: RerankServer, tmp_path: Path) -> Teach:
    """A teacher that is opened anew, with the scores that are known."""

    def opened(reporter: Recorder | None = None, **settings: Any) -> RerankApiTeacher:
        return RerankApiTeacher(api_config(server, tmp_path, **settings), COLLECTION, reporter or Recorder())

    return opened


def group(query_id: str, *numbers: int) -> Group:
    doc_ids = [f"d{n}" for n in numbers]
    sources = ["positive", *["first stage"] * (len(numbers) - 1)]
    return Group(query_id, doc_ids, [1, *[0] * (len(numbers) - 1)], [0] * len(numbers), sources=sources)


GROUPS = [group(query_id, 0, 1, 2, 3) for query_id in QUERIES]


def test_documents_of_a_query_are_sent_together_and_each_pair_once(
    server: RerankServer, teacher: Teach, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = teacher()
    found.read([*GROUPS, group("q0", 0, 1, 9)])
    assert found.scores(GROUPS[0]) == pytest.approx([logit(f"text number {n}") for n in range(4)], abs=1e-4)
    assert len(server.requests) == 6
    path, key, body = server.requests[0]
    assert (path, key) == ("/v1/rerank", None)
    texts = [f"text number {n}" for n in (0, 1, 2, 3, 9)]
    assert body == {"model": "m", "query": "query 0", "documents": texts, "top_n": 5}
    found.read(GROUPS)
    again = teacher(concurrency=3, batch=2, max_calls=7, timeout=9.0, scale="unknown")
    again.read([*GROUPS, group("q1", 0, 7)])
    assert len(server.requests) == 7
    assert server.requests[-1][2]["documents"] == ["text number 7"]
    kept = "".join(file.read_text() for file in (tmp_path / "reranked").iterdir())
    assert "query" not in kept
    assert "text number" not in kept
    assert capfd.readouterr() == ("", "")


def test_no_more_documents_a_request_than_asked_for_and_none_longer(server: RerankServer, teacher: Teach) -> None:
    long = Document("long", "text number 5 " + "x" * 200)
    found = teacher(batch=3, max_document_characters=100)
    found._collection = Collection("any", {**CORPUS, "long": long}, QUERIES, {})
    found.read([Group("q0", ["d0", "d1", "d2", "long"], [1, 0, 0, 0], [0] * 4)])
    assert [len(body["documents"]) for _, _, body in server.requests] == [3, 1]
    assert server.requests[1][2]["documents"] == [long.text[:100]]


@pytest.mark.parametrize("change", [{"model": "n"}, {"max_document_characters": 200}, {"dialect": "tei"}])
def test_another_model_is_asked_anew(server: RerankServer, teacher: Teach, change: dict[str, Any]) -> None:
    teacher().read(GROUPS)
    teacher(**change).read(GROUPS)
    assert len(server.requests) == 12


@pytest.mark.parametrize("scale", ["probability", "logit"])
def test_text_embeddings_inference_is_asked_in_its_own_way(server: RerankServer, teacher: Teach, scale: str) -> None:
    found = teacher(dialect="tei", model=None, scale=scale)
    found.read(GROUPS[:1])
    assert server.requests[0][2] == {
        "query": "query 0", "texts": [f"text number {n}" for n in range(4)], "raw_scores": scale == "logit",
        "truncate": True,
    }  # fmt: skip
    given = [probability("", f"text number {n}") for n in range(4)]
    expected = given if scale == "logit" else [math.log(p / (1 - p)) for p in given]
    assert found.scores(GROUPS[0]) == pytest.approx(expected, abs=1e-4)


def test_each_scale_has_its_scores_and_its_margin(server: RerankServer, teacher: Teach) -> None:
    one = Group("q0", ["d3", "d0", "d4", "d1"], [1, 0, 0, 0], [0] * 4,
                sources=["positive", "first stage", "first stage", "judged"])  # fmt: skip
    found: dict[str, RerankApiTeacher] = {}
    for scale in ("probability", "logit", "unknown"):
        found[scale] = teacher(scale=scale)
        found[scale].read([one])
    given = [1 / 5, 1 / 2, 1 / 6, 1 / 3]
    assert found["probability"].scores(one) == pytest.approx([math.log(p / (1 - p)) for p in given], abs=1e-4)
    assert found["logit"].scores(one) == found["unknown"].scores(one) == pytest.approx(given, abs=1e-4)
    # 1/6 is above .8 · 1/5 and not above .95 · 1/5; sigmoids of all of them are near to each other.
    assert found["probability"].above(one, 0.95) == ["d0"]
    assert found["probability"].above(one, 0.8) == ["d0", "d4"]
    assert found["logit"].above(one, 0.95) == ["d0", "d4"]
    assert found["unknown"].above(one, 0.1) == []
    assert len(server.requests) == 1, "what its scores are taken for changes no number"


def test_a_certain_score_has_a_finite_logit(server: RerankServer, teacher: Teach) -> None:
    server.answer = lambda query, text: [1.0, 0.0, 1.0005, -0.0005][number(text)]
    found = teacher()
    found.read(GROUPS[:1])
    assert found.scores(GROUPS[0]) == pytest.approx([13.8155, -13.8155, 13.8155, -13.8155], abs=1e-3)
    assert found.above(GROUPS[0], 0.95) == ["d2"]


def test_a_score_that_is_no_probability_is_told_and_not_paid_for_again(server: RerankServer, teacher: Teach) -> None:
    server.answer = lambda query, text: 3.5 - number(text)
    with pytest.raises(InputError, match=r"^mining\.rerank_api: a score of 3\.5 is no probability; set its scale to"):
        teacher().read(GROUPS[:1])
    found = teacher(scale="logit")
    found.read(GROUPS[:1])
    assert found.scores(GROUPS[0]) == [3.5, 2.5, 1.5, 0.5]
    with pytest.raises(InputError, match=r"a score of 3\.5 is no probability"):
        teacher().read(GROUPS[:1])
    assert len(server.requests) == 1


def test_failures_that_pass_are_waited_for(server: RerankServer, teacher: Teach) -> None:
    one, two = {"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.25}
    server.failures = [
        Failure(429, b"slow down", {"Retry-After": "1"}), Failure(503, b""), Failure(200, b'{"results": ['),
        as_json({"results": [one]}), as_json({"results": [one, one]}),
    ]  # fmt: skip
    started = time.monotonic()
    found = teacher()
    found.read([group("q0", 0, 1)])
    assert time.monotonic() - started >= 1
    assert len(server.requests) == 6
    server.failures = [
        as_json({"results": [one, {**two, "index": 2}]}), as_json({"results": [one, {**two, "index": True}]}),
        as_json({"results": [one, {**two, "relevance_score": None}]}),
        as_json({"results": [one, {**two, "relevance_score": float("nan")}]}),
        as_json({"results": [one, {**two, "relevance_score": "0.1"}]}),
    ]  # fmt: skip
    found.read([group("q1", 0, 1)])
    assert len(server.requests) == 12
    assert found.scores(group("q1", 0, 1)) == found.scores(group("q0", 0, 1))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"data": []}, "holds no list of results; is the dialect another one"),
        ("fine", "holds no list of results"),
        ({"results": [{"place": 0}]}, "holds no index or no relevance_score"),
        ({"results": [0.5]}, "holds no index or no relevance_score"),
    ],
)
def test_an_answer_of_another_shape_is_told_at_once(
    server: RerankServer, teacher: Teach, answer: Any, problem: str
) -> None:
    server.failures = [as_json(answer)]
    with pytest.raises(InputError, match=problem):
        teacher().read(GROUPS)
    assert len(server.requests) == 1


def test_a_wrong_key_ends_it_and_the_right_one_is_sent(
    server: RerankServer, teacher: Teach, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.failures = [Failure(401, b"who are you?")]
    with pytest.raises(InputError, match=r"^mining\.rerank_api: http\S+/rerank: HTTP 401: who are you\?; answers so"):
        teacher().read(GROUPS)
    assert len(server.requests) == 1
    monkeypatch.setenv("RERANK_API_KEY", "secret-key")
    monkeypatch.setenv("OTHER_KEY", "other-key")
    teacher().read(GROUPS[:1])
    teacher(key_variable="OTHER_KEY", model="n").read(GROUPS[:1])
    assert [key for _, key, _ in server.requests[1:]] == ["Bearer secret-key", "Bearer other-key"]


def test_an_api_that_hangs_is_given_up_and_what_is_known_stays(server: RerankServer, teacher: Teach) -> None:
    teacher().read(GROUPS[:2])
    server.failures = [Failure(200, b"", seconds=0.6)] * 2
    with pytest.raises(InputError, match=r"^mining\.rerank_api: .*timed out; answers so far are kept$"):
        teacher(timeout=0.05, retries=1).read(GROUPS)
    teacher().read(GROUPS)
    assert len(server.requests) == 2 + len(GROUPS), "the two that hung, and each query once"


def test_requests_that_are_too_large_are_halved(server: RerankServer, teacher: Teach) -> None:
    server.largest = 3
    wide = group("q0", *range(10))
    found = teacher()
    found.read([wide])
    assert [len(body["documents"]) for _, _, body in server.requests] == [10, 5, 3, 2, 5, 3, 2]
    assert found.scores(wide) == sorted(found.scores(wide), reverse=True)


def test_a_query_that_is_refused_is_left_out_and_counted(server: RerankServer, teacher: Teach) -> None:
    run = {query_id: [Candidate(f"d{n}", -float(n)) for n in range(9)] for query_id in QUERIES}
    settings = MiningConfig(negatives=3, choice="top", near_copy=None)

    def mined(reporter: Recorder) -> Any:
        miner = Miner(COLLECTION, "train", Candidates(run, {}), settings, 0)
        return mine_with_teacher(miner, list(QUERIES), teacher(reporter), 0.95, relabel=False)

    server.failures = [Failure(422, b"no such words here")]
    reporter = Recorder()
    found = mined(reporter)
    assert [one.query_id for one in found.groups] == ["q1", "q2", "q3", "q4", "q5"]
    assert found.counts.unreadable == 1
    assert reporter.notes[-1] == "mining.rerank_api: 1 training queries are left out: it refuses pairs of theirs"
    again = mined(Recorder())
    assert [one.query_id for one in again.groups] == list(QUERIES)
    assert again.groups[1:] == found.groups
    assert len(server.requests) == len(QUERIES) + 1


def test_an_api_that_refuses_everything_is_told(server: RerankServer, teacher: Teach) -> None:
    server.failures = [Failure(400, b"no such model")] * 6
    with pytest.raises(InputError, match=r"HTTP 400: no such model"):
        teacher().read(GROUPS)
    asked, server.failures = len(server.requests), [Failure(400, b"no such model")] * 60
    with pytest.raises(InputError, match=r"HTTP 400: no such model"):
        teacher(batch=1, max_calls=100).read([group(query_id, *range(10)) for query_id in QUERIES])
    assert len(server.requests) - asked <= 25, "it is not asked for all of them"


def test_what_costs_too_much_is_not_begun(server: RerankServer, teacher: Teach) -> None:
    with pytest.raises(
        InputError,
        match=r"24 pairs take 12 requests, and 11 are left of max_calls \(11\); raise it, or lower mining\.max_queries",
    ):
        teacher(batch=2, max_calls=11).read(GROUPS)
    assert not server.requests


def test_the_budget_holds_for_tries_and_earlier_runs(server: RerankServer, teacher: Teach) -> None:
    server.failures = [Failure(500, b"")] * 2
    with pytest.raises(InputError, match=r"max_calls \(6 requests\) are spent; scores so far are kept, so raise it"):
        teacher(max_calls=6).read(GROUPS)
    assert len(server.requests) == 6
    with pytest.raises(InputError, match=r"8 pairs take 2 requests, and 1 are left of max_calls \(7\)"):
        teacher(max_calls=7).read(GROUPS)
    teacher(max_calls=8).read(GROUPS)
    assert len(server.requests) == 8


def test_the_cost_is_told_before_the_first_request(server: RerankServer, teacher: Teach) -> None:
    teacher().read(GROUPS[:1])
    reporter = Recorder()
    found = teacher(reporter, batch=3, max_calls=500)
    found.read(GROUPS)
    tokens = 5 * 4 * (len("query 0") + len("text number 0")) // 4
    told = (
        f"mining.rerank_api: m scores 20 pairs: 10 requests, about {tokens} tokens; 499 requests are left of max_calls"
    )
    assert reporter.notes == [told]
    found.read(GROUPS)
    assert len(reporter.notes) == 1, "there is nothing left to pay for"


def test_no_more_requests_at_a_time_than_asked_for(server: RerankServer, teacher: Teach) -> None:
    server.slow = 0.05
    teacher(concurrency=3).read(GROUPS)
    assert server.most_at_once == 3


ASKER = """
import sys
from crossforge.documents import Document
from crossforge_train.collections.collection import Collection
from crossforge_train.config.rerank_api import RerankApiConfig
from crossforge_train.mining.groups import Group
from crossforge_train.mining.rerank_api import RerankApiTeacher
from crossforge_train.reporting import SilentReporter
corpus = {f"d{n}": Document(f"d{n}", f"text number {n}") for n in range(3)}
queries = {f"q{n}": f"query {n}" for n in range(60)}
config = RerankApiConfig(url=sys.argv[1] + "/rerank", model="m", cache=sys.argv[2], concurrency=2)
groups = [Group(query_id, list(corpus), [1, 0, 0], [0] * 3) for query_id in queries]
RerankApiTeacher(config, Collection("any", corpus, queries, {}), SilentReporter()).read(groups)
"""


def test_what_was_killed_goes_on_where_it_was(server: RerankServer, tmp_path: Path) -> None:
    server.slow = 0.02
    script = [sys.executable, "-c", ASKER, server.url, str(tmp_path / "reranked")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(script, env=environment)
    while len(server.requests) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)  # what was under way comes to its end
    before = len(server.requests)
    (file,) = (tmp_path / "reranked").iterdir()
    known = len([line for line in file.read_text().splitlines() if line]) // 3
    assert 15 <= known <= before < 60
    assert before - known <= 2, "what was under way when it was killed"
    subprocess.run(script, env=environment, check=True)
    assert len(server.requests) == before + 60 - known


def toy(folder: Path, collection: Path, encoder: Path, server: RerankServer, **settings: Any) -> Config:
    api = {"url": f"{server.url}/rerank", "model": "org/m", "cache": str(folder / "reranked"), **settings}
    return load_config(toy_config(folder, collection, encoder, mining={"teacher": "rerank_api", "rerank_api": api}))


def test_an_api_teaches_the_groups(
    server: RerankServer, tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    server.answer = lambda query, text: (1 + sum(word in text for word in query.split())) / 5
    config = toy(tmp_path, toy_collection, tiny_encoder, server)
    run_stages(config, [collect.STAGE, mine.STAGE], Recorder())
    run = RunFolder(config.folder)
    groups, collection = list(run.mined.groups()), run.collected.collection()
    assert len(groups) > 20
    for one in groups:
        query, documents = collection.queries[one.query_id], collection.corpus
        given = [server.answer(query, documents[doc_id].full_text) for doc_id in one.doc_ids]
        assert one.teacher == pytest.approx([math.log(p / (1 - p)) for p in given], abs=1e-4)
        assert all(
            p <= 0.95 * given[0] for p, source in zip(given, one.sources, strict=True) if source == "first stage"
        )
    assert run.mined.report.counts.dropped["above_margin"] > 0
    paid = len(server.requests)
    reporter = Recorder()
    run_stages(toy(tmp_path, toy_collection, tiny_encoder, server, timeout=9, max_calls=paid),
               [collect.STAGE, mine.STAGE], reporter)  # fmt: skip
    assert reporter.stages_that("skipped") == ["collect", "mine"]
    run_stages(config.model_copy(update={"name": "again"}), [collect.STAGE, mine.STAGE], Recorder())
    assert list(RunFolder(config.runs / "again").mined.groups()) == groups
    assert len(server.requests) == paid, "another run of the same pairs pays for none"


def test_what_it_depends_on_is_what_decides_its_scores(
    server: RerankServer, tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    def depends_on(**settings: Any) -> Any:
        return mine.STAGE.depends_on(toy(tmp_path, toy_collection, tiny_encoder, server, **settings))

    usual = depends_on()
    assert "rerank_api" not in usual["mining"]
    assert depends_on(concurrency=9, retries=0, key_variable="X", batch=3, url="http://elsewhere/rerank") == usual
    for change in ({"model": "n"}, {"scale": "unknown"}, {"max_document_characters": 999}, {"dialect": "tei"}):
        assert depends_on(**change) != usual


@pytest.mark.parametrize(
    ("mining", "problem"),
    [
        ({"teacher": "rerank_api"}, "teacher: rerank_api and the section rerank_api belong together"),
        ({"rerank_api": {"url": "http://x", "model": "m"}}, "belong together: give both or neither"),
        ({"teacher": "rerank_api", "rerank_api": {"url": "http://x"}}, "model is missing; only dialect: tei serves"),
        ({"teacher": "rerank_api", "rerank_api": {"url": "x", "model": "m"}}, r"mining\.rerank_api\.url"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, mining: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining=mining))


def test_a_key_in_a_config_is_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        RerankApiConfig(url="http://x", model="m", key="secret")  # type: ignore[call-arg]
