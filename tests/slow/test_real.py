"""Real weights and real collections: minutes, not seconds."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from crossforge import Reranker
from crossforge.embedding.encoder import Encoder
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.loading import load_config
from crossforge_train.encoders.export import export_encoder
from crossforge_train.evaluation.metrics import mean, measure_rankings
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.grafting.graft import graft
from crossforge_train.grafting.tokens import joined
from crossforge_train.models.base_model import PACKAGED_MODELS, find_base_model
from crossforge_train.report.files import read_report
from crossforge_train.reporting import SilentReporter
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"


# nDCG@10 of TF-IDF and of BM25 over the whole corpus, as published beside the collections.
PUBLISHED = {
    "scifact": (0.660, 0.680),
    "medquad": (0.498, 0.550),
    "stackfaq": (0.702, 0.689),
    "cranfield": (0.521, 0.502),
    "chorus-electronics": (0.661, 0.763),
    "jaquad": (0.848, 0.876),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_first_stage_reaches_the_published_figures(shared_collections: Path, name: str) -> None:
    collection = read_beir(shared_collections / name)
    assert _first_stage(collection, FirstStageConfig()) == pytest.approx(PUBLISHED[name][0], abs=0.01)
    assert _first_stage(collection, FirstStageConfig(weighting="bm25")) == pytest.approx(PUBLISHED[name][1], abs=0.01)


def _first_stage(collection: Collection, config: FirstStageConfig) -> float:
    run = fit_first_stage(collection.corpus.values(), config).search(collection.split_queries("test"), 100)
    rankings = {query_id: [found.doc_id for found in candidates] for query_id, candidates in run.items()}
    return mean(measure_rankings(["nDCG@10"], collection.qrels("test"), rankings)["nDCG@10"])


def test_the_packaged_base_model_is_genuine() -> None:
    (name,) = PACKAGED_MODELS
    assert (find_base_model(name) / "model.safetensors").is_file()


def test_real_weights_are_embedded_as_sentence_transformers_does(shared_collections: Path, tmp_path: Path) -> None:
    (name,) = PACKAGED_MODELS
    folder = find_base_model(name)
    export_encoder(folder, tmp_path / "encoder", name)
    texts = [found.full_text for found in read_beir(shared_collections / "cranfield").corpus.values()][:40]
    texts += [text[:50] for text in texts]
    expected = SentenceTransformer(str(folder), device="cpu").encode(texts, normalize_embeddings=True)
    assert np.abs(Encoder(tmp_path / "encoder").embed(texts, "document") - expected).max() < 1e-5


def test_a_graft_of_real_weights_follows_the_cosines(shared_collections: Path) -> None:
    collection = read_beir(shared_collections / "stackfaq")
    documents = [found.full_text for found in collection.corpus.values()]
    judged = list(collection.qrels("train").items())[:128]
    relevant = [
        (collection.queries[query_id], collection.corpus[next(iter(found))].full_text) for query_id, found in judged
    ]
    pairs = [*relevant, *((query, documents[place]) for place, (query, _) in enumerate(relevant))]
    folder = find_base_model(next(iter(PACKAGED_MODELS)))
    torch.manual_seed(0)
    model = graft(folder, pairs[::2], 160).model
    queries, others = zip(*pairs[1::2], strict=True)
    bi_encoder = SentenceTransformer(str(folder), device="cpu")
    vectors = (bi_encoder.encode(list(texts), convert_to_tensor=True) for texts in (queries, others))
    tokenizer = joined(AutoTokenizer.from_pretrained(folder))
    batch = tokenizer(queries, others, padding=True, truncation=True, max_length=160, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits[:, 0]
    assert torch.corrcoef(torch.stack([logits, torch.cosine_similarity(*vectors)]))[0, 1] > 0.95


@pytest.fixture(scope="module")
def short_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart on a few of its groups: everything for real, but no time to become good."""
    folder = tmp_path_factory.mktemp("quickstart")
    overrides = [
        f"runs={folder}",
        "first_stage.encoder_max_length=32",
        "first_stage.tune_encoder=false",
        "mining.max_queries=60",
        "training.dev_queries=20",
        "training.evaluations=1",
        "evaluation.max_queries=15",
        "evaluation.max_dev_queries=15",
        "package.allow_regression=true",
    ]
    config = load_config(CONFIGS / "quickstart.yaml", overrides)
    run_stages(config, STAGES, SilentReporter())
    return config.folder


def test_the_quickstart_gives_a_package_that_agrees_with_other_readers(short_quickstart: Path) -> None:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    package = short_quickstart / "package"
    documents = ["Least squares polynomial fit.", "Return the sum of an array.", "word " * 500]
    ours = Reranker(package).score("fit a line", documents)
    theirs = CrossEncoder(str(package), activation_fn=Identity()).predict([("fit a line", text) for text in documents])
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * max(1, np.abs(theirs).max()))


def test_the_quickstart_measures_both_test_splits(short_quickstart: Path) -> None:
    report = read_report(short_quickstart / "evaluate")
    assert [split.split for split in report.splits] == ["questions", "test"]
    assert all(split.queries == 15 for split in report.splits)


def test_no_planted_copy_is_mined(shared_collections: Path) -> None:
    planted_truth = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "planted_truth.py"))
    planted = planted_truth["plant"](read_beir(shared_collections / "scifact"), 0.2)
    for choice in ("top", "sample"):
        unsafe = planted_truth["mistakes"](planted, choice=choice, near_copy=None)
        safe = planted_truth["mistakes"](planted, choice=choice)
        assert all(unsafe[name] > 0 for name in planted_truth["CHANGES"])
        assert [safe[name] for name in planted_truth["CHANGES"]] == [0, 0, 0, 0]
