"""`GroupLoss`: runs a batch's micro-batches through the model and puts an objective over the groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crossforge_train.losses.objectives import Objective, binary_cross_entropy, group_softmax, kl_distillation

OBJECTIVES: dict[str, Objective] = {"group_softmax": group_softmax, "binary_cross_entropy": binary_cross_entropy}


class GroupLoss(nn.Module):
    """A loss for `CrossEncoderTrainer` that takes the batches of `GroupCollator`.

    Args:
        model: a sentence-transformers `CrossEncoder` with one label.
        objective: name of an objective over the labels.
        distillation_weight: weight of the KL divergence from the teacher; 0 leaves the teacher out.
        distillation_temperature: divides the teacher's scores.
    """

    def __init__(
        self, model: nn.Module, objective: str, distillation_weight: float = 0.0, distillation_temperature: float = 0.05
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.distillation_weight = distillation_weight
        self.distillation_temperature = distillation_temperature

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
        pair_logits = torch.cat([self.model(dict(batch))["scores"].view(-1) for batch in micro_batches]).float()
        logits = torch.zeros(mask.numel(), device=pair_logits.device).index_copy(0, cells, pair_logits).view_as(mask)
        loss = OBJECTIVES[self.objective](logits, labels, mask)
        if self.distillation_weight > 0:
            distance = kl_distillation(logits, teacher, mask, self.distillation_temperature)
            loss = loss + self.distillation_weight * distance
        return loss

    def get_config_dict(self) -> dict[str, Any]:
        """Settings, for the model card."""
        return {
            "objective": self.objective,
            "distillation_weight": self.distillation_weight,
            "distillation_temperature": self.distillation_temperature,
        }
