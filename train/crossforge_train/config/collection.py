"""The config section `collection`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

from pydantic import Field, model_validator

from crossforge_train.config.files import Split
from crossforge_train.config.sources import AnySource, MixedSource

Policy = Literal["drop", "move", "keep"]
IgnoreIdenticalIds = Literal["auto"] | bool
TARGET: Final = "target"  # what the ids of a collection begin with that others are replayed beside
AUTO: Final = "auto"
_DEV, _CARVED_TEST = "dev", "test"
_DEV_SHARE = 0.15


class CollectionConfig(AnySource):
    """Where documents, queries and judgements come from, and what each split is used for."""

    train: Split = Field("train", description="split to train on")
    dev: Split | float = Field(
        AUTO,
        description="split to make choices on, or the share of training queries to set aside for it; "
        f"`auto`: the split `{_DEV}` if there is one, otherwise a share of {_DEV_SHARE}",
    )
    test: tuple[Split, ...] | float = Field(
        ("test",), description="splits for the proof alone, or the share of training queries to set aside for it"
    )
    group_by: str | None = Field(
        None, description="query field (entity, thread, customer) whose values no two splits may share"
    )
    leaks: Policy = Field(
        "drop", description="what to do with train and dev queries that also occur in a held-out split"
    )
    ignore_identical_ids: IgnoreIdenticalIds = Field(
        "auto",
        description="leave the document that has a query's id out of the query's candidates, unless it is judged "
        "relevant; `auto`: if such queries repeat the texts of these documents",
    )
    replay: tuple[MixedSource, ...] = Field(
        (), description="labelled collections of other domains that add training queries, each with a weight"
    )

    @model_validator(mode="after")
    def _fits(self) -> CollectionConfig:
        for name, share in (("dev", self.dev), ("test", self.test)):
            if isinstance(share, float) and not 0 < share < 1:
                raise ValueError(f"{name} is a share of the train split, between 0 and 1, not {share}")
        if not self.test_splits:
            raise ValueError("test names no split, so nothing could be proven; name one, or set aside a share")
        return self

    @model_validator(mode="after")
    def _replays_beside_one(self) -> CollectionConfig:
        labels = [part.label for part in self.replay]
        if self.replay and self.mix:
            raise ValueError("replay goes with a single source; with mix, name the collections there")
        if twice := next((label for label in labels if labels.count(label) > 1 or label == TARGET), None):
            raise ValueError(f"two sources of replay are called {twice}, or one like the target: give each a name")
        return self

    @property
    def dev_split(self) -> str:
        """The name of the split that choices are made on."""
        return _DEV if isinstance(self.dev, float) or self.dev == AUTO else self.dev

    def dev_share(self, splits: Collection[str]) -> float | None:
        """The share of the training queries to set aside for dev; None if a split of the collection serves.

        Args:
            splits: the names of the collection's splits.
        """
        if self.dev == AUTO:
            return None if _DEV in splits else _DEV_SHARE
        return self.dev if isinstance(self.dev, float) else None

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The names of the splits that prove the result."""
        return (_CARVED_TEST,) if isinstance(self.test, float) else self.test
