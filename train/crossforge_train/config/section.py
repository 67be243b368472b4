"""`Section`: what every section of a config file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that cannot change; a key that is not among them is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
