"""Seeded draws that do not depend on the order of the keys."""

from __future__ import annotations

import random
from collections.abc import Sequence


def seeded_draw(keys: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """Draw at most `limit` of the keys (all if None); they stay in their given order."""
    if limit is None or limit >= len(keys):
        return list(keys)
    drawn = set(random.Random(seed).sample(sorted(keys), limit))  # noqa: S311 - a seeded draw, not a secret
    return [key for key in keys if key in drawn]
