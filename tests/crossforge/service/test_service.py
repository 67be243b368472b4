"""`crossforge serve`: every shape, every limit, and nothing of a request where it does not belong."""

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed: crossforge[serve]")

from fastapi.testclient import TestClient as AnyClient
from filelock import FileLock
from support import make_decoder

from crossforge import Document, Reranker, RetrieveAndRerank
from crossforge.pipeline import load_first_stage
from crossforge.retrievers.choice import fit_retriever
from crossforge.service.app import create_app
from crossforge.service.batches import SharedBatches, SharedReranker
from crossforge.service.settings import Limits, Settings

QUERY, TEXTS = "bread oven", ["sail and wind", "bread oven yeast", "", "butter pastry bread", "Bread 🥖"]
SECRET = "flour4711"


class TestClient(AnyClient):
    """A client on the same machine."""

    def __init__(self, app):
        super().__init__(app, base_url="http://localhost:8080")


def make_app(package, settings=None, *, corpus=True):
    reranker = SharedReranker(package)
    search = RetrieveAndRerank(*load_first_stage(package / "first_stage"), reranker) if corpus else None
    return create_app("toy", reranker, search, settings)


@pytest.fixture(scope="module")
def client(toy_package):
    with TestClient(make_app(toy_package)) as client:
        yield client


@pytest.fixture
def limited(toy_package):
    """Makes a client of a service with other settings."""
    clients = []

    def make(corpus=True, **settings):
        client = TestClient(make_app(toy_package, Settings(**settings), corpus=corpus))
        clients.append(client.__enter__())
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def ranked_by(reranker, texts=TEXTS):
    return [(int(found.doc_id), found) for found in reranker.rank(QUERY, texts)]


# --- the shapes ---


@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank"])
def test_reranking_in_the_shape_of_cohere_and_jina(client, toy_reranker, path):
    answer = client.post(path, json={"model": "any", "query": QUERY, "documents": TEXTS, "top_n": 3}).json()
    expected = ranked_by(toy_reranker)[:3]
    assert [found["index"] for found in answer["results"]] == [index for index, _ in expected]
    scores = [found["relevance_score"] for found in answer["results"]]
    assert scores == pytest.approx([found.probability for _, found in expected], abs=1e-5)
    assert set(answer["results"][0]) == {"index", "relevance_score"}
    tokens = sum(len(pair.ids) for pair in toy_reranker.tokenizer.encode([(QUERY, text) for text in TEXTS]))
    assert answer["usage"] == {"total_tokens": tokens}


def test_names_that_other_services_use_mean_the_same(client, toy_reranker):
    body = {"model": "any", "query": QUERY}
    answer = client.post("/v2/rerank", json={**body, "documents": TEXTS, "top_k": 2, "raw_scores": True}).json()
    scores = [found["relevance_score"] for found in answer["results"]]
    assert scores == pytest.approx([found.score for _, found in ranked_by(toy_reranker)[:2]], abs=1e-5)
    assert len(client.post("/rerank", json={**body, "texts": TEXTS}).json()) == len(TEXTS)


def test_documents_may_be_objects_and_are_returned_where_asked_for(client, toy_reranker):
    documents = [{"text": "sail"}, {"text": "oven", "title": "bread", "url": "u"}, "yeast"]
    body = {"query": QUERY, "documents": documents, "return_documents": True}
    results = client.post("/v1/rerank", json=body).json()["results"]
    by_index = {found["index"]: found for found in results}
    assert by_index[1]["document"] == {"text": "oven", "title": "bread"}
    assert by_index[2]["document"]["text"] == "yeast"
    expected = toy_reranker.rank(QUERY, ["bread\noven"])[0].probability
    assert by_index[1]["relevance_score"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
@pytest.mark.parametrize("raw", [True, False])
def test_reranking_in_the_shape_of_text_embeddings_inference(client, toy_reranker, path, raw):
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": raw, "return_text": raw}
    answer = client.post(path, json=body).json()
    expected = ranked_by(toy_reranker)
    assert [found["index"] for found in answer] == [index for index, _ in expected]
    scores = [found.score if raw else found.probability for _, found in expected]
    assert [found["score"] for found in answer] == pytest.approx(scores, abs=1e-5)
    assert [found.get("text") for found in answer] == [TEXTS[index] if raw else None for index, _ in expected]


def test_texts_that_are_cut_can_be_refused(client):
    body = {"query": QUERY, "texts": ["bread", "bread " * 100], "truncate": False}
    refused = client.post("/rerank", json=body)
    assert (refused.status_code, "text 1 is longer" in refused.json()["detail"]) == (422, True)
    assert client.post("/rerank", json={**body, "truncate": True}).status_code == 200


def test_no_documents_give_no_results(client):
    answer = client.post("/v1/rerank", json={"query": QUERY, "documents": []}).json()
    assert (answer["results"], answer["usage"]["total_tokens"]) == ([], 0)
    assert client.post("/rerank", json={"query": QUERY, "texts": []}).json() == []


def test_searching_gives_what_the_pipeline_gives(client, toy_package, toy_reranker):
    expected = RetrieveAndRerank(*load_first_stage(toy_package / "first_stage"), toy_reranker)("bread oven yeast", 5)
    answer = client.post("/v1/search", json={"query": "bread oven yeast", "k": 5}).json()
    assert answer["threshold"] == toy_reranker.manifest.threshold
    assert [found["doc_id"] for found in answer["results"]] == [found.doc_id for found in expected]
    for found, result in zip(answer["results"], expected, strict=True):
        for name in ("rank", "passage", "first_stage_rank", "movement", "text", "title"):
            assert found[name] == getattr(result, name)
        assert found["probability"] == pytest.approx(result.probability, abs=1e-5)
        assert found["relevant"] == (result in expected.above_threshold())
    assert client.post("/v1/search", json={"query": "unheardof"}).json()["results"] == []


def test_searching_says_which_part_of_a_hybrid_found_a_document(toy_package, tiny_onnx):
    documents, _ = load_first_stage(toy_package / "first_stage")
    retriever = fit_retriever(documents, "hybrid", {"dense": {"encoder": tiny_onnx}})
    search = RetrieveAndRerank(documents, retriever, SharedReranker(toy_package))
    with TestClient(create_app("toy", search.reranker, search, None)) as client:
        asked, plain = ({"query": "bread oven", "k": 5, "origins": wanted} for wanted in (True, False))
        results = client.post("/v1/search", json=asked).json()["results"]
        expected = search.origins("bread oven")
        assert [found["origins"] for found in results] == [expected[found["doc_id"]] for found in results]
        assert {part for found in results for part in found["origins"]} == {"BM25", "dense"}
        assert all(found["origins"] == {} for found in client.post("/v1/search", json=plain).json()["results"])


def test_a_query_that_leaves_no_room_is_searched_and_not_reranked(client):
    answer = client.post("/v1/search", json={"query": "bread oven " * 60, "k": 5}).json()
    assert (answer["reranked"], answer["threshold"], len(answer["results"])) == (False, None, 5)
    assert [found["first_stage_rank"] for found in answer["results"]] == [1, 2, 3, 4, 5]
    assert client.post("/v1/search", json={"query": QUERY}).json()["reranked"]


def test_without_a_corpus_there_is_no_searching(limited):
    client = limited(corpus=False)
    refused = client.post("/v1/search", json={"query": QUERY})
    assert (refused.status_code, "--corpus" in refused.json()["detail"]) == (404, True)
    health = client.get("/health").json()
    assert (health["documents"], health["first_stage"]) == (None, None)
    assert client.post("/rerank", json={"query": QUERY, "texts": TEXTS}).status_code == 200


def test_health_says_what_is_served(client, toy_reranker):
    health = client.get("/health").json()
    backend = toy_reranker.backend_name
    assert (health["status"], health["model"], health["backend"], health["documents"]) == ("ok", "toy", backend, 72)
    assert health["first_stage"] == "TF-IDF"
    assert (health["threshold"], health["judging"]) == (toy_reranker.manifest.threshold, False)


# --- what is refused ---


@pytest.mark.parametrize(
    "path, body, reason",
    [
        ("/v1/rerank", {"query": "", "documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": " ", "documents": ["a"]}, "the query is empty"),
        ("/v1/rerank", {"query": "bread " * 60, "documents": ["a"]}, "shorten the query"),
        ("/v1/rerank", {"query": 3, "documents": ["a"]}, "query"),
        ("/v1/rerank", {"query": "a", "documents": [None]}, "documents.0: Input should be a valid string"),
        ("/v1/rerank", {"query": "a", "documents": ["a", {"title": "b"}]}, "documents.1.text: Field required"),
        ("/v1/rerank", {"query": "a", "documents": "bread"}, "documents: Input should be a valid list"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "topn": 1}, "topn: there is no such field"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "top_n": 1, "top_k": 1}, "top_k: there is no such field"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "return_text": True}, "return_text: there is no such field"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "texts": ["a"]}, "documents: there is no such field"),
        ("/rerank", {"query": "a", "texts": None}, "texts: Input should be a valid list"),
        ("/rerank", {"query": "a", "texts": ["a"], "top_n": 1}, "top_n: there is no such field"),
        ("/v1/search", {"query": "a", "top_k": 3}, "top_k: there is no such field"),
        ("/v1/judgements", {"query": "a", "doc_id": "b", "relevant": True, "by": "me"}, "by: there is no such field"),
        ("/v1/rerank", {"query": "a", "documents": ["a"], "top_n": -1}, "top_n"),
        ("/v1/rerank", {"query": "a"}, "required"),
        ("/v1/rerank", [], "body"),
        ("/rerank", {"query": "a", "texts": ["a", 1]}, "texts.1: Input should be a valid string"),
        ("/v1/search", {"query": "a", "k": -1}, "k"),
        ("/v1/search", {"query": None}, "query"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(client, path, body, reason):
    refused = client.post(path, json=body)
    assert refused.status_code == 422
    assert set(refused.json()) == {"detail"}
    assert reason in refused.json()["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"query": "\\ud800", "texts": []}', b"null"])
def test_a_body_that_is_not_json_is_refused(client, content):
    refused = client.post("/rerank", content=content, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422)
    assert isinstance(refused.json()["detail"], str)


def test_a_body_that_is_not_json_is_told_as_such(client):
    refused = client.post("/v1/rerank", content=b"{", headers={"content-type": "application/json"})
    assert refused.json() == {"detail": "the body is not valid JSON"}


def test_a_form_of_another_site_is_refused(client):
    """A browser sends text/plain anywhere without asking first."""
    body = json.dumps({"query": QUERY, "texts": TEXTS})
    assert client.post("/rerank", content=body, headers={"content-type": "text/plain"}).status_code == 422


def test_a_body_that_is_too_long_is_refused(limited):
    client = limited(limits=Limits(body=1000))
    body = {"query": QUERY, "texts": ["bread " * 300]}
    assert client.post("/rerank", json=body).status_code == 413

    def chunks():  # no content-length then
        yield from (json.dumps(body)[start : start + 100].encode() for start in range(0, 1900, 100))

    refused = client.post("/rerank", content=chunks(), headers={"content-type": "application/json"})
    assert (refused.status_code, "1,000 bytes" in refused.json()["detail"]) == (413, True)
    assert client.post("/rerank", json={"query": QUERY, "texts": ["bread"]}).status_code == 200


@pytest.mark.parametrize(
    "body, status, reason",
    [
        ({"query": QUERY, "documents": ["a"] * 4}, 413, "4 documents; at most 3"),
        ({"query": QUERY, "texts": ["a"] * 4}, 413, "4 documents; at most 3"),
        ({"query": "b" * 21, "documents": ["a"]}, 422, "the query has 21 characters; at most 20"),
        ({"query": QUERY, "documents": ["a", "b" * 31]}, 422, "document 1 has 31 characters; at most 30"),
    ],
)
def test_limits_are_told(limited, body, status, reason):
    refused = limited(limits=Limits(documents=3, query=20, document=30)).post("/rerank", json=body)
    assert (refused.status_code, reason in refused.json()["detail"]) == (status, True)


def test_a_queue_that_is_full_is_told(toy_package, monkeypatch):
    app = make_app(toy_package, Settings(limits=Limits(requests=2)))
    go_on, inside = threading.Event(), threading.Semaphore(0)
    compute = SharedReranker.logits_of

    def slow(self, encoded):
        inside.release()
        assert go_on.wait(timeout=60)
        return compute(self, encoded)

    monkeypatch.setattr(SharedReranker, "logits_of", slow)
    with TestClient(app) as client, ThreadPoolExecutor(2) as pool:
        body = {"query": QUERY, "texts": TEXTS}
        waiting = [pool.submit(client.post, "/rerank", json=body) for _ in range(2)]
        assert inside.acquire(timeout=60)
        assert inside.acquire(timeout=60)
        refused = client.post("/rerank", json=body)
        assert client.get("/health").status_code == 200
        go_on.set()
        assert [found.result().status_code for found in waiting] == [200, 200]
        assert client.post("/rerank", json=body).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "2 requests are already waiting" in refused.json()["detail"]


def answer_to(gate, *messages, path="/rerank"):
    """Status and reason for a POST of which these ASGI messages arrive, and then nothing more."""
    sent, left = [], list(messages)

    async def receive():
        return left.pop(0) if left else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")]}  # fmt: skip

    async def ask():
        await gate(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])["detail"]

    return ask()


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_unfinished_bodies_take_no_place_and_have_a_deadline(toy_package):
    app = make_app(toy_package, Settings(limits=Limits(requests=2, seconds=2)))

    async def both():
        unfinished = [asyncio.create_task(answer_to(app, part(b'{"query": '))) for _ in range(20)]
        await asyncio.sleep(0.2)
        whole = json.dumps({"query": QUERY}).encode()
        status, _ = await answer_to(app, part(whole[:5]), part(whole[5:], False))
        return status, any(found.done() for found in unfinished), set(await asyncio.gather(*unfinished))

    status, too_early, answers = asyncio.run(both())
    assert (status, too_early) == (422, False)  # taken, and found to hold no documents
    assert answers == {(408, "the body did not arrive within 2 s")}


def test_a_body_that_breaks_off_is_no_error_of_the_service(toy_package, caplog):
    app = make_app(toy_package)
    found = asyncio.run(answer_to(app, part(b"{"), {"type": "http.disconnect"}))
    assert found == (400, "the body breaks off")
    assert caplog.records == []


def test_unfinished_bodies_cannot_fill_the_memory(toy_package):
    app = make_app(toy_package, Settings(limits=Limits(requests=2, body=1000, seconds=1)))

    async def four():
        return [status for status, _ in await asyncio.gather(*(answer_to(app, part(b" " * 900)) for _ in range(4)))]

    assert sorted(asyncio.run(four())) == [408, 408, 429, 429]


def test_health_and_metrics_wait_for_no_reranking(toy_package, monkeypatch):
    go_on, inside, many = threading.Event(), threading.Semaphore(0), 45  # more than the threads of the pool

    def slow(self, *arguments, **options):
        inside.release()
        assert go_on.wait(timeout=60)
        return rank(self, *arguments, **options)

    rank = SharedReranker.rank
    monkeypatch.setattr(SharedReranker, "rank", slow)
    with TestClient(make_app(toy_package)) as client, ThreadPoolExecutor(many + 3) as pool:
        waiting = [pool.submit(client.post, "/rerank", json={"query": QUERY, "texts": TEXTS}) for _ in range(many)]
        for _ in range(40):
            assert inside.acquire(timeout=60)
        asked = [pool.submit(client.get, path) for path in ("/", "/health", "/metrics")]
        try:
            assert [found.result(timeout=20).status_code for found in asked] == [200] * 3
        finally:
            go_on.set()
        assert {found.result().status_code for found in waiting} == {200}


# --- the key ---


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", SECRET, f"Basic {SECRET}", "Bearer \xff"])
def test_a_wrong_key_is_refused(limited, header):
    client = limited(key=SECRET)
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for method, path in (("POST", "/rerank"), ("POST", "/v1/search"), ("GET", "/metrics"), ("GET", "/openapi.json")):
        refused = client.request(method, path, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert SECRET not in refused.text
    assert client.get("/health").status_code == client.get("/").status_code == 200


def test_the_right_key_lets_in(limited):
    headers = {"authorization": f"Bearer {SECRET}"}
    body = {"query": QUERY, "texts": TEXTS}
    assert limited(key=SECRET).post("/rerank", json=body, headers=headers).status_code == 200


# --- other hosts ---


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example:8080"}, {"host": "localhost.attacker.example"}, {"host": "127.0.0.1.attacker.net"},
        {"host": ""}, {"host": "[::1"}, {"host": "attacker.example", "origin": "http://attacker.example"},
        {"origin": "https://attacker.example"}, {"origin": "null"}, {"origin": "http://localhost@attacker.example"},
    ],
)  # fmt: skip
def test_without_a_key_a_stranger_reads_and_writes_nothing(limited, tmp_path, headers):
    client = limited(judgements=tmp_path / "judgements.tsv")
    bodies = {
        "/v1/search": {"query": QUERY}, "/rerank": {"query": QUERY, "texts": TEXTS},
        "/v1/judgements": {"query": QUERY, "doc_id": "baking-1", "relevant": True},
    }  # fmt: skip
    for path, body in bodies.items():
        refused = client.post(path, json=body, headers=headers)
        assert (refused.status_code, "--allowed-host" in refused.json()["detail"]) == (403, True)
    assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/health", headers=headers).status_code == 200  # says nothing of the corpus
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":8080"])
def test_the_own_machine_is_no_stranger(client, name, port):
    for headers in ({"host": name + port}, {"host": name + port, "origin": f"http://{name}{port}"}):
        assert client.post("/v1/search", json={"query": QUERY}, headers=headers).status_code == 200


def test_another_name_can_be_allowed_and_a_key_allows_all(limited):
    named = {"host": "search.example:8080", "origin": "https://search.example"}
    allowed = limited(allowed_hosts=["search.example"])
    assert allowed.post("/v1/search", json={"query": QUERY}, headers=named).status_code == 200
    assert allowed.post("/v1/search", json={"query": QUERY}, headers={"host": "other.example"}).status_code == 403
    with_key = {**named, "authorization": f"Bearer {SECRET}"}
    assert limited(key=SECRET).post("/v1/search", json={"query": QUERY}, headers=with_key).status_code == 200


# --- what is kept ---


def test_metrics_count_without_a_word_of_the_requests(limited):
    client = limited()
    client.post("/rerank", json={"query": SECRET, "texts": [SECRET, "b"]})
    client.post("/v1/search", json={"query": SECRET, "k": -1})
    client.get(f"/{SECRET}?q={SECRET}")
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    assert 'crossforge_requests_total{path="/rerank",status="200"} 1.0' in found.text
    assert 'crossforge_requests_total{path="/v1/search",status="422"} 1.0' in found.text
    assert 'crossforge_requests_total{path="other",status="404"} 1.0' in found.text
    assert "crossforge_round_pairs_sum 2.0" in found.text
    assert SECRET not in found.text


def test_nothing_of_a_request_is_logged(limited, monkeypatch, caplog, capfd):
    client = limited()
    caplog.set_level(logging.DEBUG)
    client.post("/rerank", json={"query": SECRET, "texts": [SECRET]})
    client.post("/rerank", json={"query": SECRET, "texts": SECRET})

    def fail(*arguments, **options):
        raise RuntimeError(f"a bug that quotes {SECRET}")

    monkeypatch.setattr(SharedReranker, "rank", fail)
    broken = client.post("/rerank", json={"query": SECRET, "texts": [SECRET]})
    assert (broken.status_code, broken.json()) == (500, {"detail": "internal error"})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert any("RuntimeError at" in message for message in ours)
    captured = capfd.readouterr()
    assert SECRET not in " ".join(ours) + captured.out + captured.err


def test_judgements_are_appended_as_training_reads_them(limited, tmp_path):
    from crossforge_train.collections.judgements import read_judgements
    from crossforge_train.collections.typed_queries import read_typed_queries

    path = tmp_path / "run" / "judgements.tsv"
    client = limited(judgements=path)
    assert client.get("/health").json()["judging"]
    for query, doc_id, relevant in (
        ("Bread  oven", "baking-1", True), ("bread oven", "baking-2", True), ("sail", "sailing-1", False),
        ("bread oven", "baking-2", False),
    ):  # fmt: skip
        body = {"query": query, "doc_id": doc_id, "relevant": relevant}
        assert client.post("/v1/judgements", json=body).status_code == 204
    queries = read_typed_queries(path.with_name("judged_queries.jsonl"))
    judgements = {queries[key]: judged for key, judged in read_judgements(path).items()}
    assert judgements == {"Bread oven": {"baking-1": 1, "baking-2": 0}, "sail": {"sailing-1": 0}}


def test_a_judgement_that_cannot_be_stored_is_told(limited, tmp_path):
    (tmp_path / "file").write_text("")
    client = limited(judgements=tmp_path / "file" / "judgements.tsv")
    refused = client.post("/v1/judgements", json={"query": QUERY, "doc_id": "baking-1", "relevant": True})
    assert (refused.status_code, refused.json()["detail"][:34]) == (507, "the judgement cannot be stored: fi")


def test_a_judgement_whose_file_another_process_holds_is_told(limited, tmp_path, monkeypatch):
    monkeypatch.setattr("crossforge.service.judgements._PATIENCE", 0)
    client = limited(judgements=tmp_path / "judgements.tsv")
    with FileLock(tmp_path / ".judged_queries.jsonl.lock"):
        refused = client.post("/v1/judgements", json={"query": QUERY, "doc_id": "baking-1", "relevant": True})
    expected = "the judgement cannot be stored: another process has held the file for 0 seconds"
    assert (refused.status_code, refused.json()["detail"]) == (507, expected)


@pytest.mark.parametrize("query", ["  ", "\t\n", "\x00", "\x1f \x7f", "\u200b"])
def test_a_judgement_of_a_blank_query_is_refused(limited, tmp_path, query):
    client = limited(judgements=tmp_path / "judgements.tsv")
    refused = client.post("/v1/judgements", json={"query": query, "doc_id": "baking-1", "relevant": True})
    assert (refused.status_code, refused.json()) == (422, {"detail": "the query is empty"})
    assert list(tmp_path.iterdir()) == []


def test_judgements_of_what_is_not_there_are_refused(limited, client, tmp_path):
    body = {"query": QUERY, "doc_id": "nothing", "relevant": True}
    assert limited(judgements=tmp_path / "judgements.tsv").post("/v1/judgements", json=body).status_code == 404
    assert "--judgements" in client.post("/v1/judgements", json={**body, "doc_id": "baking-1"}).json()["detail"]
    assert list(tmp_path.iterdir()) == []


# --- several callers ---


def test_sixteen_callers_lose_nothing_and_share_rounds(toy_package, toy_reranker):
    expected = {query: [i for i, _ in ranked_by_query(toy_reranker, query)] for query in ("bread", "sail", "soil")}

    def ask(number):
        query = list(expected)[number % 3]
        answer = client.post("/rerank", json={"query": query, "texts": TEXTS * 4})
        return [found["index"] for found in answer.json()] == expected[query]

    with TestClient(make_app(toy_package)) as client, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(160)))
        text = client.get("/metrics").text
    callers = float(text.split("crossforge_round_callers_sum ")[1].split()[0])
    rounds = float(text.split("crossforge_round_callers_count ")[1].split()[0])
    assert callers == 160
    assert rounds < 160


def ranked_by_query(reranker, query):
    return [(int(found.doc_id), found) for found in reranker.rank(query, TEXTS * 4)]


def test_callers_that_wait_are_computed_together_and_each_gets_its_own():
    started, go_on, rounds = threading.Event(), threading.Event(), []

    def compute(items):
        rounds.append(list(items))
        started.set()
        assert go_on.wait(timeout=60)
        return np.array(items, dtype=np.float32)

    batches = SharedBatches(compute)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(batches, [0])
        assert started.wait(timeout=60)
        others = [pool.submit(batches, [n, n + 100]) for n in range(1, 9)]
        while batches._waiting.qsize() < 8:
            time.sleep(0.001)
        go_on.set()
        assert first.result().tolist() == [0]
        assert [found.result().tolist() for found in others] == [[n, n + 100] for n in range(1, 9)]
    assert [len(found) for found in rounds] == [1, 16]
    batches.close()


def test_an_error_reaches_every_caller_and_the_next_round_goes_on():
    def compute(items):
        if 13 in items:
            raise ValueError("unlucky")
        return np.array(items, dtype=np.float32)

    batches = SharedBatches(compute)
    with pytest.raises(ValueError, match="unlucky"):
        batches([13])
    assert batches([1]).tolist() == [1]
    batches.close()
    assert batches([2]).tolist() == [2]  # closed, and opened again
    batches.close()


def test_a_round_that_cannot_be_counted_is_answered_and_the_next_one_as_well(caplog):
    def full(callers, pairs):
        raise OSError(28, "No space left on device")

    batches = SharedBatches(lambda items: np.array(items, dtype=np.float32))
    batches.observer = full
    found = []
    caller = threading.Thread(target=lambda: found.extend(batches([n]).tolist() for n in (1, 2)), daemon=True)
    caller.start()
    caller.join(timeout=60)
    assert found == [[1], [2]]
    batches.close()
    assert "a round of 1 callers could not be counted" in caplog.text


# --- the page ---


def test_the_page_takes_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page.text
    for path in ("/docs", "/redoc"):  # they would load scripts from a CDN
        assert client.get(path).status_code == 404


def test_an_instruction_is_for_a_model_with_a_template(client, tmp_path):
    body = {"query": QUERY, "documents": TEXTS, "instruction": "old bread", "raw_scores": True}
    for path, sent in (("/rerank", body), ("/v1/search", {"query": QUERY, "instruction": "old bread"})):
        refused = client.post(path, json=sent)
        assert refused.status_code == 422
        assert "has no template" in refused.json()["detail"]
    folder = make_decoder(tmp_path / "decoder")
    reranker = SharedReranker(folder)
    documents = [Document(str(n), text) for n, text in enumerate(TEXTS)]
    search = RetrieveAndRerank.from_documents(documents, reranker)
    with TestClient(create_app("decoder", reranker, search)) as instructed:
        found = instructed.post("/rerank", json=body).json()
        expected = Reranker(folder, instruction="old bread").rank(QUERY, TEXTS)
        assert [one["relevance_score"] for one in found["results"]] == pytest.approx([one.score for one in expected])
        plain = instructed.post("/rerank", json={**body, "instruction": None}).json()
        assert plain["usage"]["total_tokens"] == found["usage"]["total_tokens"] - 2 * len(TEXTS)
        texts = {"query": QUERY, "texts": TEXTS, "instruction": "old bread", "raw_scores": True}
        assert [one["index"] for one in instructed.post("/rerank", json=texts).json()] == [
            int(one.doc_id) for one in expected
        ]
        searched = instructed.post("/v1/search", json={"query": QUERY, "instruction": "old bread"}).json()["results"]
        by_id = {one.doc_id: one.score for one in expected}
        assert searched
        assert [one["score"] for one in searched] == pytest.approx([by_id[one["doc_id"]] for one in searched])
        assert "empty" in instructed.post("/rerank", json={**body, "instruction": " "}).json()["detail"]
