"""A cross-encoder as teacher: candidates that it takes for relevant are no negatives, and its scores are distilled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.choice import AUTO
from crossforge.batching import blocks
from crossforge.heads.choice import scoring_head
from crossforge.loading import find_folder
from crossforge.reranker import Reranker
from crossforge_train.collections.collection import Collection
from crossforge_train.compute.base import Engine
from crossforge_train.compute.local import LocalEngine
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS, TeacherKind, above_margin
from crossforge_train.models.base_model import model_hash
from crossforge_train.pair_scoring import Pairs, ScorePairs, backend_for, for_workers, place_for_workers
from crossforge_train.reporting import Reporter

_CHUNK = 2048


class CrossEncoderTeacher:
    """Scores pairs of a collection, each once.

    Args:
        reranker: any one-label cross-encoder.
        collection: holds the texts.
        reporter: shows progress.
        engine: scores where pairs are many; None is this process.
    """

    def __init__(
        self, reranker: Reranker, collection: Collection, reporter: Reporter, engine: Engine | None = None
    ) -> None:
        self._reranker = reranker
        self._engine = engine or LocalEngine()
        self._collection = collection
        self._reporter = reporter
        self._logits: dict[tuple[str, str], float] = {}

    def with_engine(self, engine: Engine) -> CrossEncoderTeacher:
        """The same teacher, whose pairs an engine scores."""
        return CrossEncoderTeacher(self._reranker, self._collection, self._reporter, engine)

    def can_read(self, query_id: str) -> bool:
        """Whether the query leaves room for a document."""
        return self._reranker.tokenizer.fits(self._collection.queries[query_id])

    def read(self, groups: Sequence[Group]) -> None:
        """Score the pairs of the groups that were not scored before, in length-sorted batches."""
        pairs = {(group.query_id, doc_id): None for group in groups for doc_id in group.doc_ids}
        new = [pair for pair in pairs if pair not in self._logits]
        if not new:
            return
        # The model is here already: what is scored in one go is not worth starting workers, who would load it anew.
        engine = self._engine if len(new) > _CHUNK else LocalEngine()
        chunks = list(blocks(new, _CHUNK))
        with self._reporter.bar("scoring with the teacher", len(new)) as advance:
            found = engine.map(ScorePairs(for_workers(self._reranker, engine.gpus)), map(self._texts, chunks))
            for chunk, scored in zip(chunks, found, strict=True):
                self._logits.update(zip(chunk, map(float, scored.logits), strict=True))
                advance(len(chunk))

    def _texts(self, pairs: Sequence[tuple[str, str]]) -> Pairs:
        queries, corpus = self._collection.queries, self._collection.corpus
        return [(queries[query_id], corpus[doc_id].full_text) for query_id, doc_id in pairs]

    def scores(self, group: Group) -> list[float]:
        """The logits, on the scale on which the model was trained; see `Teacher`."""
        logits = np.array([self._logits[group.query_id, doc_id] for doc_id in group.doc_ids], dtype=np.float32)
        return [round(float(raw), SCORE_DIGITS) for raw in self._reranker.manifest.raw_logits(logits)]

    def probabilities(self, group: Group) -> NDArray[np.float64]:
        """See `ProbabilisticTeacher`."""
        logits = np.array([self._logits[group.query_id, doc_id] for doc_id in group.doc_ids], dtype=np.float32)
        return self._reranker.manifest.calibrator.probabilities(logits)

    def above(self, group: Group, margin: float) -> list[str]:
        """The doubtable negatives whose probability exceeds `margin` times the positive's."""
        return above_margin(group, self.probabilities(group), margin)


def _open(config: Config, collection: Collection, reporter: Reporter) -> CrossEncoderTeacher:
    folder = place_for_workers(_reference(config), local_files_only=False)
    reranker = Reranker(folder, backend=backend_for(AUTO))
    return CrossEncoderTeacher(reranker.instructed(_instruction(config)), collection, reporter)


def _depends_on(config: Config) -> Mapping[str, str]:
    found = model_hash(find_folder(_reference(config), local_files_only=False))
    instruction = _instruction(config)
    return {**found, **({"instruction": instruction} if instruction else {})}


def _instruction(config: Config) -> str | None:
    """The instruction of the run, if the teacher's template has a place for it."""
    folder = find_folder(_reference(config), local_files_only=False)
    template = scoring_head(folder).template(folder)
    return config.training.instruction if template and template.instructed else None


def _reference(config: Config) -> str:
    """A folder or hub id: what `mining.teacher` says if it is no plug-in's name."""
    return str(config.mining.teacher)


TEACHER = TeacherKind(_open, _depends_on)
