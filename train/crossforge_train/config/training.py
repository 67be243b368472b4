"""The config section `training`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from crossforge.long_documents import BEST_WINDOW, LongDocuments
from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.plugins import OneOf
from crossforge_train.config.prompts import PromptsConfig
from crossforge_train.config.section import Section
from crossforge_train.precision import Precision
from crossforge_train.registries import DISTILLATIONS, LOSSES

AUTO: Final = "auto"
AUTO_MAX_LENGTH = 256  # what max_length: auto reaches by itself; more is for those who ask for it
MINUTES = 30.0
Auto = Literal["auto"]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
TriedShare = Annotated[float, Field(gt=0, le=1)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Start = Literal["auto", "bi_encoder", "fresh_head"]
Tracker = Literal["tensorboard", "wandb", "mlflow"]


class TrainingConfig(Section):
    """Fine-tuning. `auto` leaves the choice to the rules in `crossforge_train.training.picks`."""

    start: Start = Field(
        AUTO,
        description="how to start from a bi-encoder: `bi_encoder` builds its cosines in, with two more layers; "
        "`fresh_head` ignores them; `auto`: `bi_encoder` if the architecture allows it",
    )
    instruction: Text | None = Field(
        None,
        description="text that replaces the default instruction in a decoder's template, in training, proof and "
        "package, and for a teacher that has a template; `null`: the default instruction",
    )
    prompts: PromptsConfig = Field(
        PromptsConfig(),
        description="texts before query and document, in training, proof and package, and when the base model embeds; "
        "if empty, those of the bi-encoder that training starts from",
    )
    loss: Annotated[str, OneOf(LOSSES)] = Field("group_softmax", description="loss on the labels")
    label_weight: float = Field(
        1.0, ge=0, description="weight of the loss on the labels; 0 trains on the teacher's scores alone"
    )
    in_batch_negatives: int = Field(
        0, ge=0, description="number of documents of the batch's other queries that each group takes as negatives"
    )
    distillation: Annotated[str, OneOf(DISTILLATIONS)] = Field("kl", description="loss on the teacher's scores")
    distillation_weight: Annotated[float, Field(ge=0)] | Auto = Field(
        AUTO,
        description="weight of the distillation loss; `auto`: 1 if there is a teacher, unless it is the base model and "
        "often mistaken; otherwise 0",
    )
    distillation_temperature: float = Field(0.05, gt=0, description="divisor of the teacher's scores")
    learning_rate: Positive | Auto = Field(
        AUTO, description="peak learning rate of the body; `auto`: by its size and a range test"
    )
    head_learning_rate: Positive | Auto = Field(
        AUTO,
        description="peak learning rate of the head (pooler and classifier); "
        "`auto`: up to ten times the body's for a fresh head",
    )
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the whole model; 0 trains faster")
    epochs: Positive | Auto = Field(
        AUTO, description="passes over the groups; `auto`: by the number of groups, within `minutes`"
    )
    minutes: Positive | None = Field(
        MINUTES,
        description="maximum minutes of training, planned from a timed sample on this machine; limits `epochs`, "
        "`evaluations` and `dev_queries` where they are `auto`; with `epochs: auto`, also shortens a training that "
        "turns out slower; `null`: no limit",
    )
    groups_per_batch: int = Field(8, ge=1, description="groups (queries) per step, across all processes")
    accumulation: int = Field(1, ge=1, description="number of parts of a step that are processed one after another")
    mini_batch: int | None = Field(
        None,
        ge=128,
        description="padded tokens whose activations are in memory at a time, at the cost of a second forward pass; "
        "`null`: all",
    )
    gradient_checkpointing: bool = Field(
        False, description="keep only the activations between layers, at the cost of a second forward pass"
    )
    lora: LoraConfig | Auto | None = Field(
        AUTO,
        description="train low-rank adapters instead of all weights; `null`: never; `auto`: if the base model has more "
        "than 300 million parameters",
    )
    merge: Share | tuple[TriedShare, ...] | Auto = Field(
        AUTO,
        description="share of the starting weights to mix back in at the end, or several shares for dev to choose "
        "from; `[]`: none; `auto`: 0.5 and 1 (the start itself) if training starts from a reranker or bi-encoder, only "
        "0.5 if most of dev are pseudo-queries",
    )
    freeze_embeddings: bool = Field(False, description="do not train the token embeddings")
    frozen_layers: int = Field(
        0, ge=0, description="number of lowest layers to freeze, together with the token embeddings; trains faster"
    )
    max_length: Annotated[int, Field(ge=16)] | Auto = Field(
        AUTO, description="tokens of query and document together; `auto`: as many as the texts need, at most 256"
    )
    long_documents: LongDocuments | Auto = Field(
        BEST_WINDOW,
        description="part of a longer document to read, in training, proof and package: the window that shares most "
        "with the query (`best_window`), or the beginning (`first_window`); `auto`: the part that suits the starting "
        "model better on dev",
    )
    precision: Precision = Field(
        "auto", description="number format of training; `auto`: the faster one on this machine"
    )
    evaluations: Annotated[int, Field(ge=1)] | Auto = Field(
        AUTO, description="how often to measure dev and write a checkpoint; `auto`: 4 times, 2 if time is short"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after this many dev measurements without a gain; `null`: never"
    )
    dev_queries: Annotated[int, Field(ge=1)] | Auto = Field(
        AUTO,
        description="dev queries with a relevant document per measurement, by a seeded draw; `auto`: 100, down to 30 "
        "if time is short",
    )
    dev_depth: int = Field(30, ge=2, description="first-stage candidates to rerank per dev query")
    report_to: tuple[Tracker, ...] = Field((), description="trackers to report the run to")

    @model_validator(mode="after")
    def _learns_from_something(self) -> TrainingConfig:
        if self.label_weight == self.distillation_weight == 0:
            raise ValueError("label_weight and distillation_weight are both 0: nothing is left to learn from")
        return self

    def fingerprint(self) -> dict[str, Any]:
        """What a trained model depends on; keys that earlier versions did not have are left out if they are not set."""
        limit = AUTO in (self.epochs, self.evaluations, self.dev_queries) and self.minutes != MINUTES
        given = {"instruction": self.instruction, "prompts": self.prompts.texts, "minutes": limit,
                 "frozen_layers": self.frozen_layers}  # fmt: skip
        unset = {name for name, value in given.items() if not value}
        return self.model_dump(exclude={"report_to", *unset})

    @property
    def uses_teacher(self) -> bool:
        """Whether training needs teacher scores; `auto` takes them if there are any."""
        return self.distillation_weight != AUTO and float(self.distillation_weight) > 0

    @property
    def most_tokens(self) -> int:
        """The most that `max_length` can be."""
        return AUTO_MAX_LENGTH if isinstance(self.max_length, str) else self.max_length


class PickedTraining(TrainingConfig):
    """The section with every `auto` resolved: the values that a model is trained with."""

    precision: Literal["fp32", "bf16"]
    distillation_weight: float
    learning_rate: float
    head_learning_rate: float
    epochs: float
    evaluations: int = 4
    dev_queries: int = 100
    lora: LoraConfig | None = None
    merge: Share | tuple[TriedShare, ...] = ()
    max_length: int
    long_documents: LongDocuments = BEST_WINDOW
