"""What fits into `training.minutes`: measurements of dev get a quarter of the time, steps the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from crossforge_train.training.timing import Pace

MANY, FEW = 4, 2  # measurements of dev while training
MOST_DEV_QUERIES, LEAST_DEV_QUERIES = 100, 30
_DEV_SHARE = 1 / 4


@dataclass(frozen=True)
class TimeLimit:
    """Divides the minutes of a training.

    Attributes:
        minutes: the config's limit; None: no limit.
        pace: times a few steps on this machine; called only if there is a limit.
        tried: groups on which trial steps are made before training.
        spent: minutes that preparing the training has taken.
    """

    minutes: float | None
    pace: Callable[[], Pace]
    tried: float = 0
    spent: float = 0

    def evaluations(self, dev_queries: int, merges: int) -> tuple[int, str]:
        """How often dev is measured: four times, or twice where that would take more than a quarter of the time.

        Args:
            dev_queries: queries of the dev split that have a relevant document.
            merges: mixtures with the starting weights that are measured at the end.
        """
        wanted = min(dev_queries, MOST_DEV_QUERIES)
        if self.minutes is None or (MANY + merges) * wanted <= self._dev_queries_in_time():
            return MANY, "because there is time for them"
        return FEW, f"because {MANY} would take more than a quarter of training.minutes: {self.minutes:g}"

    def dev_queries(self, measurements: int) -> tuple[int, str]:
        """How many queries a measurement takes: 100, or what a quarter of the time allows, but 30 at least."""
        in_time = math.inf if self.minutes is None else self._dev_queries_in_time() / measurements
        if in_time >= MOST_DEV_QUERIES:
            return MOST_DEV_QUERIES, "because there is time for them"
        return max(LEAST_DEV_QUERIES, int(in_time)), f"for a quarter of training.minutes: {self.minutes:g}"

    def groups(self, measured_queries: int) -> float:
        """How many groups can be trained on; infinitely many without a limit.

        Args:
            measured_queries: dev queries of all measurements; half of the time remains for steps, whatever they, the
                trial steps and what came before take.
        """
        if self.minutes is None:
            return math.inf
        pace = self.pace()
        return self.step_minutes(pace, measured_queries) * pace.groups

    def step_minutes(self, pace: Pace, measured_queries: int) -> float:
        """How many minutes are left for steps at a pace, which may be another than that of the timed steps."""
        minutes = self.minutes or math.inf
        left = minutes - self.spent - measured_queries / pace.dev_queries - self.tried / pace.groups
        return max(left, minutes / 2)

    def _dev_queries_in_time(self) -> float:
        return _DEV_SHARE * (self.minutes or math.inf) * self.pace().dev_queries
