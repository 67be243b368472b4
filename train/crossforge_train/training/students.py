"""Students: the trained reranker with some of its layers left out, trained to give its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.backends.devices import AUTO_DEVICE, torch_device
from crossforge.backends.torch import TorchBackend
from crossforge.batching import blocks
from crossforge.heads.choice import scoring_head
from crossforge.loading import Parts
from crossforge.pipeline import RetrieveAndRerank
from crossforge.reranker import Reranker
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.config.training import AUTO, PickedTraining, TrainingConfig
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS
from crossforge_train.models.shallower import Kept, keep_layers, ways_to_keep
from crossforge_train.reporting import Reporter

_BLOCK = 64  # groups that are scored together
_COMPARED = 64  # groups on which ways to leave out layers are compared


@dataclass(frozen=True)
class Lesson:
    """What students are taught from.

    Attributes:
        collection: texts of queries and documents.
        pipeline: with the trained reranker; it reads one passage of a document, as training does.
    """

    collection: Collection
    pipeline: RetrieveAndRerank

    def pairs(self, group: Group) -> list[tuple[str, str]]:
        """The texts that training reads of a group."""
        query = self.collection.queries[group.query_id]
        documents = [self.collection.corpus[doc_id] for doc_id in group.doc_ids]
        return [(query, passages[0]) for passages in self.pipeline.passages(query, documents)]

    def taught(self, groups: Callable[[], Iterator[Group]], reporter: Reporter) -> Iterator[Group]:
        """The groups with the trained reranker's logits as teacher scores, without those whose query fills it.

        Args:
            groups: starts a new iteration over the groups on each call, and there are two.
            reporter: shows progress.
        """
        count = sum(1 for _ in self._readable(groups()))
        with reporter.bar("scoring the groups with the trained reranker", count) as advance:
            for block in blocks(self._readable(groups()), _BLOCK):
                logits = iter(self._logits(self.pipeline.reranker, block))
                for group in block:
                    yield replace(group, teacher=[round(float(next(logits)), SCORE_DIGITS) for _ in group.doc_ids])
                advance(len(block))

    def shallower(self, model: Path, layers: int, groups: Callable[[], Iterator[Group]], seed: int) -> tuple[Any, Kept]:
        """The trained reranker with so many of its layers, those whose scores are closest to its own.

        Args:
            model: its folder.
            layers: how many stay, fewer than it has.
            groups: starts a new iteration over groups that were `taught`, to compare on 64 of them.
            seed: seed of that draw.

        Returns:
            The model, and which layers stayed.
        """
        query_ids = dict.fromkeys(group.query_id for group in groups())
        chosen = dict.fromkeys(seeded_draw(list(query_ids), _COMPARED, seed))
        by_query = {group.query_id: group for group in groups() if group.query_id in chosen}
        drawn = [by_query[query_id] for query_id in chosen]
        count, place = depth_of(model), torch_device(AUTO_DEVICE)

        def without(way: Sequence[int]) -> Any:
            made = scoring_head(model).load(model)
            keep_layers(made, way)
            return made

        def closeness(way: Sequence[int]) -> float:
            return agreement(self._logits(self._around(without(way).to(place)), drawn), drawn)

        measured = {way: closeness(way) for way in ways_to_keep(count, layers)}
        closest = max(measured, key=lambda way: measured[way])
        return without(closest), Kept(closest, count, measured[closest])

    def _readable(self, groups: Iterable[Group]) -> Iterator[Group]:
        fits, queries = self.pipeline.reranker.tokenizer.fits, self.collection.queries
        return (group for group in groups if fits(queries[group.query_id]))

    def _around(self, model: Any) -> Reranker:
        whole = self.pipeline.reranker
        return Reranker.from_parts(Parts(whole.tokenizer, TorchBackend(model), whole.manifest))

    def _logits(self, reranker: Reranker, groups: Iterable[Group]) -> NDArray[np.float32]:
        return reranker.score_pairs([pair for group in groups for pair in self.pairs(group)]).logits


def depth_of(model: Path) -> int:
    """How many transformer layers the config of a reranker's folder names."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    return int(config.num_hidden_layers)


def agreement(logits: NDArray[np.float32], groups: Sequence[Group]) -> float:
    """Correlation of logits with the teacher's scores within a query, over all groups; 0 where nothing varies.

    Args:
        logits: of the groups' documents, one group after the other, shape (pairs,).
        groups: have teacher scores.
    """
    ends = np.cumsum([len(group.doc_ids) for group in groups])[:-1]
    given, wanted = (
        np.concatenate([part - part.mean() for part in parts])
        for parts in (
            np.split(logits.astype(np.float64), ends),
            [np.array(group.teacher, dtype=np.float64) for group in groups],
        )
    )
    scale = float(np.linalg.norm(given) * np.linalg.norm(wanted))
    return float(given @ wanted) / scale if scale else 0.0


def student_training(training: TrainingConfig, whole: PickedTraining) -> TrainingConfig:
    """How a student is trained: on the trained reranker's logits alone, reading what it reads.

    Labels would let it unlearn what the whole model kept of its start by merging. All of its layers are trained, since
    each may now follow another one, and nothing is mixed in from before.

    Args:
        training: the config section.
        whole: what the whole model was trained with.
    """
    changes = {
        "start": AUTO,
        "label_weight": 0.0,
        "distillation_weight": 1.0,
        "distillation_temperature": 1.0,  # logits are what the softmax of a trained model is taken of
        "in_batch_negatives": 0,  # nobody has scored those
        "merge": (),
        "frozen_layers": 0,
        "max_length": whole.max_length,
        "long_documents": whole.long_documents,
    }
    return training.model_copy(update=changes)
