"""The page of `crossforge serve` in a real browser: searched in, clicked through, judged on."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: crossforge[serve]")
websockets = pytest.importorskip("websockets.sync.client", reason="websockets, to steer the browser, is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEY = "open sesame"


class Page:
    """A page in a headless browser, steered by the DevTools protocol."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") == "Network.requestWillBeSent":
                self.fetched.append(message["params"]["request"]["url"])
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(message["params"]))

    def run(self, expression: str) -> Any:
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str) -> None:
        deadline = time.monotonic() + 30
        while not self.run(f"!!({expression})"):
            assert time.monotonic() < deadline, f"never came true: {expression}\n{self.run('document.body.innerText')}"
            time.sleep(0.05)

    def search(self, query: str) -> None:
        self.run(f"document.querySelector('#query').value = {json.dumps(query)}")
        self.run("document.querySelector('#ask').requestSubmit()")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


@pytest.fixture
def service(toy_package: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a service over the toy package and its corpus; it takes judgements into `tmp_path`."""
    from crossforge import Document, RetrieveAndRerank
    from crossforge.documents import read_documents
    from crossforge.service.app import create_app
    from crossforge.service.batches import SharedReranker
    from crossforge.service.settings import Settings

    reranker = SharedReranker(toy_package)
    documents = read_documents(toy_package / "first_stage" / "documents.jsonl")
    long = Document("long", "boat sail wind anchor " * 15 + "bread oven " + "mast tide crew deck " * 15, "Old things")
    hostile = Document("hostile", "bread <img src=x onerror=alert(1)>", "<script>document.title = 'cracked'</script>")
    search = RetrieveAndRerank.from_documents([*documents, long, hostile], reranker)
    settings = Settings(key=getattr(request, "param", None), judgements=tmp_path / "judgements.tsv")
    server = uvicorn.Server(uvicorn.Config(create_app("toy", reranker, search, settings), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=30)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if BROWSER is None:
        pytest.skip("no chromium or google-chrome here to look at the page with")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1200,1100", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = next(int(found[1]) for line in process.stderr if (found := re.search(r"ws://127.0.0.1:(\d+)/", line)))
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            target = next(one for one in json.load(answer) if one["type"] == "page")
        with websockets.connect(target["webSocketDebuggerUrl"], max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(timeout=30)


def open_page(page: Page, address: str) -> None:
    page.command("Page.navigate", url=address)
    page.wait_for("document.querySelector('#about')?.textContent")


def test_searching_shows_both_orders_and_thumbs_are_kept(page: Page, service: str, tmp_path: Path) -> None:
    open_page(page, service)
    page.search("bread oven yeast")
    page.wait_for("document.querySelectorAll('#after li[data-id]').length")
    answer = page.run(
        "fetch('v1/search', {method: 'POST', headers: {'content-type': 'application/json'}, "
        "body: JSON.stringify({query: 'bread oven yeast', k: 100})}).then(found => found.json())"
    )["results"]
    ids = "[...document.querySelectorAll('#{} li[data-id]')].map(item => item.dataset.id)"
    by_first_stage = sorted(answer, key=lambda found: found["first_stage_rank"])
    assert page.run(ids.format("after")) == [found["doc_id"] for found in answer[:10]]
    assert page.run(ids.format("before")) == [found["doc_id"] for found in by_first_stage[:10]]
    moved = page.run("[...document.querySelectorAll('#after .moved')].map(badge => badge.textContent)")
    assert moved == [f"▲{n}" if n > 0 else f"▼{-n}" if n else "=" for n in (found["movement"] for found in answer[:10])]
    assert set(page.run("[...document.querySelectorAll('#after mark')].map(m => m.textContent)")) <= {
        "bread",
        "oven",
        "yeast",
    }
    assert page.run("document.querySelectorAll('#after .bar b').length") == min(10, len(answer))

    page.run("document.querySelector('#after [aria-label^=\"Relevant\"]').click()")
    page.wait_for("document.querySelectorAll('#after [aria-pressed=true]').length === 1")
    page.run("document.querySelectorAll('#after [aria-label^=\"Not relevant\"]')[1].click()")
    page.wait_for("document.querySelectorAll('#after [aria-pressed=true]').length === 2")
    lines = (tmp_path / "judgements.tsv").read_text().splitlines()
    assert [line.split("\t")[1:] for line in lines[1:]] == [[answer[0]["doc_id"], "1"], [answer[1]["doc_id"], "0"]]
    page.screenshot(Path(os.environ.get("SCREENSHOT", tmp_path / "page.png")))

    page.search("unheardof")
    page.wait_for("document.querySelector('#said').textContent.startsWith('Nothing found')")
    assert page.complaints == []
    assert {url.split("/")[2] for url in page.fetched if url.startswith("http")} == {service.split("/")[2]}


def test_documents_are_shown_and_never_run(page: Page, service: str) -> None:
    open_page(page, service)
    page.search("onerror alert")
    page.wait_for("document.querySelector('li[data-id=hostile]')")
    assert page.run("document.title") == "crossforge"
    assert page.run("document.querySelectorAll('main img, main script').length") == 0


def test_a_long_document_shows_the_passage_that_was_read(page: Page, service: str) -> None:
    open_page(page, service)
    page.search("things")
    page.wait_for("document.querySelector('#after li[data-id=long]')")
    read = page.run("document.querySelector('#after li[data-id=long] details .read').textContent")
    whole = page.run("document.querySelector('#after li[data-id=long] details .text').textContent")
    assert read in whole
    assert len(read) < len(whole)


@pytest.mark.parametrize("service", [KEY], indirect=True)
def test_a_service_with_a_key_asks_for_it(page: Page, service: str) -> None:
    open_page(page, service)
    page.search("bread oven")
    page.wait_for("!document.querySelector('#unlock').hidden")
    page.run(f"document.querySelector('#key').value = '{KEY}'; document.querySelector('#unlock').requestSubmit()")
    page.wait_for("document.querySelectorAll('#after li[data-id]').length")


def test_a_page_of_a_stranger_reads_and_writes_nothing(page: Page, service: str, tmp_path: Path) -> None:
    """Every name under localhost is this machine to a browser, as one that its owner has rebound would be."""
    rebound = service.replace("127.0.0.1", "stranger.localhost")
    page.command("Page.navigate", url=f"{rebound}/health")  # anybody may ask for it, so there is a page to start from
    page.wait_for(f"location.href === '{rebound}/health' && document.readyState === 'complete'")
    assert page.run("fetch('/health').then(answer => answer.status)") == 200
    asked = "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({query: 'bread'})}"
    assert page.run(f"fetch('/v1/search', {asked}).then(answer => answer.status)") == 403
    said = json.dumps(json.dumps({"query": "bread", "doc_id": "long", "relevant": True}))
    blind = f"{{method: 'POST', mode: 'no-cors', body: {said}}}"  # what a browser sends without asking beforehand
    for address in (rebound, service):
        page.run(f"fetch('{address}/v1/judgements', {blind}).then(answer => answer.type)")
    assert not (tmp_path / "judgements.tsv").exists()
    page.command("Page.navigate", url=f"{service}/health")
    page.wait_for(f"location.href === '{service}/health' && document.readyState === 'complete'")
    assert page.run(f"fetch('/v1/search', {asked}).then(answer => answer.status)") == 200


def test_the_page_is_no_wider_than_a_phone(page: Page, service: str) -> None:
    page.command("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    open_page(page, service)
    page.search("bread oven yeast anchor")
    page.wait_for("document.querySelectorAll('#after li[data-id]').length")
    assert page.run("document.documentElement.scrollWidth") <= 390
