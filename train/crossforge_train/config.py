"""The config file: one pydantic model a section, and errors that name the key, the file and the nearest right key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from crossforge.backends.choice import BackendName
from crossforge.errors import InputError
from crossforge.retrievers.weighting import Weighting
from crossforge_train.collections.leaks import Policy
from crossforge_train.collections.readers.mix import TARGET
from crossforge_train.collections.sources import AnySource, MixedSource, Split
from crossforge_train.evaluation.metrics import parse_measure
from crossforge_train.section import Section as _Section
from crossforge_train.sweep.config import SweepConfig
from crossforge_train.training.config import TrainingConfig

_NOT_SEARCHED = {"training.dev_queries", "training.dev_depth", "training.report_to"}
_LITERALS = re.compile(r"'([^']*)'")  # how pydantic's message names the values that a key may have


class CollectionConfig(AnySource):
    """Where documents, queries and judgements come from, and which split serves for what."""

    train: Split = Field("train", description="split to train on")
    dev: Split | float = Field(
        0.1, description="split to choose on, or the share of train's queries to carve out for it"
    )
    test: tuple[Split, ...] | float = Field(
        ("test",), description="splits to prove the result on, or a share of train's queries; used for nothing else"
    )
    group_by: str | None = Field(
        None, description="field of the queries (entity, thread, customer) that no two splits may have in common"
    )
    leaks: Policy = Field(
        "drop", description="what becomes of queries of train and dev that stand in a held-out split: drop, move, keep"
    )

    replay: tuple[MixedSource, ...] = Field(
        (), description="labelled collections of other domains whose training queries are mixed in, each with a weight"
    )

    @model_validator(mode="after")
    def _shares(self) -> CollectionConfig:
        for name, share in (("dev", self.dev), ("test", self.test)):
            if isinstance(share, float) and not 0 < share < 1:
                raise ValueError(f"{name} is a share of the train split, between 0 and 1, not {share}")
        return self

    @model_validator(mode="after")
    def _replays_beside_one(self) -> CollectionConfig:
        labels = [part.label for part in self.replay]
        if self.replay and self.mix:
            raise ValueError("replay goes with a single source; with mix, name the collections there")
        if twice := next((label for label in labels if labels.count(label) > 1 or label == TARGET), None):
            raise ValueError(f"two sources of replay are called {twice}, or one like the target: give each a name")
        return self


class FirstStageConfig(_Section):
    """Lexical retrieval."""

    analyzer: Literal["auto", "word", "char"] = Field(
        "auto", description="stemmed words, character n-grams, or by the corpus"
    )
    language: str = Field("english", description="Snowball language of analyzer: word, or none")
    weighting: Weighting = Field("tfidf", description="tfidf (cosine of sublinear vectors) or bm25")
    title_weight: float = Field(1.0, ge=0, le=100, description="how often a word of a title counts")
    depth: int = Field(200, ge=1, le=10_000, description="candidates a query")


class Band(_Section):
    """Ranks of the first stage, and how many negatives a group takes from them."""

    first: int = Field(ge=1, description="the first rank of the band")
    last: int = Field(ge=1, description="its last rank")
    negatives: int = Field(ge=1, description="negatives from it")


class MiningSource(_Section):
    """Candidates from elsewhere than the first stage."""

    run: Path | None = Field(None, description="a TREC run file that holds the training queries")
    dense: str | None = Field(None, description="a SentenceTransformer: folder, or hub id in the local cache")
    quota: int = Field(1, ge=1, description="negatives a group that come from here")

    @model_validator(mode="after")
    def _one_kind(self) -> MiningSource:
        if (self.run is None) == (self.dense is None):
            raise ValueError("give exactly one of run (a TREC run file) and dense (a SentenceTransformer)")
        return self

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"run {self.run.name}" if self.run else f"dense {Path(str(self.dense)).name}"


class MiningConfig(_Section):
    """Hard negatives."""

    negatives: int = Field(5, ge=1, description="negatives a group")
    random_negatives: int = Field(0, ge=0, description="how many of them are drawn from the whole corpus")
    choice: Literal["top", "sample", "stratified"] = Field(
        "sample", description="the highest-ranked candidates, a seeded draw from the window, or a draw from each band"
    )
    bands: tuple[Band, ...] = Field((), description="for stratified: bands of ranks, each {first, last, negatives}")
    sources: tuple[MiningSource, ...] = Field(
        (), description="other sources of candidates: {run: FILE, quota: 1} or {dense: MODEL, quota: 1}"
    )
    skip_top: int = Field(0, ge=0, description="ranks left out at the top")
    window: int = Field(50, ge=1, description="last rank that may be chosen")
    near_copy: float | None = Field(
        0.8, gt=0, le=1, description="word 3-gram overlap from which a text is a copy of a positive; null: none is"
    )
    max_queries: int | None = Field(None, ge=1, description="mine only so many training queries, by a seeded draw")
    rounds: Literal[1, 2] = Field(
        1, description="2: train, mine the mistakes of that reranker among the candidates, and train on"
    )
    teacher: str | None = Field(
        "auto",
        description="base: cosines of the base model used as a bi-encoder; a cross-encoder: folder or hub id; "
        "null: none; auto: base where the base model is a bi-encoder",
    )
    teacher_margin: float | None = Field(
        0.95,
        gt=0,
        description="share of the positive's probability by a cross-encoder teacher that a negative may have",
    )
    above_margin: Literal["drop", "relabel"] = Field(
        "drop", description="what becomes of candidates above the margin: dropped, or trained on as relevant"
    )

    @model_validator(mode="after")
    def _fits(self) -> MiningConfig:
        if self.random_negatives > self.negatives:
            raise ValueError(f"random_negatives ({self.random_negatives}) is a part of negatives ({self.negatives})")
        if self.skip_top >= self.window:
            raise ValueError(f"skip_top ({self.skip_top}) leaves nothing of window ({self.window})")
        elsewhere = sum(source.quota for source in self.sources)
        if elsewhere > self.hard:
            raise ValueError(
                f"the quotas of sources ({elsewhere}) are more than negatives less random ones ({self.hard})"
            )
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are called the same: {', '.join(names)}")
        self._check_bands(self.hard - elsewhere)
        return self

    def _check_bands(self, wanted: int) -> None:
        if (self.choice == "stratified") != bool(self.bands):
            raise ValueError("bands and choice: stratified belong together: give both or neither")
        if wrong := next((band for band in self.bands if band.last < band.first), None):
            raise ValueError(f"a band ends at rank {wrong.last}, before it begins at {wrong.first}")
        if self.bands and (found := sum(band.negatives for band in self.bands)) != wanted:
            raise ValueError(f"the bands hold {found} negatives, but {wanted} are to come from the first stage")

    @property
    def hard(self) -> int:
        """Negatives a group that are not random."""
        return self.negatives - self.random_negatives


class EvaluationConfig(_Section):
    """The proof."""

    metric: str = Field("nDCG@10", description="the measure that decides, by its ir_measures name")
    measures: tuple[str, ...] = Field(("nDCG@10", "RR@10", "R@10"), description="all measures that are reported")
    backend: BackendName = Field(
        "auto", description="what the reranker is measured on; auto: torch on a GPU, else what apps take by default"
    )
    depth: int = Field(100, ge=2, description="first-stage candidates that are reranked")
    depths: tuple[int, ...] = Field((10, 20, 50, 100, 200), description="rerank depths of the quality curve")
    deep_queries: int = Field(50, ge=1, description="queries of the curve, by a seeded draw, if it goes below depth")
    latency_queries: int = Field(10, ge=0, description="queries that are timed; 0 leaves latency out")
    bm25: bool = Field(True, description="measure BM25 beside the other systems")
    incumbent: str | None = Field(
        None,
        description="the reranker in use (package, cross-encoder folder, hub id) or its TREC run; must not be worse",
    )
    passages: int = Field(1, ge=1, description="passages that are read of a long document")
    max_queries: int | None = Field(None, ge=1, description="measure only so many queries a split, by a seeded draw")
    max_dev_queries: int | None = Field(500, ge=1, description="likewise, for what is chosen on dev")
    significance: float = Field(0.05, gt=0, lt=1, description="p value below which a difference counts")
    permutations: int = Field(20_000, ge=1000, description="draws of the randomization test and of the bootstrap")

    @field_validator("depths")
    @classmethod
    def _depths(cls, depths: tuple[int, ...]) -> tuple[int, ...]:
        if not depths or min(depths) < 1:
            raise ValueError("name one or more depths, each 1 or more")
        return tuple(sorted(set(depths)))

    @field_validator("metric")
    @classmethod
    def _canonical_metric(cls, name: str) -> str:
        return _canonical(name)

    @field_validator("measures")
    @classmethod
    def _canonical_measures(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_canonical, names))


def _canonical(measure: str) -> str:
    """MRR@10 and RR@10 are one measure; figures stand under the second name."""
    try:
        return str(parse_measure(measure))
    except InputError as error:
        raise ValueError(str(error)) from None


class PackageConfig(_Section):
    """The reranker package."""

    allow_regression: bool = Field(False, description="package a reranker that is worse than the first stage")
    int8: bool = Field(
        False, description="also pack an int8 model, if it costs no more than 0.002 of the metric on dev"
    )
    include_corpus: bool = Field(False, description="put corpus and index into the package, for `crossforge search`")


class Config(_Section):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the folder under `runs`")
    runs: Path = Field(Path("runs"), description="folder that holds the runs")
    seed: int = 42
    base_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    collection: CollectionConfig
    first_stage: FirstStageConfig = FirstStageConfig()
    mining: MiningConfig = MiningConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    package: PackageConfig = PackageConfig()
    sweep: SweepConfig = SweepConfig()

    @model_validator(mode="after")
    def _agree(self) -> Config:
        if self.training.uses_teacher and self.mining.teacher is None:
            raise ValueError("training.distillation_weight needs a teacher: set mining.teacher")
        if self.evaluation.metric not in self.evaluation.measures:
            raise ValueError(f"evaluation.metric {self.evaluation.metric} is not among evaluation.measures")
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
    def last_finetune(self) -> str:
        """The stage whose model is evaluated and packaged."""
        return "finetune" if self.mining.rounds == 1 else "finetune-2"


def _searchable_keys() -> list[str]:
    """Keys that change the reranker and leave the dev queries, and how they are measured, as they are."""
    sections: dict[str, type[_Section]] = {
        "first_stage": FirstStageConfig,
        "mining": MiningConfig,
        "training": TrainingConfig,
    }
    keys = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
    return ["base_model", *(key for key in keys if key not in _NOT_SEARCHED)]


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML config and apply `a.b=value` overrides.

    Raises:
        InputError: the file is missing or malformed, or a key is unknown or holds a wrong value.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name a config file in it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping of sections such as 'collection:' and 'training:'")
    values = {key: {} if value is None else value for key, value in values.items()}  # a section with nothing in it
    for override in overrides:
        _apply(values, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    *parents, leaf = key.strip().split(".")
    if not separator or not leaf:
        raise InputError(f"--set {override}: expected section.key=value, such as training.epochs=2")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise InputError(f"--set {override}: {parent} is a single value, not a section")
    try:
        values[leaf] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"--set {override}: {text!r} is not a value") from None


def _explain(error: ValidationError) -> str:
    # A value that may have several types gives one problem for each of them, all for one key.
    problems: dict[str, str] = {}
    for problem in error.errors():
        location = _key_parts(problem["loc"])
        message = _explain_one(problem["type"], location, problem["msg"], problem["input"])
        problems.setdefault(".".join(location) or message, message)
    return "; ".join(problems.values())


def _key_parts(location: Sequence[int | str]) -> list[str]:
    """The parts of a location that are keys of the file: pydantic adds the names of types."""
    parts: list[str] = []
    kind: Any = Config
    for part in location:
        fields = getattr(kind, "model_fields", {})
        if fields:
            parts.append(str(part))
            kind = _value_type(fields[part].annotation) if part in fields else None
        elif get_origin(kind) is tuple and isinstance(part, int) and _is_section(get_args(kind)[0]):
            parts[-1] += f"[{part}]"
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict and part != "[key]":
            parts.append(str(part))
            kind = None
        else:
            break
    return parts


def _value_type(annotation: Any) -> Any:
    """What may stand under a key: of `X | None` the X, of `Annotated[X, …]` the X."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _is_section(kind: Any) -> bool:
    return hasattr(kind, "model_fields")


def _explain_one(kind: str, location: Sequence[str], message: str, value: Any) -> str:
    key = ".".join(location)
    if kind == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {'.'.join([*location[:-1], close[0]])}?" if close else f"known here: {', '.join(known)}"
        return f"unknown key {key}; {hint}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "literal_error" and (close := difflib.get_close_matches(str(value), _LITERALS.findall(message), 1, 0.5)):
        return f"{key}: no value {value!r}; did you mean {close[0]}?"
    message = message.removeprefix("Value error, ")
    if not key:
        return message
    return f"{key}: {message}" if kind == "value_error" else f"{key}: {message} (found {value!r})"


def _known_keys(parents: Iterable[str]) -> list[str]:
    section: Any = Config
    for parent in parents:
        kind = _value_type(section.model_fields[parent.partition("[")[0]].annotation)
        section = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return list(section.model_fields)
