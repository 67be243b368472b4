"""Proposes the values to try next, with Optuna's sampler over the trials so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossforge.errors import InputError
from crossforge_train.config.sweep import Candidates, Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        number: trial number, from 1.
        values: key → tried value.
        dev: best dev measure reached; None if the trial failed.
        first_stage_dev: the first stage's measure on the same queries.
        reason: why the trial failed; None if it did not.
    """

    number: int
    values: Mapping[str, Any]
    dev: float | None = None
    first_stage_dev: float | None = None
    reason: str | None = None


def require_optuna() -> Any:
    """The library, imported; raises `InputError` if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError('a sweep needs Optuna: pip install "crossforge[sweep]"') from None
    return optuna


def propose(space: Mapping[str, Candidates], done: Sequence[Trial], seed: int) -> dict[str, Any]:
    """Propose values for the next trial, with the tree-structured Parzen estimator (Bergstra et al., 2011).

    The values depend on the arguments alone, so a sweep resumed after a kill makes the same proposals.

    Raises:
        InputError: Optuna is not installed.
    """
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(candidates) for key, candidates in space.items()}
    # A different seed per trial: the first trials are random, and one seed would draw the same values each time.
    sampler = optuna.samplers.TPESampler(seed=seed + len(done))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_as_optuna(trial, distributions) for trial in done])
    return dict(study.ask(distributions).params)


def _as_optuna(trial: Trial, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.FAIL if trial.dev is None else TrialState.COMPLETE,
        value=trial.dev,
        params=dict(trial.values),
        distributions=distributions,
    )


def _distribution(candidates: Candidates) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(candidates, Range):
        return CategoricalDistribution(candidates)
    low, high, log = candidates.low, candidates.high, candidates.log
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)
