"""Which share of the starting weights is kept."""

from crossforge_train.training.merging import _steadily_best


def test_a_mixture_that_is_worse_than_the_start_is_not_kept() -> None:
    # On about half of the resamples the trained model is best, on the others the start.
    split = {0.0: [0.6, 0.4] * 50, 1.0: [0.41, 0.6] * 50}
    assert _steadily_best({**split, 0.5: [0.42] * 100}, 0) == 1.0
    assert _steadily_best({**split, 0.5: [0.506] * 100}, 0) == 0.5


def test_a_trained_model_that_is_worse_than_the_start_is_not_kept() -> None:
    assert _steadily_best({0.0: [0.4] * 9 + [0.9], 1.0: [0.5] * 10}, 0) == 1.0
    assert _steadily_best({0.0: [0.5] * 10, 1.0: [0.4] * 9 + [0.9]}, 0) == 0.0
