"""`Reranker` on a real, tiny package."""

import asyncio
import math
import pickle
import random
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from crossforge import Document, InputError, PackageError, Reranker, RetrieveAndRerank
from crossforge.documents import read_documents
from crossforge.errors import NotCachedError
from crossforge.loading import Parts
from crossforge.manifest import Manifest
from crossforge.passages import PassageWindows

EXACT = ["onnx", "openvino", "torch"]  # backends that compute in fp32
QUERY = "bread oven"
WORDS = ["bread", "dough", "oven", "flour", "boat", "sail", "wind", "soil", "the", "of", "new", "old", "zx9"]


def random_texts(count, longest, seed):
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(0, longest))) for _ in range(count)]


TEXTS = random_texts(40, 90, seed=1)


@pytest.fixture(scope="module")
def reranker(toy_package):
    return Reranker(toy_package)


@pytest.fixture(scope="module")
def documents(toy_collection):
    return read_documents(toy_collection / "corpus.jsonl")


class FakeBackend:
    """Gives each pair the logit that `score` computes from its token ids."""

    name = "fake"

    def __init__(self, score):
        self.score = score

    def logits(self, batch):
        return np.array([self.score(ids) for ids in batch["input_ids"]], dtype=np.float32)


def faked(reranker, score, **options):
    return Reranker.from_parts(Parts(reranker.tokenizer, FakeBackend(score), Manifest("fake", 48)), **options)


# --- the numbers ---


def test_logits_equal_those_of_sentence_transformers(reranker, toy_package):
    expected = CrossEncoder(str(toy_package), device="cpu").predict(
        [(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Identity()
    )
    assert np.ptp(expected) > 0.05
    assert reranker.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)


def test_logits_equal_those_of_transformers(reranker, toy_package):
    tokenizer = AutoTokenizer.from_pretrained(toy_package)
    model = AutoModelForSequenceClassification.from_pretrained(toy_package).eval()
    inputs = tokenizer(
        [QUERY] * len(TEXTS), TEXTS, truncation="only_second", max_length=reranker.manifest.max_length, padding=True,
        return_tensors="pt",
    )  # fmt: skip
    with torch.inference_mode():
        expected = model(**inputs).logits[:, 0].numpy()
    assert reranker.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)


def test_a_cross_encoder_applies_a_sigmoid_of_its_own(toy_package):
    encoder = CrossEncoder(str(toy_package), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]
    logits = encoder.predict(pairs, activation_fn=torch.nn.Identity())
    assert isinstance(encoder.activation_fn, torch.nn.Sigmoid)
    assert encoder.predict(pairs) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


def test_exact_backends_agree(toy_package):
    by_backend = {name: Reranker(toy_package, backend=name) for name in EXACT}
    assert [reranker.backend_name for reranker in by_backend.values()] == EXACT
    expected = by_backend["torch"].score(QUERY, TEXTS)
    for reranker in by_backend.values():
        assert reranker.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


def test_openvino_in_bf16_is_near(toy_package, reranker):
    try:
        near = Reranker(toy_package, backend="openvino-bf16")
    except PackageError as error:
        assert "native bf16" in str(error)
        pytest.skip("this CPU has no native bf16")
    difference = np.abs(near.score(QUERY, TEXTS) - reranker.score(QUERY, TEXTS)).max()
    assert 0 < difference < 0.05  # 0 would be fp32 under another name


def test_openvino_that_is_not_installed_is_named(toy_package, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(PackageError, match=r"crossforge\[openvino\]"):
        Reranker(toy_package, backend="openvino")


@pytest.mark.parametrize("backend", EXACT)
def test_a_score_does_not_depend_on_the_batch(toy_package, backend):
    reranker = Reranker(toy_package, backend=backend)
    together = reranker.score(QUERY, TEXTS)
    alone = [reranker.score(QUERY, [text])[0] for text in TEXTS]
    in_small_batches = Reranker(toy_package, backend=backend, token_budget=100).score(QUERY, TEXTS)
    assert together == pytest.approx(alone, abs=1e-5)
    assert together == pytest.approx(in_small_batches, abs=1e-5)


@pytest.mark.parametrize(
    ("device", "options", "budget"),
    [
        (None, {}, 1024),  # a plug-in does not say
        ("cpu", {}, 1024),
        ("cuda", {}, 32768),
        ("mps", {}, 32768),
        ("cuda", {"token_budget": 2048}, 2048),
        ("cpu", {"token_budget": 2048}, 2048),
    ],
)
def test_batches_are_larger_on_a_gpu(reranker, device, options, budget):
    sizes = []

    class Counting(FakeBackend):
        def logits(self, batch):
            sizes.append(batch["input_ids"].size)
            return super().logits(batch)

    backend = Counting(len)
    if device:
        backend.device = device
    made = Reranker.from_parts(Parts(reranker.tokenizer, backend, Manifest("fake", 48)), **options)
    made.alone().score(QUERY, ["bread"] * 7000)
    assert budget / 2 < max(sizes) <= budget


def test_scores_stand_in_input_order(reranker):
    backwards = reranker.score(QUERY, TEXTS[::-1])
    assert backwards[::-1] == pytest.approx(reranker.score(QUERY, TEXTS), abs=1e-5)


def test_more_pairs_than_a_chunk_keep_their_order(reranker, monkeypatch):
    monkeypatch.setattr("crossforge.reranker._CHUNK", 7)
    lengths = faked(reranker, lambda ids: np.count_nonzero(ids)).score(QUERY, ["bread " * (n % 9) for n in range(50)])
    assert lengths.tolist() == [5 + n % 9 for n in range(50)]


def test_pairs_of_several_queries_are_scored_each_with_its_own(reranker):
    pairs = [("bread", "sail"), ("sail", "bread"), ("bread", "oven")]
    expected = [reranker.score(query, [text])[0] for query, text in pairs]
    assert reranker.score_pairs(pairs).logits == pytest.approx(expected, abs=1e-5)


def test_titles_are_read_before_the_text(reranker):
    titled, joined = Document("1", "bread", "Sailing"), "Sailing\nbread"
    assert reranker.score(QUERY, [titled]) == pytest.approx(reranker.score(QUERY, [joined]), abs=1e-6)
    assert reranker.score(QUERY, [titled]) != pytest.approx(reranker.score(QUERY, ["bread"]), abs=1e-4)


# --- the order ---


def test_results_fall_in_score_and_are_numbered(reranker):
    results = reranker.rank(QUERY, TEXTS)
    scores = [result.score for result in results]
    assert scores == sorted(scores, reverse=True)
    assert [result.rank for result in results] == list(range(1, len(TEXTS) + 1))
    assert {result.doc_id: result.score for result in results} == pytest.approx(
        {str(n): score for n, score in enumerate(reranker.score(QUERY, TEXTS))}, abs=1e-6
    )


def test_equal_scores_keep_their_input_order(reranker):
    by_first_letter = faked(reranker, lambda ids: float(85 in ids))  # 85 is "boat"
    results = by_first_letter.rank(QUERY, ["sail", "boat", "sail " * 9, "old boat"])
    assert [result.doc_id for result in results] == ["1", "3", "0", "2"]


@pytest.mark.parametrize("k, expected", [(0, 0), (3, 3), (999, len(TEXTS)), (None, len(TEXTS))])
def test_top_k_gives_the_first_k(reranker, k, expected):
    results = reranker.rank(QUERY, TEXTS, top_k=k)
    assert len(results) == expected
    assert list(results) == reranker.rank(QUERY, TEXTS).top_k(expected)


def test_probabilities_are_those_of_the_calibrator_and_decide_at_the_threshold(reranker):
    results = reranker.rank(QUERY, TEXTS)
    calibrator, threshold = reranker.manifest.calibrator, reranker.manifest.threshold
    for result in results:
        expected = 1 / (1 + np.exp(-(calibrator.slope * result.score + calibrator.intercept)))
        assert result.probability == pytest.approx(expected)
    assert results.above_threshold() == [result for result in results if result.probability >= threshold]


def test_truncated_says_which_documents_were_cut(reranker):
    results = reranker.rank(QUERY, ["bread", "bread " * 100])
    assert {result.doc_id: result.truncated for result in results} == {"0": False, "1": True}


def test_results_carry_the_documents(reranker):
    given = [Document("x", "bread", "Baking", {"year": 1}), {"_id": "y", "text": "sail", "url": "u"}, "wind"]
    found = {result.doc_id: result for result in reranker.rank(QUERY, given)}
    assert set(found) == {"x", "y", "2"}
    assert found["x"].document is given[0] or found["x"].document == given[0]
    assert (found["y"].text, found["y"].metadata) == ("sail", {"url": "u"})
    assert {result.first_stage_rank for result in found.values()} == {None}
    assert {result.movement for result in found.values()} == {None}


def test_ids_and_metadata_may_be_given_beside_the_texts(reranker):
    results = reranker.rank(QUERY, ["a", "b"], doc_ids=["x", "y"], metadata=[{"n": 1}, {"n": 2}])
    assert {(result.doc_id, result.text, result.metadata["n"]) for result in results} == {("x", "a", 1), ("y", "b", 2)}
    assert results.get_score_by_docid("y") == pytest.approx(reranker.score(QUERY, ["b"])[0], abs=1e-5)
    assert results.get_score_by_docid("z") is None


def test_ids_beside_the_documents_replace_those_that_repeat(reranker):
    documents = ["a", {"_id": "0", "text": "b"}, Document("0", "c")]
    assert {found.doc_id for found in reranker.rank(QUERY, documents, doc_ids=["x", "y", "z"])} == {"x", "y", "z"}
    with pytest.raises(InputError, match="two documents have the id '0'"):
        reranker.rank(QUERY, documents, metadata=[{}, {}, {}])


@pytest.mark.parametrize(
    "values",
    [
        {"doc_ids": ["x"]},
        {"doc_ids": ["x", "x"]},
        {"doc_ids": "xy"},
        {"doc_ids": 2},
        {"metadata": [{}, {}, {}]},
        {"metadata": [{}, 2]},
        {"metadata": {}},
    ],
)
def test_ids_or_metadata_that_do_not_match_the_documents_are_input_errors(reranker, values):
    with pytest.raises(InputError):
        reranker.rank(QUERY, ["a", "b"], **values)


def test_no_documents_give_no_results(reranker):
    assert len(reranker.rank(QUERY, [])) == 0
    scores = reranker.score(QUERY, [])
    assert (scores.shape, scores.dtype) == ((0,), np.float32)


def test_a_batch_ranks_each_query_on_its_own_documents(reranker):
    first, second = reranker.rank_batch(["bread", "sail"], [TEXTS[:5], TEXTS[5:8]])
    assert first == reranker.rank("bread", TEXTS[:5])
    assert second == reranker.rank("sail", TEXTS[5:8])
    with pytest.raises(InputError, match="2 queries but 1"):
        reranker.rank_batch(["bread", "sail"], [TEXTS])


# --- what is refused ---


@pytest.mark.parametrize("query", ["", " \n\t", None, 3])
@pytest.mark.parametrize("documents", [["bread"], []])
def test_an_empty_query_is_an_input_error(reranker, query, documents):
    for ask in (reranker.rank, reranker.score):
        with pytest.raises(InputError, match="query"):
            ask(query, documents)


@pytest.mark.parametrize("max_passages", [1, 3])
def test_too_long_a_query_is_an_input_error(toy_package, max_passages):
    with pytest.raises(InputError, match="the query has 60 tokens"):
        Reranker(toy_package, max_passages=max_passages).rank("bread " * 60, ["bread " * 60])


@pytest.mark.parametrize("document", [None, 3, b"bread", ("a", "b")])
def test_a_document_that_is_none_is_an_input_error(reranker, document):
    with pytest.raises(InputError, match="document 1"):
        reranker.rank(QUERY, ["bread", document])


@pytest.mark.parametrize("documents", [None, 3, "bread", b"bread", {"text": "bread"}, Document("x", "bread")])
def test_what_is_no_list_of_documents_is_an_input_error(reranker, documents):
    with pytest.raises(InputError, match="expected a list of documents, found"):
        reranker.rank(QUERY, documents)


@pytest.mark.parametrize("top_k", [-1, "3", 1.5, True])
def test_top_k_that_is_no_count_is_an_input_error(reranker, top_k):
    with pytest.raises(InputError, match="top_k is"):
        reranker.rank(QUERY, ["bread"], top_k=top_k)


@pytest.mark.parametrize(
    "reference, options", [(None, {}), (3, {}), ("x", {"max_length": "48"}), ("x", {"max_length": 0})]
)
def test_wrong_arguments_of_loading_are_input_errors(reference, options):
    with pytest.raises(InputError, match="expected"):
        Reranker(reference, **options)


@pytest.mark.parametrize(
    "options",
    [{"token_budget": "9"}, {"token_budget": 0}, {"tolerance": "0.1"}, {"tolerance": -1.0}, {"tolerance": math.nan},
     {"verify": "x"}, {"max_length": True}],
)  # fmt: skip
def test_wrong_arguments_are_input_errors_also_for_a_plain_folder(toy_run, options):
    (name,) = options
    with pytest.raises(InputError, match=rf"{name}( is |=).*expected"):
        Reranker(toy_run / "finetune" / "model", **options)


def test_counts_may_be_of_numpy(toy_package):
    count = np.int64(32)
    reranker = Reranker(toy_package, max_length=count, token_budget=count, max_passages=count, tolerance=np.float32(1))
    assert len(reranker.rank(QUERY, TEXTS[:3], top_k=np.int64(2))) == 2


@pytest.mark.parametrize("max_passages", [1, 3])
def test_a_megabyte_of_text_gets_a_score_or_one_clear_error(toy_package, max_passages):
    reranker = Reranker(toy_package, max_passages=max_passages)
    megabyte = "bread " * 170_000
    (result,) = reranker.rank(QUERY, [megabyte])
    assert np.isfinite(result.score)
    assert result.truncated == (max_passages == 1)
    with pytest.raises(InputError, match="shorten the query"):
        reranker.rank(megabyte, ["bread"])


@pytest.mark.parametrize("text", ["", "\ud800", "🥖" * 100, "\x00", "a" * 5000])
def test_odd_documents_get_a_score(reranker, text):
    assert np.isfinite(reranker.score("\udfff bread", [text])).all()


def test_no_passages_at_all_are_refused_when_loading(toy_package):
    with pytest.raises(InputError, match="max_passages"):
        Reranker(toy_package, max_passages=0)


def test_a_length_that_the_model_cannot_read_is_refused(toy_package):
    with pytest.raises(InputError, match="max_length"):
        Reranker(toy_package, max_length=1000)  # the model has 96 positions


def test_a_shorter_length_cuts_documents_earlier(reranker, toy_package):
    text = "sail " * 10 + "bread " * 10
    shorter = Reranker(toy_package, max_length=15)
    assert shorter.rank(QUERY, [text])[0].truncated
    assert not reranker.rank(QUERY, [text])[0].truncated
    assert shorter.score(QUERY, [text]) == pytest.approx(reranker.score(QUERY, ["sail " * 10]), abs=1e-5)


# --- long documents ---


def test_the_best_window_of_a_long_document_counts(reranker, toy_package):
    by_windows = Reranker(toy_package, max_passages=10)
    places = []
    for text in random_texts(8, 200, seed=2):
        document = Document("x", text + " sail" * 60, "Old bread")
        windows = PassageWindows(reranker.tokenizer).split(QUERY, document)
        scores = reranker.score(QUERY, windows[:10])
        (result,) = by_windows.rank(QUERY, [document])
        assert result.score == pytest.approx(scores.max(), abs=1e-5)
        assert result.passage == windows[scores.argmax()]
        assert not result.truncated
        places.append(int(scores.argmax()))
    assert len(set(places)) > 1


def test_only_so_many_windows_are_scored(reranker):
    seen = []
    by_windows = faked(reranker, lambda ids: seen.append(ids) or 0, max_passages=2)
    by_windows.score(QUERY, ["bread " * 500, "sail"])
    assert len(seen) == 3


def test_short_documents_are_scored_the_same_with_and_without_windows(reranker, toy_package):
    assert Reranker(toy_package, max_passages=3).score(QUERY, ["bread", "sail"]).tolist() == pytest.approx(
        reranker.score(QUERY, ["bread", "sail"]), abs=1e-6
    )


@pytest.mark.parametrize("text", ["", " "])
def test_a_long_title_without_a_text_gets_a_score(toy_package, text):
    by_windows = Reranker(toy_package, max_passages=2)
    assert np.isfinite(by_windows.score(QUERY, [Document("x", text, "bread " * 100)])).all()


# --- threads ---


@pytest.mark.parametrize("backend", EXACT)
def test_sixteen_threads_get_the_same_scores(toy_package, backend):
    reranker = Reranker(toy_package, backend=backend)
    queries = ["bread", "boat sail", "wind of the harbour", "seed"] * 8
    expected = {query: reranker.score(query, TEXTS[:10]) for query in set(queries)}
    together = threading.Barrier(16)

    def score(query):
        together.wait(timeout=60)
        return reranker.score(query, TEXTS[:10])

    with ThreadPoolExecutor(16) as pool:
        for query, scores in zip(queries, pool.map(score, queries), strict=True):
            assert scores == pytest.approx(expected[query], abs=1e-6)


def test_ranking_in_the_background_gives_the_same(reranker):
    assert asyncio.run(reranker.rank_async(QUERY, TEXTS, top_k=3)) == reranker.rank(QUERY, TEXTS, top_k=3)


def test_the_event_loop_stays_free_while_ranking(reranker):
    go_on = threading.Event()

    def score(ids):
        assert go_on.wait(timeout=30)
        return 0

    async def main():
        ranking = asyncio.create_task(faked(reranker, score).rank_async(QUERY, ["bread"]))
        await asyncio.sleep(0.05)
        assert not ranking.done()
        go_on.set()
        return await ranking

    assert len(asyncio.run(main())) == 1


# --- what can be loaded ---


def test_a_plain_folder_loads_and_scores_the_same(reranker, toy_run):
    plain = Reranker(toy_run / "finetune" / "model")
    expected = reranker.manifest.raw_logits(reranker.score(QUERY, TEXTS))
    assert plain.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)
    assert (plain.manifest.threshold, plain.manifest.fusion_weight, plain.manifest.max_length) == (None, 0, 48)


@pytest.fixture
def plain(toy_run, tmp_path):
    """A plain folder without an ONNX model, to be spoilt."""
    ignore = shutil.ignore_patterns("onnx")
    return shutil.copytree(toy_run / "finetune" / "model", tmp_path / "plain", ignore=ignore)


def test_a_folder_without_an_onnx_model_runs_on_torch(plain, reranker):
    found = Reranker(plain)
    assert found.backend_name == "torch"
    expected = reranker.manifest.raw_logits(reranker.score(QUERY, TEXTS))
    assert found.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-4)
    with pytest.raises(PackageError, match='backend="torch"'):
        Reranker(plain, backend="onnx")


@pytest.mark.parametrize("labels", [2, 3])
def test_a_classifier_with_several_labels_is_refused(plain, labels):
    config = BertConfig(
        vocab_size=160, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=labels,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(plain)
    with pytest.raises(PackageError, match=f"a classifier with {labels} labels; name a model with exactly one"):
        Reranker(plain)


@pytest.mark.filterwarnings("ignore")
def test_a_model_without_a_scoring_head_is_refused(tiny_encoder):
    with pytest.raises(PackageError):
        Reranker(tiny_encoder)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


SPOIL = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "broken config": lambda folder: (folder / "config.json").write_text("{"),
    "config is a list": lambda folder: (folder / "config.json").write_text("[]"),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "broken tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{"),
    "broken tokenizer config": lambda folder: (folder / "tokenizer_config.json").write_text("{"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "cut weights": lambda folder: cut(folder / "model.safetensors"),
}


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_spoilt_folder_is_a_package_error_that_names_it(plain, spoil):
    SPOIL[spoil](plain)
    with pytest.raises(PackageError) as caught:
        Reranker(plain)
    assert str(plain) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_a_broken_onnx_model_is_a_package_error(plain, backend):
    (plain / "onnx").mkdir()
    (plain / "onnx" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(PackageError, match=r"model\.onnx"):
        Reranker(plain, backend=backend)


@pytest.mark.parametrize(
    "reference", ["/no/such/folder", "./nowhere", "nowhere", "a/b/c", "no-such-owner/no-such-model"]
)
def test_a_folder_that_is_not_there_is_a_package_error(reference):
    with pytest.raises(PackageError, match=f"^{reference}: no such folder"):
        Reranker(reference)


def test_a_hub_id_that_is_not_there_is_told_with_the_argument_that_allows_a_download():
    with pytest.raises(
        NotCachedError, match=r"not in the hub cache; local_files_only=False allows a download \("
    ) as told:
        Reranker("no-such-owner/no-such-model")
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value), "services load in another process"


def test_an_unknown_backend_is_an_input_error(toy_package):
    with pytest.raises(InputError, match="no backend 'tpu'"):
        Reranker(toy_package, backend="tpu")


def test_alone_it_takes_nothing_from_the_first_stage(reranker):
    parts = Parts(
        reranker.tokenizer, FakeBackend(lambda ids: float((ids > 0).sum())), Manifest("fake", 48, fusion_weight=0.9)
    )
    fusing = Reranker.from_parts(parts)
    documents, scores = [Document("0", "bread"), Document("1", "bread from the oven")], np.array([3.0, 0.0])

    def order(model):
        passages = [[document.text] for document in documents]
        return [found.doc_id for found in model.rank_passages("q", documents, passages, first_stage_scores=scores)]

    assert order(fusing) == ["0", "1"]
    assert order(fusing.alone()) == ["1", "0"]
    assert fusing.manifest.fusion_weight == 0.9


def test_alone_it_can_be_sent_to_another_process(reranker):
    assert reranker.manifest.fusion_weight
    sent = pickle.loads(pickle.dumps(reranker.alone()))
    assert sent.manifest.fusion_weight == 0
    assert sent.score(QUERY, TEXTS) == pytest.approx(reranker.score(QUERY, TEXTS))


@pytest.mark.parametrize(
    ("proven", "behind", "weight"),
    [
        ("hybrid", "hybrid", 0.9),
        ("hybrid", "lexical", 0.0),
        ("opensearch", "lexical", 0.0),
        ("hybrid", "run", 0.0),
        ("opensearch", "run", 0.9),  # a run that the engine wrote
        ("hybrid", None, 0.9),  # whatever an app has
        (None, "lexical", 0.9),  # a package that does not say
    ],
)
def test_a_packages_weight_is_for_scores_of_its_own_first_stage(reranker, proven, behind, weight):
    manifest = Manifest("fake", 48, fusion_weight=0.9, first_stage=proven)
    made = Reranker.from_parts(Parts(reranker.tokenizer, FakeBackend(len), manifest))
    assert made.behind(behind).manifest.fusion_weight == weight
    retriever = SimpleNamespace(kind=behind) if behind else SimpleNamespace()
    assert RetrieveAndRerank([Document("0", "bread")], retriever, made).reranker.manifest.fusion_weight == weight
