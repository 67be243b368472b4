"""`Section`: what every section of a config file is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from crossforge.files import is_uri

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy takes


class Section(BaseModel):
    """Immutable settings. Unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false, which pydantic reads as 1 and 0, where only a number may stand."""
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        for one in _held(value):
            if isinstance(one, bool) and bool not in kinds and kinds & {int, float}:
                raise ValueError(f"expected a number, not {str(one).lower()}")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _paths_are_paths(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a URI where only a path may stand: `Path` would make a local folder of it."""
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        uri = next((one for one in _held(value) if isinstance(one, str | Path) and is_uri(one)), None)
        if uri is not None and Path in kinds and str not in kinds:
            raise ValueError(f"expected a path on a file system, not a URI (found '{uri}')")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _without_null(cls, value: Any) -> Any:
        """Refuse the character 0, which no file's name, id or hub id can hold."""
        if any(isinstance(one, str | Path) and "\0" in str(one) for one in _held(value)):
            raise ValueError("holds the character 0, which nothing can be called by")
        return value

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys that may stand in the section."""
        return list(cls.model_fields)

    @classmethod
    def value_type(cls, key: str) -> Any:
        """The type of what stands under a key; None if there is no such key."""
        return cls.model_fields[key].annotation if key in cls.model_fields else None


def _held(value: Any) -> Iterable[Any]:
    """The values in a dictionary or list, or the value itself."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    return {annotation}.union(*map(_kinds, get_args(annotation)))
