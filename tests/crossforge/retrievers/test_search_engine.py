"""OpenSearch and Elasticsearch by their own clients, against a server that answers as they do."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine, running_engine

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.retrievers import search_engine, trust
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.registry import RETRIEVERS
from crossforge.runs import Candidate

DOCUMENTS = [
    Document("a", "sail and wind", title="Boats"),
    Document("b", "sail sail sail"),
    Document("c", "bread"),
    Document("d", "wind sail"),
]


@pytest.fixture(params=["opensearch", "elasticsearch"])
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip({"opensearch": "opensearchpy"}.get(request.param, request.param))
    return str(request.param)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long retries would have waited."""
    found: list[float] = []
    retriever = search_engine.SearchEngineRetriever
    monkeypatch.setattr(retriever.__init__, "__defaults__", (found.append,))
    return found


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[FakeEngine]:
    """A server with the documents in the index `docs`."""
    monkeypatch.setattr(trust, "_NAMED", set())
    for variable in (trust.TRUST_VARIABLE, *(f"{one}_{two}" for one in ("OPENSEARCH", "ELASTICSEARCH")
                                             for two in ("USER", "PASSWORD", "API_KEY"))):  # fmt: skip
        monkeypatch.delenv(variable, raising=False)
    with running_engine() as found:
        found.indexes["docs"] = {one.doc_id: {"title": one.title, "text": one.text} for one in DOCUMENTS}
        yield found


def fitted(engine: FakeEngine, kind: str, **options: Any) -> Any:
    return fit_retriever(DOCUMENTS, kind, {"url": engine.url, "index": "docs", **options})


def ids(retriever: Any, text: str = "sail wind", k: int = 10, **options: bool) -> list[str]:
    return [found.doc_id for found in retriever.search({"q": text}, k, **options)["q"]]


def searches(engine: FakeEngine) -> list[list[Any]]:
    return [[json.loads(line) for line in body.splitlines()] for _, path, body in engine.requests if "_msearch" in path]


def test_it_searches_title_and_text_in_batches(engine: FakeEngine, kind: str) -> None:
    retriever = fitted(engine, kind, batch=2)
    engine.requests.clear()
    found = retriever.search({"q1": "sail wind", "q2": "Boats", "q3": "nothing"}, 2)
    assert found == {"q1": [Candidate("b", 3.0), Candidate("a", 2.0)], "q2": [Candidate("a", 1.0)], "q3": []}
    assert [len(lines) // 2 for lines in searches(engine)] == [2, 1]
    query = {"multi_match": {"query": "sail wind", "fields": ["title", "text"]}}
    assert searches(engine)[0][1] == {"query": query, "size": 2, "_source": False}
    assert retriever.name == {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}[kind]
    assert retriever.description == f"{retriever.name}, index docs"
    assert retriever.similarities("wind", ["bread", "the wind"]).argmax() == 1


def test_mining_gets_equal_scores_in_the_order_of_ids(engine: FakeEngine, kind: str) -> None:
    engine.indexes["docs"] = dict(reversed(engine.indexes["docs"].items()))
    retriever = fitted(engine, kind)
    assert ids(retriever) == ["b", "d", "a"]
    assert ids(retriever, ties_by_id=True) == ["b", "a", "d"]


def test_the_query_is_a_template_that_text_cannot_break(engine: FakeEngine, kind: str) -> None:
    retriever = fitted(engine, kind, query={"query": {"match": {"text": "{query}"}}, "explain": False})
    assert ids(retriever) == ["b", "a", "d"]
    engine.requests.clear()
    retriever.search({"q": 'wind"}, "x": {"{query}'}, 1)
    assert searches(engine)[0][1]["query"] == {"match": {"text": 'wind"}, "x": {"{query}'}}


def test_ids_may_be_a_field_and_passages_stand_for_their_document(engine: FakeEngine, kind: str) -> None:
    engine.indexes["docs"] = {
        "p1": {"parent": "a", "text": "sail wind"}, "p2": {"parent": "b", "text": "sail"},
        "p3": {"parent": "a", "text": "wind"},
    }  # fmt: skip
    assert ids(fitted(engine, kind, id_field="parent")) == ["a", "b"]
    engine.indexes["docs"]["p4"] = {"text": "sail wind wind"}
    with pytest.raises(InputError, match=r"the hit 'p4' has no field 'parent'"):
        fitted(engine, kind, id_field="parent")


def test_what_may_pass_is_asked_again_and_waits_double(engine: FakeEngine, kind: str, waits: list[float]) -> None:
    retriever = fitted(engine, kind)
    engine.failures = [503, 429, 200]
    assert ids(retriever) == ["b", "a", "d"]
    assert waits == [0.5, 1, 2]


PARTIAL = [{"timed_out": True}, {"_shards": {"total": 2, "successful": 1, "skipped": 0, "failed": 1}}]


def test_what_only_some_shards_found_is_asked_again(engine: FakeEngine, kind: str, waits: list[float]) -> None:
    retriever = fitted(engine, kind)
    engine.partial = list(PARTIAL)
    assert ids(retriever) == ["b", "a", "d"]
    assert waits == [0.5, 1]


@pytest.mark.parametrize("answer", PARTIAL)
def test_what_only_some_shards_find_is_never_taken_for_all(
    engine: FakeEngine, kind: str, answer: dict[str, Any]
) -> None:
    retriever = fitted(engine, kind, retries=1)
    engine.partial = [answer] * 2
    why = "timed out" if "timed_out" in answer else "1 of 2 shards did not answer"
    with pytest.raises(InputError, match=rf"index 'docs': answers with error 503 \(partial answer: {why}\)"):
        ids(retriever)


def test_a_search_that_says_how_long_it_may_take_gets_what_was_found(engine: FakeEngine, kind: str) -> None:
    retriever = fitted(engine, kind, query={"query": {"match": {"text": "{query}"}}, "timeout": "50ms"}, retries=0)
    engine.partial = [{"timed_out": True}]
    assert ids(retriever) == ["b"]


def test_what_does_not_pass_is_one_line(engine: FakeEngine, kind: str, waits: list[float]) -> None:
    retriever = fitted(engine, kind, retries=2)
    engine.failures = [503] * 9
    with pytest.raises(InputError, match=r"index 'docs': answers with error 503 \(") as caught:
        ids(retriever)
    assert "\n" not in str(caught.value)
    assert waits == [0.5, 1]


def test_an_engine_that_is_not_there_is_one_line(engine: FakeEngine, kind: str, waits: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match=rf" at {url}, index 'docs': does not answer \(ConnectionError: ") as caught:
        fitted(engine, kind, url=url, retries=1)
    assert "\n" not in str(caught.value)
    assert len(waits) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"index": "other"}, "index 'other': there is no such index; .*create_index: true makes one"),
        ({"query": {"query": {"neural": {"x": "{query}"}}}}, r"error 400 \(parsing_exception: unknown query \[neural"),
        ({"query": {"query": {"match": {"text": "{query}"}}, "sort": ["x"]}}, "hits have no score; leave `sort` out"),
    ],
)
def test_what_the_engine_refuses_is_said(
    engine: FakeEngine, kind: str, options: dict[str, Any], problem: str, waits: list[float]
) -> None:
    with pytest.raises(InputError, match=problem):
        ids(fitted(engine, kind, **options))
    assert waits == []


def test_an_index_of_other_documents_is_refused(engine: FakeEngine, kind: str) -> None:
    engine.indexes["docs"] = {"z": {"text": "sail"}}
    with pytest.raises(InputError, match=r"documents that are not in the corpus \('z'\); is .*id_field the field"):
        fitted(engine, kind)
    engine.indexes["docs"] = {}
    with pytest.raises(InputError, match="the index is empty"):
        fitted(engine, kind)
    engine.indexes["docs"] = {"a": {"text": "sail"}}
    retriever = fitted(engine, kind)
    engine.indexes["docs"]["new"] = {"text": "sail sail"}
    with pytest.raises(InputError, match=r"query 'q': document 'new' is not in the corpus"):
        ids(retriever)


def test_an_index_is_made_on_request(engine: FakeEngine, kind: str) -> None:
    retriever = fitted(engine, kind, index="new", create_index=True)
    assert engine.indexes["new"] == engine.indexes["docs"]
    assert ids(retriever) == ["b", "a", "d"]
    (created,) = [body for method, path, body in engine.requests if (method, path) == ("PUT", "/new")]
    assert json.loads(created)["mappings"]["properties"].keys() == {"title", "text"}
    engine.requests.clear()
    fitted(engine, kind, index="new", create_index=True)
    assert not [path for _, path, _ in engine.requests if "_bulk" in path], "it is there"


def test_an_index_of_another_size_is_left_alone(engine: FakeEngine, kind: str) -> None:
    del engine.indexes["docs"]["a"]
    with pytest.raises(InputError, match="the index is there with 3 documents and the corpus has 4; name another"):
        fitted(engine, kind, create_index=True)
    assert len(engine.indexes["docs"]) == 3


def test_half_an_index_is_not_left(engine: FakeEngine, kind: str) -> None:
    engine.refuses = "c"
    said = r"index 'new': answers with error 400 \(document 'c': mapper_parsing_exception: failed to parse\); "
    with pytest.raises(InputError, match=said + "the index was removed again"):
        fitted(engine, kind, index="new", create_index=True)
    assert "new" not in engine.indexes


def test_filling_an_index_is_tried_again(
    engine: FakeEngine, kind: str, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_engine, "_PUT", 3)
    engine.bulk_failures = [503, 200, 429]
    fitted(engine, kind, index="new", create_index=True)
    assert engine.indexes["new"] == engine.indexes["docs"]
    assert waits == [0.5, 1, 2]
    assert len([path for _, path, _ in engine.requests if "_bulk" in path]) == 5


def test_an_index_that_cannot_be_removed_is_told(engine: FakeEngine, kind: str, waits: list[float]) -> None:
    engine.gone = True
    with pytest.raises(
        InputError, match=r"error 503 \(.*\); an incomplete index is left there: delete it, or"
    ) as caught:
        fitted(engine, kind, index="new", create_index=True, retries=1)
    assert "\n" not in str(caught.value)
    assert waits == [0.5]
    assert "new" in engine.indexes


def test_credentials_come_from_the_environment_and_are_not_written(
    engine: FakeEngine, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.password = "secret-word"
    prefix = kind.upper()
    with pytest.raises(InputError, match=f"refuses access; are {prefix}_USER and {prefix}_PASSWORD set and right"):
        fitted(engine, kind)
    monkeypatch.setenv(f"{prefix}_USER", "me")
    monkeypatch.setenv(f"{prefix}_PASSWORD", "secret-word")
    retriever = fitted(engine, kind)
    assert ids(retriever) == ["b", "a", "d"]
    save_retriever(tmp_path, retriever)
    assert not [path for path in tmp_path.rglob("*.json") if "secret-word" in path.read_text()]
    assert "secret-word" not in repr(search_engine.Credentials.of(prefix))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": "https://me:secret@host:9200"}, r"options\.url: credentials do not belong into a config"),
        ({"password": "secret"}, r"options\.password: credentials do not belong into a config; set \w+_USER and"),
        ({"api_key": "secret"}, r"options\.api_key: credentials"),
        ({"url": "host:9200"}, r"options\.url: expected an address such as https://localhost:9200"),
        ({"query": {"query": {"match_all": {}}}}, r"options\.query: nowhere in it stands \{query\}"),
        ({"indexes": "x"}, r"unknown key first_stage\.options\.indexes; did you mean index\?"),
        ({"batch": 0}, r"options\.batch: expected 1 or more \(found 0\)"),
        ({"batch": True}, r"options\.batch: expected int \(found True\)"),
        ({"create_index": True, "id_field": "x"}, r"options\.create_index: an index that is made from the corpus"),
    ],
)
def test_wrong_options_are_named_before_anything_is_asked(kind: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        RETRIEVERS.load(kind).depends_on({"url": "https://host:9200", "index": "docs", **options})
    assert "secret" not in str(caught.value)


def test_a_folder_reaches_only_what_the_app_trusts(engine: FakeEngine, kind: str, tmp_path: Path) -> None:
    save_retriever(tmp_path, fitted(engine, kind, name="engine"))
    trust._NAMED.clear()
    engine.requests.clear()
    with pytest.raises(PackageError, match=f"this index uses {engine.url}, which a folder alone cannot allow"):
        load_retriever(tmp_path)
    trust.trust(engine.url)
    loaded = load_retriever(tmp_path)
    assert engine.requests == [], "loading asks nothing"
    assert (ids(loaded), loaded.name, loaded.kind) == (["b", "a", "d"], "engine", kind)
