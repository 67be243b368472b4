"""`budget`: how much the labels have brought, and what more of them are expected to bring."""

from __future__ import annotations

from crossforge_train.config.run import Config
from crossforge_train.learning_curve.outcome import LearningCurve
from crossforge_train.learning_curve.runner import run_learning_curve
from crossforge_train.reporting import Reporter, SilentReporter


def budget(config: Config, *, reporter: Reporter | None = None) -> LearningCurve:
    """Train on an eighth, a quarter, half and all of the labels, and fit a learning curve to what they reach on dev.

    Args:
        config: a config from `load_config`.
        reporter: shows progress; silent by default.

    Raises:
        InputError: something in the config or the collection is wrong, or there are too few labelled queries.

    >>> import crossforge_train as ct
    >>> found = ct.budget(ct.load_config("configs/quickstart.yaml", ["training.epochs=1"]))  # doctest: +SKIP
    >>> [(one.more, one.gain, one.interval) for one in found.curves[0].forecasts]  # doctest: +SKIP
    """
    return run_learning_curve(config, reporter or SilentReporter())
