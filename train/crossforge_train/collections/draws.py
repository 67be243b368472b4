"""Seeded draws: the same for the same keys, in whatever order they come."""

from __future__ import annotations

import random
from collections.abc import Sequence


def seeded_draw(keys: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """At most `limit` of the keys (all if None), in their given order."""
    if limit is None or limit >= len(keys):
        return list(keys)
    drawn = set(random.Random(seed).sample(sorted(keys), limit))  # noqa: S311 - a seeded draw, not a secret
    return [key for key in keys if key in drawn]
