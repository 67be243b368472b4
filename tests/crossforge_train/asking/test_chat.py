"""Asking an endpoint: how long it is waited for, what is given up, and what no message quotes."""

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from fake_endpoint import Endpoint, Failure, as_json, serving

from crossforge.errors import InputError
from crossforge_train.asking import endpoint
from crossforge_train.asking.chat import ChatEndpoint, Completion
from crossforge_train.asking.endpoint import RefusedError
from crossforge_train.config.chat import ChatConfig

TEXT = "a confidential text about the merger"


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving(lambda body: "fine") as found:
        yield found


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(endpoint, "time", SimpleNamespace(sleep=waited.append, time=time.time))
    return waited


@pytest.fixture
def chat(server: Endpoint) -> ChatEndpoint:
    return ChatEndpoint(ChatConfig(url=server.url, model="m"), "the.key")


@pytest.fixture
def ask(server: Endpoint) -> Callable[..., Completion]:
    def asked(**settings: Any) -> Completion:
        chat = ChatEndpoint(ChatConfig(url=server.url, model="m", **settings), "the.key")
        return chat.ask([{"role": "user", "content": TEXT}], temperature=0)

    return asked


def test_tokens_are_what_the_endpoint_says(server: Endpoint, ask: Callable[..., Completion]) -> None:
    assert ask() == Completion("fine", None)
    server.usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    assert ask() == Completion("fine", 7)
    assert server.requests[0][2] == {
        "model": "m", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 64, "temperature": 0,
    }  # fmt: skip


def only(name: str, takes: str) -> Failure:
    """What OpenAI's newer models say to a field that they do not take."""
    said = {"message": f"Unsupported parameter: '{name}' is not supported with this model. {takes}", "param": name}
    return as_json({"error": said})._replace(status=400)


def test_models_that_know_the_limit_by_its_newer_name_get_it_from_then_on(server: Endpoint, chat: ChatEndpoint) -> None:
    server.failures = [only("max_tokens", "Use 'max_completion_tokens' instead.")]
    for _ in range(2):
        assert chat.ask([{"role": "user", "content": TEXT}]).text == "fine"
    limits = [{key: value for key, value in body.items() if key.startswith("max_")} for _, _, body in server.requests]
    assert limits == [{"max_tokens": 64}, {"max_completion_tokens": 64}, {"max_completion_tokens": 64}]


def test_no_request_is_made_over_and_over(server: Endpoint, chat: ChatEndpoint) -> None:
    server.failures = [only("max_tokens", "Use 'max_completion_tokens' instead.")] * 3
    with pytest.raises(RefusedError, match="HTTP 400"):
        chat.ask([{"role": "user", "content": TEXT}])
    assert len(server.requests) == 2


def test_a_temperature_may_be_left_out_and_who_takes_none_is_told_how(server: Endpoint, chat: ChatEndpoint) -> None:
    chat.ask([{"role": "user", "content": TEXT}], temperature=None)
    assert "temperature" not in server.requests[0][2]
    server.failures = [only("temperature", "Only the default (1) value is supported.")]
    with pytest.raises(RefusedError, match=r"HTTP 400: .*; the\.key\.temperature: null leaves it out$"):
        chat.ask([{"role": "user", "content": TEXT}], temperature=0.0)


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("0", 0.5), ("-3", 0.5), ("soon", 0.5), ("inf", 0.5)])
def test_the_wait_that_is_asked_for_is_kept(
    server: Endpoint, ask: Callable[..., Completion], waits: list[float], asked: str, waited: float
) -> None:
    server.failures = [Failure(429, b"slow down", {"Retry-After": asked})]
    server.failures += [Failure(503, b"busy")]
    ask()
    # The wait that was asked for holds once; what the next failure waits for goes on from its own.
    assert waits == [pytest.approx(waited), 1.0]


def test_the_wait_may_be_a_date(server: Endpoint, ask: Callable[..., Completion], waits: list[float]) -> None:
    server.failures = [Failure(429, b"slow down", {"Retry-After": formatdate(time.time() + 60, usegmt=True)})]
    ask()
    assert 55 < waits[0] <= 60


def test_who_asks_for_an_hour_is_not_waited_for(
    server: Endpoint, ask: Callable[..., Completion], waits: list[float]
) -> None:
    server.failures = [Failure(429, b"come back later", {"Retry-After": "3600"})]
    with pytest.raises(InputError, match=r"^the.key: .*HTTP 429: come back later \(it asks to wait 3,600 s\)"):
        ask()
    assert waits == []


def test_a_refusal_is_told_from_a_failure(server: Endpoint, ask: Callable[..., Completion], waits: list[float]) -> None:
    server.failures = [Failure(400, b"too long"), Failure(401, b"who are you?")]
    with pytest.raises(RefusedError, match="HTTP 400: too long"):
        ask()
    with pytest.raises(InputError, match="HTTP 401: who are you") as caught:
        ask()
    assert not isinstance(caught.value, RefusedError)
    assert waits == []


def test_a_complaint_that_quotes_the_request_is_left_out(server: Endpoint, ask: Callable[..., Completion]) -> None:
    server.failures = [Failure(400, f"policy violation in: {TEXT}".encode())]
    with pytest.raises(RefusedError) as caught:
        ask()
    assert "confidential" not in str(caught.value)
    assert "HTTP 400; answers so far are kept" in str(caught.value)


def test_each_try_is_announced(server: Endpoint, waits: list[float]) -> None:
    sent: list[int] = []
    config = ChatConfig(url=server.url, model="m", retries=2)
    server.failures = [Failure(500, b"")] * 3
    with pytest.raises(InputError, match="HTTP 500"):
        ChatEndpoint(config, "the.key").ask([{"role": "user", "content": TEXT}], lambda: sent.append(1))
    assert len(sent) == len(server.requests) == 3


def test_nothing_is_redirected(
    server: Endpoint, ask: Callable[..., Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    server.failures = [Failure(307, b"", {"Location": f"{server.url}/elsewhere"})]
    with pytest.raises(InputError, match="HTTP 307"):
        ask()
    assert [path for path, _, _ in server.requests] == ["/v1/chat/completions"]


def test_a_key_that_is_none_is_not_quoted(ask: Callable[..., Completion], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret\nX-Other: 1")
    with pytest.raises(InputError, match="OPENAI_API_KEY holds no API key") as caught:
        ask()
    assert "secret" not in str(caught.value)


def test_half_a_surrogate_pair_is_sent(server: Endpoint) -> None:
    ChatEndpoint(ChatConfig(url=server.url, model="m"), "the.key").ask([{"role": "user", "content": "a\ud800b"}])
    assert server.requests[0][2]["messages"][0]["content"] == "a\ud800b"
