"""The config section `training`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.section import Section
from crossforge_train.precision import Precision
from crossforge_train.registries import DISTILLATIONS, LOSSES

LongDocuments = Literal["best_window", "first_window"]
AUTO: Final = "auto"
AUTO_MAX_LENGTH = 256  # what max_length: auto reaches by itself; more is for those who ask for it
Auto = Literal["auto"]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Start = Literal["auto", "bi_encoder", "fresh_head"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]


class TrainingConfig(Section):
    """Fine-tuning. `auto` leaves a value to `crossforge_train.training.picks`."""

    start: Start = Field(
        AUTO,
        description="of a base model that is a bi-encoder: bi_encoder builds its cosines in, as one more layer; "
        "fresh_head does not; auto: bi_encoder where the architecture allows it",
    )
    loss: Annotated[str, OneOf(LOSSES)] = Field(
        "group_softmax", description="what is minimised on the labels; see docs/losses.md"
    )
    label_weight: float = Field(1.0, ge=0, description="weight of that loss; 0 trains on the teacher's scores alone")
    in_batch_negatives: int = Field(
        0, ge=0, description="documents of the batch's other queries that each group takes in as negatives"
    )
    distillation: Annotated[str, OneOf(DISTILLATIONS)] = Field(
        "kl", description="what is minimised on the teacher's scores"
    )
    distillation_weight: Annotated[float, Field(ge=0)] | Auto = Field(
        AUTO, description="weight of that; auto: 1 where there is a teacher"
    )
    distillation_temperature: float = Field(0.05, gt=0, description="divides the teacher's scores")
    learning_rate: Positive | Auto = Field(AUTO, description="of the body, or auto")
    head_learning_rate: Positive | Auto = Field(
        AUTO, description="of the head (pooler and classifier) on the encoder, or auto"
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    dropout: float = Field(0.0, ge=0, lt=1, description="of the whole model; 0 trains faster")
    epochs: Positive | Auto = Field(AUTO, description="how often each group is seen, or auto")
    groups_per_batch: int = Field(8, ge=1, description="groups (queries) a step, of all processes together")
    accumulation: int = Field(1, ge=1, description="parts that the groups of a step are taken in, one after another")
    mini_batch: int | None = Field(
        None,
        ge=128,
        description="padded tokens whose activations are held at a time, for one more forward pass; null: a step's",
    )
    gradient_checkpointing: bool = Field(
        False, description="keep only the activations between layers, for one more forward pass"
    )
    lora: LoraConfig | None = Field(None, description="train low-rank adapters instead of all weights")
    merge: Share | tuple[Share, ...] | Auto = Field(
        AUTO,
        description="share of the weights that it starts from to mix in at the end, or several of which dev takes one, "
        "or none; auto, where it starts from a reranker or a bi-encoder: 0.25, 0.5 and 0.75, and 0.5 alone where dev "
        "holds pseudo-queries",
    )
    freeze_embeddings: bool = Field(False, description="leave the token embeddings as they are")
    max_length: Annotated[int, Field(ge=16)] | Auto = Field(
        AUTO, description="tokens that the model reads of query and document together, or auto"
    )
    long_documents: LongDocuments = Field(
        "best_window", description="of a document that is longer: the window that matches best, or its beginning"
    )
    precision: Precision = Field("auto", description="fp32, bf16, or auto: what is faster on this machine")
    evaluations: int = Field(4, ge=1, description="how often dev is measured and a checkpoint written")
    patience: int | None = Field(
        None, ge=1, description="stop after so many measurements of dev without a gain; null: never"
    )
    dev_queries: int = Field(100, ge=1, description="queries of dev that are measured each time")
    dev_depth: int = Field(30, ge=2, description="first-stage candidates of each that are reranked")
    report_to: tuple[Tracker, ...] = Field(
        (), description="trackers that are told of the run: tensorboard, wandb, mlflow"
    )

    @model_validator(mode="after")
    def _learns_from_something(self) -> TrainingConfig:
        if self.label_weight == self.distillation_weight == 0:
            raise ValueError("label_weight and distillation_weight are both 0: nothing is left to learn from")
        return self

    @property
    def uses_teacher(self) -> bool:
        """Whether training needs teacher scores; `auto` takes them if there are any."""
        return self.distillation_weight != AUTO and float(self.distillation_weight) > 0

    @property
    def most_tokens(self) -> int:
        """The most that `max_length` can be."""
        return AUTO_MAX_LENGTH if isinstance(self.max_length, str) else self.max_length


class PickedTraining(TrainingConfig):
    """The section with a value in place of every `auto`: what a model is trained with."""

    precision: Literal["fp32", "bf16"]
    distillation_weight: float
    learning_rate: float
    head_learning_rate: float
    epochs: float
    merge: Share | tuple[Share, ...] = ()
    max_length: int
