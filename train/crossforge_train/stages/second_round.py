"""Stages `mine-2` and `finetune-2`: mine the first-round reranker's mistakes, and continue training it on them.

The candidates are the first stage's, reordered by that reranker so that its worst mistakes come first. All safeguards
that keep relevant documents out of the negatives apply as in the first round, above all the teacher's margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crossforge.files import remove
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge.retrievers.base import StoredRetriever
from crossforge.runs import Candidate, Run
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.config.run import Config
from crossforge_train.config.training import AUTO
from crossforge_train.evaluation.scoring import ScoredQuery, score_queries
from crossforge_train.mining.negatives import Candidates
from crossforge_train.pair_scoring import backend_for, place_for_workers
from crossforge_train.run_folder import FINETUNE_AGAIN, MINE_AGAIN
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.embedding import sharing
from crossforge_train.stages.finetune import begun, finetune
from crossforge_train.stages.mine import mine_candidates, mining_source, training_queries, write_mined
from crossforge_train.stages.stage import Context, Stage
from crossforge_train.stages.tuned_encoder import with_tuned_encoder


def _mine(context: Context) -> None:
    config = context.config
    collection = context.run.collected.collection()
    retriever = context.run.mined.retriever()
    hardest = _hardest_first(context, collection, retriever)
    # Rank bands apply to the first round only, as other sources do; the order is now the reranker's.
    settings = config.mining.model_copy(update={"choice": "top", "skip_top": 0, "bands": ()})
    base = with_tuned_encoder(config, context.run.mined)
    mined = mine_candidates(context, base, collection, retriever, Candidates(hardest, {}), settings)
    write_mined(context, collection, retriever, mined)
    remove(MinedFolder(context.folder).shards)


def _hardest_first(context: Context, collection: Collection, retriever: StoredRetriever) -> Run:
    """The training queries' candidates within the window, by descending logit of the first-round reranker."""
    config = context.config
    reranker = Reranker(place_for_workers(context.run.finetuned.model), backend=backend_for(AUTO))
    pipeline = RetrieveAndRerank(collection.corpus, retriever, reranker, passages=config.evaluation.passages)
    queries, window = training_queries(config, collection), config.mining.window
    run = retrieve(collection, mining_source(context, collection, retriever), queries, window, ties_by_id=True)
    title = "reranking the training queries"
    engine = sharing(config, context.engine)
    scored = score_queries(pipeline, queries, run, window, context.reporter, title, engine)
    return {query_id: _by_logit(found) for query_id, found in scored.items()}


def _by_logit(found: ScoredQuery) -> list[Candidate]:
    scores = dict(zip(found.doc_ids, found.logits, strict=True))
    return [Candidate(doc_id, float(scores[doc_id])) for doc_id in found.ranking(0.0)]


def _finetune(context: Context) -> None:
    # `start` is about the base model: the first round's is trained on with the head that it has.
    training = context.config.training.model_copy(update={"start": AUTO})
    going_on = replace(context, config=context.config.model_copy(update={"training": training}))
    finetune(going_on, context.run.finetuned.model, context.run.mined_again)


def _nothing_more(config: Config) -> Mapping[str, Any]:
    """The number of rounds; all else that a second round depends on is in the earlier stages' fingerprints."""
    return {"rounds": config.mining.rounds}


MINE = Stage(MINE_AGAIN, _nothing_more, _mine, computes=True)
FINETUNE = Stage(FINETUNE_AGAIN, _nothing_more, _finetune, resumes=True, begun=begun, parallel=True)
