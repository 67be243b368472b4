"""Queries that models and endpoints write: cached, resumed, tried again, and never in the way of a key."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from fake_endpoint import Endpoint, Failure, serving
from support import Recorder
from wrapped_engine import PretendedCluster

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.adaptation.generated import Cache, GeneratedQueries, Keep, as_query
from crossforge_train.adaptation.makers.endpoint import endpoint_maker
from crossforge_train.adaptation.makers.generator import ModelQueries
from crossforge_train.adaptation.reader import depends_on, read_adapted
from crossforge_train.asking import endpoint
from crossforge_train.collections.readers.workplace import Workplace
from crossforge_train.config.documents import DocumentsSource, EndpointConfig, GeneratorConfig

DOCUMENTS = [Document(str(n), f"bread dough {n} in the oven with butter") for n in range(5)]


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("how to knead dough", "how to knead dough"),
        ('\n Query: "how to knead dough"\nand more', "how to knead dough"),
        ("1. Search query: knead", "knead"),
        ("Question 2: why?", "why?"),
        ("- query rewriting", "query rewriting"),
        ("3.5 mm screw", "3.5 mm screw"),
        ("", ""),
        ("\n \n", ""),
        ("word " * 100, ""),
    ],
)
def test_what_models_put_around_a_query_is_taken_off(answer: str, query: str) -> None:
    assert as_query(answer) == query


def test_a_document_is_asked_about_once_also_after_a_kill(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(blocks: list[list[str]], keep: Keep) -> None:
        for texts in blocks:
            asked.extend(texts)
            keep({text: [f"query about {text}"] for text in texts})

    for expected in (3, 5, 5):
        maker = GeneratedQueries("generator", ask, Cache(tmp_path, {"model": "m"}))
        made = list(maker.make(DOCUMENTS[: max(3, expected)]))
        assert [query.text for query in made[0]] == [f"query about {DOCUMENTS[0].text}"]
        assert len(asked) == expected
    (file,) = tmp_path.iterdir()
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-1], lines[-1][:20]]))  # killed in the last line
    list(GeneratedQueries("generator", ask, Cache(tmp_path, {"model": "m"})).make(DOCUMENTS))
    assert asked[5:] == [DOCUMENTS[-1].text]
    list(GeneratedQueries("generator", ask, Cache(tmp_path, {"model": "m"})).make(DOCUMENTS))
    assert len(asked) == 6  # the torn line did not spoil the one that came behind it
    list(GeneratedQueries("generator", ask, Cache(tmp_path, {"model": "another"})).make(DOCUMENTS))
    assert len(asked) == 11


def test_empty_documents_are_asked_nothing(tmp_path: Path) -> None:
    maker = GeneratedQueries("generator", lambda texts, keep: pytest.fail(f"asked {texts}"), Cache(tmp_path, {}))
    assert list(maker.make([Document("a", "  ")])) == [[]]


@pytest.fixture(scope="module", params=["seq2seq", "causal"])
def generator(request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random tiny model that generates."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    size, pad, end = len(tokenizer), tokenizer.pad_token_id, tokenizer.sep_token_id
    torch.manual_seed(0)
    model = (
        T5ForConditionalGeneration(T5Config(
            vocab_size=size, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=pad,
            eos_token_id=end, decoder_start_token_id=pad,
        ))
        if request.param == "seq2seq"
        else GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=16, n_layer=1, n_head=2, n_positions=128,
                                        bos_token_id=end, eos_token_id=end))
    )  # fmt: skip
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_writes_queries_in_batches(generator: Path, tmp_path: Path) -> None:
    config = GeneratorConfig(
        model=str(generator), queries=2, batch=2, max_new_tokens=6, max_document_tokens=16, cache=tmp_path / "one"
    )
    made = [[query.text for query in found] for found in ModelQueries(config, 0).make(DOCUMENTS)]
    assert len(made) == 5
    assert sum(map(len, made)) > 5
    again = config.model_copy(update={"cache": tmp_path / "two"})
    assert [[query.text for query in found] for found in ModelQueries(again, 0).make(DOCUMENTS)] == made
    other = [[query.text for query in found] for found in ModelQueries(again, 1).make(DOCUMENTS)]
    assert other != made


def test_a_model_that_changed_in_its_folder_is_asked_anew(generator: Path, docs: Path, tmp_path: Path) -> None:
    folder = copytree(generator, tmp_path / "model")
    config = GeneratorConfig(model=str(folder), max_new_tokens=4, cache=tmp_path / "cache")
    source = DocumentsSource(corpus=docs, generator=config, quotas={"generator": 1})

    def asked() -> int:
        list(ModelQueries(config, 0).make(DOCUMENTS[:1]))
        return len(list(config.cache.iterdir()))

    before = depends_on(source)
    assert (asked(), asked(), depends_on(source) == before) == (1, 1, True)
    settings = folder / "generation_config.json"
    settings.write_text(settings.read_text() + " ")
    assert (asked(), depends_on(source) == before) == (2, False)


def test_a_padded_batch_gives_what_a_document_gives_alone(generator: Path, tmp_path: Path) -> None:
    """Left padding for causal models, an attention mask for all."""
    documents = [Document("a", "bread"), Document("b", "bread dough oven flour yeast crust loaf knead")]
    config = GeneratorConfig(model=str(generator), temperature=0, max_new_tokens=5, cache=tmp_path / "together")
    together = list(ModelQueries(config, 0).make(documents))
    alone = config.model_copy(update={"cache": tmp_path / "alone", "batch": 1})
    assert list(ModelQueries(alone, 0).make(documents)) == together


@pytest.mark.parametrize("engine", ["pretended", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_cluster_writes_the_same_queries(
    generator: Path, docs: Path, tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    quotas = {"title": 0, "sentence": 0, "keywords": 0, "question": 0, "generator": 1}

    def queries(name: str, workplace: Workplace) -> dict[str, str]:
        sizes = {"batch": 5, "max_new_tokens": 6, "max_document_tokens": 16}
        settings = {"model": str(generator), "cache": tmp_path / name, **sizes}
        source = DocumentsSource(
            corpus=docs, generator=settings, quotas=quotas, queries=80, dev=0.2, test=0.2, consistency=None
        )
        return dict(read_adapted(source, workplace).queries)

    shared = PretendedCluster() if engine == "pretended" else request.getfixturevalue(engine)
    assert queries("there", Workplace(engine=shared)) == queries("here", Workplace())
    if isinstance(shared, PretendedCluster):
        assert shared.batches == 64 // 5 + 1 + (90 - 64) // 5 + 1  # blocks are cut as they are here


def test_blocks_are_asked_about_at_once_but_each_by_itself(tmp_path: Path) -> None:
    asked: list[list[list[str]]] = []

    def ask(blocks: list[list[str]], keep: Keep) -> None:
        asked.append(blocks)
        keep({text: [text] for texts in blocks for text in texts})

    maker = GeneratedQueries("generator", ask, Cache(tmp_path, {}))
    first, second, third = DOCUMENTS[:2], DOCUMENTS[1:4], [Document("x", " "), DOCUMENTS[0]]
    maker.prepare([first, second, third])
    texts = [document.full_text for document in DOCUMENTS]
    assert asked == [[texts[:2], texts[2:4]]]
    made = [list(maker.make(block)) for block in (first, second, third)]
    assert len(asked) == 1
    assert [query.text for query in made[1][0]] == [texts[1]]


def test_a_model_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    config = GeneratorConfig(model=str(tmp_path), cache=tmp_path / "cache")
    with pytest.raises(InputError, match=r"documents.generator: .* cannot be loaded") as caught:
        list(ModelQueries(config, 0).make(DOCUMENTS))
    assert "\n" not in str(caught.value)


def _query(body: Any) -> str:
    """The last words of the document."""
    return "how about " + " ".join(body["messages"][0]["content"].split()[-6:])


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with serving(_query) as found:
        yield found


@pytest.fixture
def config(server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EndpointConfig]:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    monkeypatch.setenv("THE_KEY", "secret-key")

    def make(**settings: Any) -> EndpointConfig:
        values = {"url": server.url, "model": "m", "key_variable": "THE_KEY", "cache": tmp_path / "cache"}
        return EndpointConfig(**{**values, **settings})

    return make


def test_an_endpoint_is_asked_with_the_key_of_the_environment(
    server: Endpoint, config: Callable[..., EndpointConfig], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = list(endpoint_maker(config(queries=2)).make(DOCUMENTS))
    assert [query.text for query in made[1]] == ["how about 1 in the oven with butter"]  # said twice, taken once
    assert len(server.requests) == 10
    path, key, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert key == "Bearer secret-key"
    assert body["model"] == "m"
    assert body["max_tokens"] == 64
    kept = "".join(file.read_text() for file in (tmp_path / "cache").iterdir())
    assert "secret-key" not in kept
    assert capfd.readouterr() == ("", "")
    list(endpoint_maker(config(queries=2)).make(DOCUMENTS))
    assert len(server.requests) == 10  # all from the cache


def test_without_a_key_none_is_sent(
    server: Endpoint, config: Callable[..., EndpointConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THE_KEY")
    list(endpoint_maker(config()).make(DOCUMENTS[:1]))
    assert server.requests[0][1] is None


def test_no_more_requests_at_a_time_than_asked_for(server: Endpoint, config: Callable[..., EndpointConfig]) -> None:
    server.slow = 0.05
    list(endpoint_maker(config(concurrency=2)).make([Document(str(n), f"text {n}") for n in range(8)]))
    assert server.most_at_once == 2


def test_what_may_pass_is_tried_again(server: Endpoint, config: Callable[..., EndpointConfig]) -> None:
    server.failures = [Failure(503, b"busy"), Failure(429, b"slow down"), Failure(200, b"<html>")]
    (found,) = endpoint_maker(config(concurrency=1)).make(DOCUMENTS[:1])
    assert found
    assert len(server.requests) == 4


def test_what_will_not_pass_is_told_without_the_key(server: Endpoint, config: Callable[..., EndpointConfig]) -> None:
    server.failures = [Failure(401, b'{"error": "wrong key"}')]
    with pytest.raises(InputError, match=r"HTTP 401.*wrong key") as caught:
        list(endpoint_maker(config(concurrency=1)).make(DOCUMENTS[:1]))
    assert len(server.requests) == 1
    assert "secret-key" not in str(caught.value)


def test_an_endpoint_that_stays_silent_is_given_up(server: Endpoint, config: Callable[..., EndpointConfig]) -> None:
    server.slow = 0.6
    with pytest.raises(InputError, match="timed out"):
        list(endpoint_maker(config(timeout=0.05, retries=1, concurrency=1)).make(DOCUMENTS[:1]))
    assert len(server.requests) == 2


def test_an_answer_of_another_shape_is_told(server: Endpoint, config: Callable[..., EndpointConfig]) -> None:
    server.failures = [Failure(200, b'{"choices": []}')]
    with pytest.raises(InputError, match=r"the answer holds no choices\[0\]"):
        list(endpoint_maker(config(concurrency=1)).make(DOCUMENTS[:1]))


def test_a_refused_document_gives_no_queries_and_ends_nothing(
    server: Endpoint, config: Callable[..., EndpointConfig]
) -> None:
    server.failures = [Failure(400, b"content filter")]
    maker = endpoint_maker(config(concurrency=1))
    assert [len(found) for found in maker.make(DOCUMENTS)] == [0, 1, 1, 1, 1]
    assert maker.refused == 1
    assert [len(found) for found in maker.make(DOCUMENTS)] == [0, 1, 1, 1, 1]
    again = endpoint_maker(config())
    assert [len(found) for found in again.make(DOCUMENTS)] == [0, 1, 1, 1, 1]
    assert again.refused == 1
    assert len(server.requests) == 5  # it would be refused once more


@pytest.mark.parametrize(("documents", "asked"), [(5, 5), (40, 20)])
def test_an_endpoint_that_refuses_everything_ends_the_run(
    server: Endpoint, config: Callable[..., EndpointConfig], documents: int, asked: int
) -> None:
    server.failures = [Failure(422, b"no such setting")] * documents
    with pytest.raises(InputError, match=r"documents.endpoint: .*HTTP 422: no such setting"):
        list(endpoint_maker(config(concurrency=1)).make([Document(str(n), f"text {n}") for n in range(documents)]))
    assert asked <= len(server.requests) <= asked + 1


def test_answers_of_an_earlier_run_do_not_hide_that_all_is_refused(
    server: Endpoint, config: Callable[..., EndpointConfig]
) -> None:
    documents = [Document(str(n), f"text {n}") for n in range(46)]
    list(endpoint_maker(config()).make(documents[:5]))
    server.failures = [Failure(400, b"no credit")]  # one document may be at fault
    assert [len(found) for found in endpoint_maker(config()).make(documents[5:6])] == [0]
    server.failures = [Failure(400, b"no credit")] * 41
    with pytest.raises(InputError, match="no credit"):
        list(endpoint_maker(config(concurrency=1)).make(documents[5:]))
    server.failures = []
    assert len(next(endpoint_maker(config()).make(documents[5:]))) == 1  # nothing of it was kept as refused


def test_what_is_answered_before_an_error_is_kept_and_nothing_more_is_begun(
    server: Endpoint, config: Callable[..., EndpointConfig]
) -> None:
    texts = [f"text {n}" for n in range(30)]

    def answer(body: Any) -> str:
        if len(server.requests) == 4:
            server.failures = [Failure(401, b"wrong key")]
        return _query(body)

    server.answer = answer
    with pytest.raises(InputError, match="HTTP 401"):
        list(endpoint_maker(config(concurrency=1)).make([Document(text, text) for text in texts]))
    assert len(server.requests) == 5
    server.answer = _query
    assert all(endpoint_maker(config()).make([Document(text, text) for text in texts]))
    assert len(server.requests) == 5 + 30 - 4


def test_refused_documents_are_told(server: Endpoint, config: Callable[..., EndpointConfig], docs: Path) -> None:
    quotas = {"title": 0, "sentence": 0, "keywords": 0, "question": 0, "endpoint": 1}
    source = DocumentsSource(
        corpus=docs, endpoint=config(concurrency=1), quotas=quotas, queries=40, dev=0.2, test=0.2, consistency=None
    )
    server.failures = [Failure(200, b'{"choices": [{"message": {"content": "bread"}}]}'), Failure(413, b"")]
    notes = Recorder()
    read_adapted(source, Workplace(reporter=notes))
    assert notes.notes == ["documents.endpoint: documents that it refuses, and that give no queries: 1"]


def test_generated_queries_are_one_more_kind(
    server: Endpoint,
    config: Callable[..., EndpointConfig],
    docs: Path,
) -> None:
    quotas = {"title": 0, "sentence": 0, "keywords": 0, "question": 0, "endpoint": 1}
    source = DocumentsSource(
        corpus=docs, endpoint=config(), quotas=quotas, queries=40, dev=0.2, test=0.2, consistency=None
    )
    collection = read_adapted(source)
    assert collection.made["endpoint"].kept == 40
    assert len(server.requests) <= 64  # of 90 documents: no more are asked about than are wanted, but for a block
    assert read_adapted(source).queries == collection.queries


def test_a_generator_without_a_quota_is_refused() -> None:
    with pytest.raises(ValueError, match=r"generator and quotas.generator belong together"):
        DocumentsSource(corpus=Path("x.jsonl"), generator={"model": "m"})
    with pytest.raises(ValueError, match=r"prompt has no {text}"):
        GeneratorConfig(model="m", prompt="Write a query")
