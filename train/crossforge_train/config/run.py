"""`Config`: a whole run."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from crossforge.files import is_uri
from crossforge_train.config.collection import CollectionConfig
from crossforge_train.config.compute import ComputeConfig
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.mining import MiningConfig
from crossforge_train.config.package import PackageConfig
from crossforge_train.config.section import Section, Seed
from crossforge_train.config.sweep import SweepConfig
from crossforge_train.config.training import TrainingConfig

_STORES = ("s3", "gs", "hdfs", "file")
_PASSWORD = re.compile(r"://[^@/?]*:(?!\d+/)[^@?]*@")  # a secret may hold slashes; a port ends at one
_NOT_SEARCHED = {"training.dev_queries", "training.dev_depth", "training.evaluations", "training.report_to"}


class Config(Section):
    """A whole run."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run, and of its folder under `runs`"
    )
    runs: Path = Field(Path("runs"), description="folder of all runs")
    store: str | None = Field(
        None,
        description="object store that keeps finished stages and checkpoints, such as `s3://BUCKET/FOLDER`; "
        "[scale.md](scale.md#a-run-in-an-object-store) says what",
    )
    seed: Seed = Field(42, description="seed of every draw")
    base_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2",
        description="folder or hub id of an encoder, or of a reranker to start from",
    )
    trust_remote_code: bool = Field(
        False, description="whether to run the code that the base model brings along, if transformers lacks its class"
    )
    collection: CollectionConfig = Field(description="documents, queries and judgements, and the role of each split")
    first_stage: FirstStageConfig = Field(FirstStageConfig(), description="retrieval of candidates")
    mining: MiningConfig = Field(MiningConfig(), description="hard negatives and the teacher")
    training: TrainingConfig = Field(TrainingConfig(), description="fine-tuning")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="the proof on held-out queries")
    package: PackageConfig = Field(PackageConfig(), description="the reranker package")
    sweep: SweepConfig = Field(SweepConfig(), description="search over settings")
    compute: ComputeConfig = Field(ComputeConfig(), description="one machine or a cluster")

    @field_validator("runs", mode="before")
    @classmethod
    def _is_a_folder(cls, value: Any) -> Any:
        if isinstance(value, str | Path) and is_uri(value):
            raise ValueError(f"expected a folder; name an object store in `store` (found '{value}')")
        return value

    @field_validator("store")
    @classmethod
    def _is_a_store(cls, value: str | None) -> str | None:
        if value and _PASSWORD.search(value):
            raise ValueError(
                "holds credentials, which whoever reads the config would see; leave them to the environment"
            )
        if value is not None and value.partition("://")[0] not in _STORES:
            known = ", ".join(f"{scheme}://" for scheme in _STORES)
            raise ValueError(
                f"expected a URI that starts with {known.rpartition(', ')[0]} or {_STORES[-1]}:// (found {value!r})"
            )
        return value

    @model_validator(mode="after")
    def _agree(self) -> Config:
        if self.training.uses_teacher and self.mining.teacher is None:
            raise ValueError("training.distillation_weight needs a teacher: set mining.teacher")
        if self.evaluation.metric not in self.evaluation.measures:
            raise ValueError(f"evaluation.metric {self.evaluation.metric} is not among evaluation.measures")
        if self.first_stage.kind == "run" and self.package.include_corpus:
            raise ValueError(
                "package.include_corpus: a first stage of kind run knows only the queries of its files, so the package "
                "could not search; leave it out, or choose another first_stage.kind"
            )
        searchable = _searchable_keys()
        for key in self.sweep.space:
            if key not in searchable:
                close = difflib.get_close_matches(key, searchable, n=1, cutoff=0.5)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ValueError(f"sweep.space: {key} is no key that a sweep can search{hint}")
        return self

    @property
    def folder(self) -> Path:
        """Where this run's stages write."""
        return self.runs / self.name

    @property
    def other_encoder(self) -> str | None:
        """What `first_stage.encoder` names, if that is not the base model."""
        encoder = self.first_stage.encoder
        return encoder if encoder and encoder != self.base_model else None


def _searchable_keys() -> list[str]:
    """Keys that change the reranker and leave the dev queries, and how they are measured, as they are."""
    sections: dict[str, type[Section]] = {
        "first_stage": FirstStageConfig,
        "mining": MiningConfig,
        "training": TrainingConfig,
    }
    keys = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
    return ["base_model", *(key for key in keys if key not in _NOT_SEARCHED)]
