"""How much of a bi-encoder's order a graft keeps before any training, on the first stage's candidates.

    python benchmarks/graft_quality.py runs/quickstart --max-length 96 --queries 60 --depth 40

For some of a run's dev queries, prints the nDCG@10 of the candidates ordered by the bi-encoder's cosines (those of
the run's first stage, its query map included), by cosines with the passages that the cross-encoder reads, and by the
graft; and Kendall's tau with the cosines of the passages. It shows what a correlation over all pairs hides: the order
among near candidates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from crossforge import Reranker
from crossforge.calibration import descending
from crossforge.embedding.encoder import moved
from crossforge.loading import pair_tokenizer
from crossforge.pipeline import RetrieveAndRerank
from crossforge.retrievers.base import VectorRetriever
from crossforge.runs import Run, ids_by_query
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.evaluation.metrics import judged_queries, mean, measure_rankings
from crossforge_train.evaluation.scoring import score_queries
from crossforge_train.first_stage import vector_part
from crossforge_train.grafting.graft import graft
from crossforge_train.models.base_model import find_base_model
from crossforge_train.models.export import export_onnx
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.training.start import fitting_pairs, save_graft

BASE, METRIC, DEV, SEED = "sentence-transformers/all-MiniLM-L6-v2", "nDCG@10", "dev", 42

Scores = Mapping[str, NDArray[np.floating]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run that has been mined, with vectors in its first stage")
    parser.add_argument("--base", default=BASE, help="the run's base model")
    parser.add_argument("--max-length", type=int, default=96, help="tokens read of a pair")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--depth", type=int, default=40, help="candidates of each query")
    arguments = parser.parse_args()
    folder, base, depth = RunFolder(arguments.run), find_base_model(arguments.base), arguments.depth
    collection, retriever = folder.collected.collection(), folder.mined.retriever()
    part = vector_part(retriever)
    if part is None:
        parser.error(f"the first stage of {arguments.run} has no vectors")
    judged = judged_queries(collection.qrels(DEV))
    query_ids, found = seeded_draw(sorted(judged), arguments.queries, SEED), folder.mined.run(DEV)
    run = {query_id: found[query_id][:depth] for query_id in query_ids}
    queries, doc_ids = {query_id: collection.queries[query_id] for query_id in query_ids}, ids_by_query(run)
    with TemporaryDirectory() as made:
        reranker = grafted(folder, collection, base, part, arguments.max_length, Path(made))
        pipeline = RetrieveAndRerank(collection.corpus, retriever, reranker, depth=depth)
        scored = score_queries(pipeline, queries, run, depth, SilentReporter(), "")
    read = passage_cosines(pipeline, collection, run, base, part)
    systems: dict[str, Scores] = {
        "cosines, as the first stage reads": part.scores(queries, doc_ids),
        "cosines of the passages": read,
        "graft": {query_id: one.logits for query_id, one in scored.items()},
    }
    for name, scores in systems.items():
        rankings = {key: [doc_ids[key][place] for place in descending(scores[key])] for key in query_ids}
        values = measure_rankings([METRIC], {key: judged[key] for key in query_ids}, rankings)[METRIC]
        print(f"{name}: {METRIC} {mean(values):.3f}, tau {agreement(scores, read):.3f}")


def grafted(
    folder: RunFolder, collection: Collection, base: Path, part: VectorRetriever, max_length: int, made: Path
) -> Reranker:
    """A graft of the base, as a training on the run's groups would start from."""
    pairs = fitting_pairs(folder.mined.groups(), collection, pair_tokenizer(base, max_length), SEED)
    set_seed(SEED)
    found = graft(base, pairs, max_length, part.query_map)
    print(f"correlation within a query, over the pairs it was fitted to: {found.correlation:.3f}", flush=True)
    save_graft(found.model, base, made, max_length)
    export_onnx(found.model, made)
    return Reranker(made)


def passage_cosines(
    pipeline: RetrieveAndRerank, collection: Collection, run: Run, base: Path, part: VectorRetriever
) -> Scores:
    """Cosines between queries, moved by the map, and the passages that the cross-encoder reads of the candidates."""
    encoder = SentenceTransformer(str(base), device="cpu")
    found: dict[str, NDArray[np.floating]] = {}
    for query_id, candidates in run.items():
        query = collection.queries[query_id]
        documents = [collection.corpus[candidate.doc_id] for candidate in candidates]
        passages = [passages[0] for passages in pipeline.passages(query, documents)]
        vectors = encoder.encode_document(passages, normalize_embeddings=True, show_progress_bar=False)
        asked = encoder.encode_query([query], normalize_embeddings=True, show_progress_bar=False)
        found[query_id] = vectors @ (asked if part.query_map is None else moved(asked, part.query_map))[0]
    return found


def agreement(scores: Scores, others: Scores) -> float:
    """Kendall's tau within a query, averaged over the queries."""
    return float(np.mean([kendalltau(scores[query_id], others[query_id]).statistic for query_id in scores]))


if __name__ == "__main__":
    main()
