"""`GroupLoss`: runs a batch's micro-batches through the model and puts an objective over the groups."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.matrix import Objective
from crossforge_train.registries import DISTILLATIONS, LOSSES


class GroupLoss(nn.Module):
    """A loss for `CrossEncoderTrainer` that takes the batches of `GroupCollator`.

    With `mini_batch` the activations of a micro-batch are dropped after its forward pass and computed again when the
    backward pass comes to it, so that memory is bounded by one micro-batch however many groups a step has: gradient
    caching (Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP 2021),
    done by checkpointing each micro-batch, which also puts the random state of dropout back.

    Args:
        model: a sentence-transformers `CrossEncoder` with one label.
        config: says which loss on labels, which on a teacher's scores, and how much each counts.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self._objective: Objective = LOSSES.load(config.loss)
        self._distance: Objective = DISTILLATIONS.load(config.distillation)

    def forward(
        self, features: list[Any], labels: Tensor, prompt: str | None = None, task: str | None = None
    ) -> Tensor:
        """The loss of one batch, a scalar.

        Args:
            features: micro-batches of token tensors, cell of each pair, mask and teacher scores; see `GroupCollator`.
            labels: relevance, shape (groups, documents).
            prompt: not used; the trainer passes it to every loss.
            task: not used, likewise.
        """
        micro_batches, cells, mask, teacher = features
        pair_logits = torch.cat([self._scores(batch) for batch in micro_batches]).float()
        logits = torch.zeros(mask.numel(), device=pair_logits.device).index_copy(0, cells, pair_logits).view_as(mask)
        return self._loss(logits, labels, teacher, mask)

    def of_equal_scores(self, features: list[Any], labels: Tensor) -> Tensor:
        """The loss of a model that knows nothing and gives every document the same score; see `forward`."""
        _, _, mask, teacher = features
        return self._loss(torch.zeros_like(mask, dtype=torch.float32), labels, teacher, mask)

    def _scores(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self.config.mini_batch and torch.is_grad_enabled():
            scores: Tensor = checkpoint(self._run, batch, use_reentrant=False, context_fn=self._twice)
            return scores
        return self._run(batch)

    def _run(self, batch: Mapping[str, Tensor]) -> Tensor:
        scores: Tensor = self.model(dict(batch))["scores"]
        return scores.view(-1)

    def _twice(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts of the first and of the second forward pass.

        The second one runs while gradients are exchanged between processes, and must not start that anew.
        """
        return nullcontext(), getattr(self.model, "no_sync", nullcontext)()

    def _loss(self, logits: Tensor, labels: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        config, loss = self.config, logits.new_zeros(())
        if config.label_weight > 0:
            loss = loss + config.label_weight * self._objective(logits, labels, mask)
        if config.uses_teacher:
            targets = teacher / config.distillation_temperature
            loss = loss + float(config.distillation_weight) * self._distance(logits, targets, mask)
        return loss

    def get_config_dict(self) -> dict[str, Any]:
        """Settings, for the model card."""
        named = {"loss", "label_weight", "distillation", "distillation_weight", "distillation_temperature"}
        return self.config.model_dump(include=named)
