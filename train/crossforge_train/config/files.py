"""Files by split, as several kinds of source name them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

Split = str


def one_split(value: Any) -> Any:
    """A single file stands for the training split."""
    return {"train": value} if isinstance(value, str | Path) else value


def files_alone(value: Any) -> Any:
    """A path alone stands for a section whose only key is `files`."""
    return {"files": value} if isinstance(value, str | Path) else value


SplitFiles = Annotated[dict[Split, Path], BeforeValidator(one_split), Field(min_length=1)]
