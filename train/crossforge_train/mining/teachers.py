"""The teachers that a config names: what they depend on, and how they are opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge_train.collections.collection import Collection
from crossforge_train.compute.base import Engine
from crossforge_train.config.run import Config
from crossforge_train.encoders.export import NoExportError
from crossforge_train.mining.averaged import AveragedTeacher
from crossforge_train.mining.bi_encoder import CosineTeacher
from crossforge_train.mining.cross_encoder import CrossEncoderTeacher
from crossforge_train.mining.teacher import Teacher, TeacherKind
from crossforge_train.models.base_model import find_base_model, is_bi_encoder
from crossforge_train.registries import TEACHERS
from crossforge_train.reporting import Reporter

_AUTO, _BASE, _CROSS_ENCODER = "auto", "base", "cross_encoder"


class _Named(NamedTuple):
    """A teacher as a config names it: the name of its kind, and the config as if it were the only one."""

    kind: str
    weight: float
    config: Config


def base_teaches(config: Config) -> bool:
    """Whether the base model's cosines are a teacher."""
    return any(found.kind == _BASE for found in _named(config))


def base_alone_teaches(config: Config) -> bool:
    """Whether the base model's cosines are the only teacher."""
    return [found.kind for found in _named(config)] == [_BASE]


def teachers_depend_on(config: Config) -> Mapping[str, Any]:
    """What the teachers' scores depend on, for fingerprints."""
    named = list(_named(config))
    found = [TEACHERS.load(one.kind).depends_on(one.config) for one in named]
    versions = {key: version for one in named for key, version in TEACHERS.version(one.kind).items()}
    if len(found) > 1:
        return {"teacher": found, **versions}
    return {"teacher": found[0] if found else None, **versions}


def open_teacher(
    config: Config,
    collection: Collection,
    reporter: Reporter,
    query_map: NDArray[np.float32] | None,
    engine: Engine | None = None,
) -> Teacher | None:
    """The teacher, or several as one; None if there is none, or `auto` comes to a bi-encoder that cannot be exported.

    Args:
        config: names them.
        collection: whose groups are scored.
        reporter: shows progress.
        query_map: moves the queries' vectors of the base model, if there is one.
        engine: scores pairs for a cross-encoder; None is this process.

    Raises:
        InputError: a teacher cannot be opened.
        PackageError: a reranker cannot be loaded.
    """
    named = list(_named(config))
    try:
        opened = [_opened(one, collection, reporter, query_map, engine) for one in named]
    except NoExportError as error:
        if config.mining.teacher != _AUTO:
            raise
        reporter.note(f"mining.teacher: none; {error.args[0]}")
        return None
    if len(opened) > 1:
        return AveragedTeacher(opened, [one.weight for one in named])
    return opened[0] if opened else None


def _opened(
    named: _Named,
    collection: Collection,
    reporter: Reporter,
    query_map: NDArray[np.float32] | None,
    engine: Engine | None,
) -> Teacher:
    kind: TeacherKind = TEACHERS.load(named.kind)
    teacher = kind.open(named.config, collection, reporter)
    if query_map is not None and isinstance(teacher, CosineTeacher):
        return teacher.with_query_map(query_map)
    if engine is not None and isinstance(teacher, CrossEncoderTeacher):
        return teacher.with_engine(engine)
    return teacher


def _named(config: Config) -> Iterator[_Named]:
    for found in config.mining.teachers:
        kind = _kind(config, found.name)
        if kind is not None:
            alone = config.mining.model_copy(update={"teacher": found.name})
            yield _Named(kind, found.weight, config.model_copy(update={"mining": alone}))


def _kind(config: Config, name: str) -> str | None:
    """What is no kind's name is a reranker's folder or hub id."""
    if name == _AUTO:
        return _BASE if is_bi_encoder(find_base_model(config.base_model)) else None
    return name if name in TEACHERS else _CROSS_ENCODER
