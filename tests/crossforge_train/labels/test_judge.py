"""A language model as judge: what is sent, what becomes of its failures, and that nothing is asked twice."""

import json
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
from fake_endpoint import Endpoint, Failure, said, serving
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder

from crossforge.errors import InputError
from crossforge_train.asking import endpoint
from crossforge_train.config.judge import PROMPT, JudgeConfig
from crossforge_train.labels.chat_grader import grade_of
from crossforge_train.labels.grading import Answer, Pair
from crossforge_train.labels.judge import Grade, Judge

PAIRS = [Pair(f"query {n}", f"text number {n}") for n in range(8)]


TOKENS = (len(PROMPT) - len("{query}{text}") + len("query 0text number 0")) // 4  # of a request


def by_number(body: Any) -> str:
    """The document's number modulo 4."""
    number = int(body["messages"][0]["content"].split("text number ")[1].split()[0])
    return json.dumps({"grade": number % 4})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    with serving(by_number) as found:
        yield found


@pytest.fixture
def judge(server: Endpoint, tmp_path: Path) -> Callable[..., Judge]:
    """A judge that is opened anew, with the grades that are known."""

    def opened(**settings: Any) -> Judge:
        return Judge(judge_config(server, tmp_path, **settings), Recorder())

    return opened


def judge_config(server: Endpoint, folder: Path, **settings: Any) -> JudgeConfig:
    return JudgeConfig(**{"url": server.url, "model": "m", "cache": folder / "graded", "concurrency": 1, **settings})


def grades(found: list[Grade]) -> list[int | None]:
    return [one.grade for one in found]


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ('{"grade": 2}', 2),
        ('```json\n{"grade": 0}\n```', 0),
        ('I think {it} is good. {"grade": "3"}', 3),
        ('{"grade": 1} or rather {"grade": 2}', 2),
        ('{"grade": 4}', None),
        ('{"grade": -1}', None),
        ('{"grade": 2.5}', None),
        ('{"grade": true}', None),
        ('{"score": 2}', None),
        ("2", None),
        ("[2]", None),
        ("", None),
    ],
)
def test_a_grade_is_a_whole_number_from_0_to_3_in_json(answer: str, grade: int | None) -> None:
    assert grade_of(answer) == grade


@given(st.text())
def test_any_answer_can_be_read(answer: str) -> None:
    assert grade_of(answer) is None or "grade" in answer


def test_each_pair_is_asked_about_once_and_kept(
    server: Endpoint, judge: Callable[..., Judge], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert grades(judge().grade([*PAIRS, PAIRS[0]])) == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert len(server.requests) == 8
    body = server.requests[0][2]
    assert body["temperature"] == 0
    assert body["response_format"]["json_schema"]["schema"]["properties"]["grade"]["enum"] == [0, 1, 2, 3]
    assert "Query: query 0\n\nPassage: text number 0\n" in body["messages"][0]["content"]
    assert grades(judge().grade(PAIRS)) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(server.requests) == 8, "all of it is known"
    kept = "".join(file.read_text() for file in (tmp_path / "graded").iterdir())
    assert "query 0" not in kept
    assert "text number" not in kept
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("change", [{"model": "n"}, {"prompt": "{query} {text} !"}, {"format": "json_object"}])
def test_another_model_or_prompt_is_asked_anew(
    server: Endpoint, judge: Callable[..., Judge], change: dict[str, str]
) -> None:
    judge().grade(PAIRS[:2])
    judge(concurrency=2, max_calls=50, timeout=9).grade(PAIRS[:2])
    assert len(server.requests) == 2
    judge(**change).grade(PAIRS[:2])
    assert len(server.requests) == 4


def test_grades_that_earlier_versions_paid_for_are_found(tmp_path: Path) -> None:
    config = JudgeConfig(url="http://x", model="m", prompt="{query} {text}", cache=tmp_path)
    Judge(config, Recorder())._keep("a", Answer(3))
    assert [file.name for file in tmp_path.iterdir()] == ["7b5813a22ef965f7cb3d8c1813da6b2c.jsonl"]


def test_texts_go_into_the_prompt_as_they_are_and_no_longer_than_allowed(
    server: Endpoint, judge: Callable[..., Judge]
) -> None:
    judge(max_document_characters=100).grade([Pair("what is {text}?", "text number 1 {query} " + "x" * 200)])
    content = server.requests[0][2]["messages"][0]["content"]
    assert "Query: what is {text}?\n" in content
    assert f"Passage: text number 1 {{query}} {'x' * 78}\n" in content


def test_failures_that_pass_are_waited_for(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.failures = [Failure(429, b"slow down", {"Retry-After": "1"}), Failure(500, b""), Failure(200, b"<html>")]
    started = time.monotonic()
    assert grades(judge().grade(PAIRS[:1])) == [0]
    assert time.monotonic() - started >= 1
    assert len(server.requests) == 4


@pytest.mark.parametrize("wrong", ["no JSON at all", '{"grade": 7}', '{"grade": ', ""])
def test_a_wrong_answer_may_be_repaired_once(server: Endpoint, judge: Callable[..., Judge], wrong: str) -> None:
    server.failures = [said(wrong)]
    assert grades(judge().grade(PAIRS[:1])) == [0]
    first, second = (body["messages"] for _, _, body in server.requests)
    assert second[:1] == first
    assert second[1] == {"role": "assistant", "content": wrong}
    server.failures = [said(wrong), said(wrong)]
    assert judge().grade(PAIRS[:3]) == [Grade(0), Grade(None), Grade(2)]
    assert len(server.requests) == 5
    judge().grade(PAIRS[:3])
    assert len(server.requests) == 5, "what gets no grade is not asked again either"


def test_an_endpoint_that_hangs_is_given_up_and_what_is_known_stays(
    server: Endpoint, judge: Callable[..., Judge]
) -> None:
    judge().grade(PAIRS[:2])
    server.failures = [Failure(200, b"", seconds=0.6)] * 2
    with pytest.raises(InputError, match=r"^documents\.judge: .*timed out; answers so far are kept$"):
        judge(timeout=0.05, retries=1).grade(PAIRS)
    assert grades(judge().grade(PAIRS)) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(server.requests) == 2 + len(PAIRS), "the two that hung, and each pair once"


def test_a_judge_that_never_gives_a_grade_is_not_asked_on(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.answer = lambda body: "I would say it is rather relevant."
    many = [Pair("q", f"text number {n}") for n in range(100)]
    with pytest.raises(InputError, match=r"none of the first 20 answers holds a grade; try another judge\.format"):
        judge().grade(many)
    assert len(server.requests) <= 2 * 25


def test_what_is_refused_is_left_out_unless_all_is(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.failures = [Failure(400, b"content filter")]
    assert grades(judge().grade(PAIRS)) == [None, 1, 2, 3, 0, 1, 2, 3]
    server.failures = [Failure(400, b"content filter")]
    assert grades(judge().grade(PAIRS)) == [None, 1, 2, 3, 0, 1, 2, 3], "it is asked again, and may be all that is left"


def test_an_endpoint_that_refuses_everything_is_told(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.failures = [Failure(400, b"response_format is not supported")] * 8
    with pytest.raises(InputError, match=r"HTTP 400: response_format is not supported"):
        judge().grade(PAIRS)


def test_the_budget_holds_for_tries_repairs_and_earlier_runs(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.failures = [said("what?"), Failure(500, b"")]
    found = judge(max_calls=5).grade(PAIRS)
    assert len(server.requests) == 5
    assert found == [Grade(0), Grade(1), Grade(2), *[Grade(None, asked=False)] * 5]
    again = judge(max_calls=6)
    assert grades(again.grade(PAIRS))[:5] == [0, 1, 2, 3, None]
    assert len(server.requests) == 6
    assert again.spent == 6
    assert grades(judge(max_calls=6).grade(PAIRS[4:])) == [0, 1, 2, 3], "what other pairs have cost is not counted"


def test_the_budget_counts_what_brought_no_answer(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.failures = [Failure(500, b""), Failure(400, b"content filter")]
    assert judge(max_calls=3).grade(PAIRS[:2]) == [Grade(None), Grade(1)]
    assert judge(max_calls=3).grade(PAIRS[:2]) == [Grade(None, asked=False), Grade(1)], "refused, after a failure"
    server.failures = [said("what?")]
    assert judge(max_calls=1).grade(PAIRS[2:3]) == [Grade(None, asked=False)]
    assert judge(max_calls=1).grade(PAIRS[2:3]) == [Grade(None, asked=False)], "one unusable answer"
    server.failures = [Failure(500, b"")] * 2
    with pytest.raises(InputError, match="HTTP 500"):
        judge(max_calls=2, retries=1).grade(PAIRS[3:4])
    assert judge(max_calls=2).grade(PAIRS[3:4]) == [Grade(None, asked=False)], "two failures"
    assert len(server.requests) == 3 + 1 + 2
    last = judge(max_calls=10)
    assert grades(last.grade(PAIRS[:4])) == [0, 1, 2, 3]
    assert last.spent == 6 + 3
    again = judge(max_calls=10)
    again.grade(PAIRS[:4])
    assert again.spent == 9, "failed attempts still count once there is an answer"


def test_what_is_refused_is_asked_once_a_run(server: Endpoint, judge: Callable[..., Judge]) -> None:
    opened = judge()
    server.failures = [Failure(400, b"content filter")]
    assert grades(opened.grade(PAIRS[:2])) == [None, 1]
    assert grades(opened.grade(PAIRS[:2])) == [None, 1]
    assert len(server.requests) == 2


def test_tokens_have_a_budget_too(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.usage = {"total_tokens": 100}
    assert grades(judge(max_tokens=250).grade(PAIRS)) == [0, 1, 2, *[None] * 5]
    server.usage = None
    judge(max_tokens=1000).grade(PAIRS)
    assert 3 < len(server.requests) < 8, "where the endpoint does not say, they are estimated"


def test_the_cost_is_told_before_the_first_request(server: Endpoint, tmp_path: Path) -> None:
    config, reporter = judge_config(server, tmp_path, price=2.5, max_calls=500), Recorder()
    Judge(config, reporter).grade(PAIRS[:2])
    opened = Judge(config, reporter)
    opened.announce(PAIRS)
    assert len(server.requests) == 2
    (note,) = reporter.notes
    assert note == (
        f"documents.judge: m grades 6 pairs, 2 more are known: 6 requests, about {6 * TOKENS:,} tokens, and up to 384 "
        "in the answers (at most 0.01 at 2.5 a million); it stops at 500 requests (max_calls)"
    )
    opened.grade(PAIRS)
    opened.announce(PAIRS)
    assert len(reporter.notes) == 1, "there is nothing left to pay for"


def test_no_more_is_estimated_than_the_budget_allows(server: Endpoint, tmp_path: Path) -> None:
    def told(**settings: Any) -> str:
        reporter = Recorder()
        Judge(judge_config(server, tmp_path, **settings), reporter).announce(PAIRS)
        return "".join(reporter.notes)

    Judge(judge_config(server, tmp_path), Recorder()).grade(PAIRS[:2])
    assert f"grades 3 of 6 pairs, 2 more are known: 3 requests, about {3 * TOKENS:,} tokens, and up to 192 in" in told(
        max_calls=5
    )
    assert told(max_calls=2) == "", "nothing is left to pay for"
    assert "grades 2 of 6 pairs" in told(max_tokens=2 * TOKENS + 2 * TOKENS + 2)
    price = f"(at most {math.ceil((6 * TOKENS * 1000 + 6 * 64 * 4000) / 1e4) / 100:,.2f} at 1000 and 4000 a million)"
    assert price in told(price=1000, answer_price=4000)
    with pytest.raises(ValueError, match="answer_price is for the estimate, which needs price as well"):
        told(answer_price=1)


def test_who_says_no_pays_nothing(server: Endpoint, tmp_path: Path) -> None:
    class Careful(Recorder):
        def confirm(self, text: str) -> bool:
            super().confirm(text)
            return False

    reporter = Careful()
    opened = Judge(judge_config(server, tmp_path), reporter)
    with pytest.raises(
        InputError,
        match=r"^documents\.judge: no request was sent, because you declined; to pay less, lower judge\.max_calls",
    ):
        opened.announce(PAIRS)
    assert not server.requests
    Judge(judge_config(server, tmp_path), Recorder()).grade(PAIRS)
    Judge(judge_config(server, tmp_path), reporter).announce(PAIRS)
    assert len(reporter.notes) == 1, "nobody is asked where nothing is paid for"


def test_who_may_not_ask_tells_what_is_known(server: Endpoint, judge: Callable[..., Judge], tmp_path: Path) -> None:
    judge().grade(PAIRS[:2])
    known = Judge(judge_config(server, tmp_path), Recorder(), may_ask=False)
    known.announce(PAIRS)
    assert known.grade(PAIRS[:3]) == [Grade(0), Grade(1), Grade(None, asked=False)]
    assert len(server.requests) == 2


def test_no_more_requests_at_a_time_than_asked_for(server: Endpoint, judge: Callable[..., Judge]) -> None:
    server.slow = 0.2
    assert grades(judge(concurrency=3).grade(PAIRS)) == [0, 1, 2, 3, 0, 1, 2, 3]
    assert server.most_at_once == 3


GRADER = """
import sys
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels.grading import Pair
from crossforge_train.labels.judge import Judge
from crossforge_train.reporting import SilentReporter
config = JudgeConfig(url=sys.argv[1], model="m", cache=sys.argv[2], concurrency=2)
Judge(config, SilentReporter()).grade([Pair("q", f"text number {n}") for n in range(60)])
"""


def test_a_killed_judge_goes_on_where_it_was(server: Endpoint, tmp_path: Path) -> None:
    server.slow = 0.02
    script = [sys.executable, "-c", GRADER, server.url, str(tmp_path / "graded")]
    process = subprocess.Popen(script, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    while len(server.requests) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (file,) = (tmp_path / "graded").iterdir()
    known = len([line for line in file.read_text().splitlines() if line])
    assert 15 <= known < 60
    time.sleep(0.1)  # what was under way comes to its end
    before = len(server.requests)
    assert before - known <= 2, "what was under way when it was killed"
    judge = Judge(judge_config(server, tmp_path), Recorder())
    found = grades(judge.grade([Pair("q", f"text number {n}") for n in range(60)]))
    assert found == [n % 4 for n in range(60)]
    assert len(server.requests) == before + 60 - known


@pytest.mark.parametrize("prompt", ["{query}", "{text}"])
def test_a_prompt_needs_both_places(prompt: str) -> None:
    with pytest.raises(ValueError, match=r"prompt has no \{"):
        JudgeConfig(url="http://x", model="m", prompt=prompt)
