"""The config section `training`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossforge_train.section import Section
from crossforge_train.training.precision import Precision


class TrainingConfig(Section):
    """Fine-tuning."""

    loss: Literal["group_softmax", "binary_cross_entropy"] = Field("group_softmax", description="what is minimised")
    distillation_weight: float = Field(0.0, ge=0, description="weight of the KL divergence from the teacher's order")
    distillation_temperature: float = Field(0.05, gt=0, description="divides teacher scores before their softmax")
    learning_rate: float = Field(3e-4, gt=0, description="of the body")
    head_learning_rate: float = Field(2e-3, gt=0, description="of the freshly initialised classification head")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the whole model; 0 trains faster")
    epochs: float = Field(1.0, gt=0, description="how often each group is seen")
    groups_per_batch: int = Field(8, ge=1, description="groups (queries) a step")
    max_length: int = Field(256, ge=16, description="tokens that the model reads of query and document together")
    precision: Precision = Field("auto", description="auto: bf16 where the hardware multiplies it natively")
    evaluations: int = Field(4, ge=1, description="how often dev is measured and a checkpoint written")
    dev_queries: int = Field(100, ge=1, description="queries of dev that are measured each time")
    dev_depth: int = Field(30, ge=2, description="first-stage candidates of each that are reranked")

    @property
    def uses_teacher(self) -> bool:
        """Whether training needs teacher scores."""
        return self.distillation_weight > 0
