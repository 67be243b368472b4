"""The objectives against numbers that were worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossforge_train.losses.objectives import binary_cross_entropy, group_softmax, kl_distillation

PADDED = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])


def softmax(values: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values)


def test_group_softmax_is_the_mean_negative_log_share_of_the_positive() -> None:
    loss = group_softmax(rows([2.0, 1.0, -1.0], [0.5, 0.0, 9.0]), rows([1.0, 0, 0], [1.0, 0, 0]), PADDED)
    expected = -(math.log(softmax([2.0, 1.0, -1.0])[0]) + math.log(softmax([0.5, 0.0])[0])) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_group_softmax_shares_the_target_between_graded_positives() -> None:
    logits, mask = rows([1.0, 0.0, -1.0]), torch.ones(1, 3)
    one, two, _ = (math.log(share) for share in softmax([1.0, 0.0, -1.0]))
    assert group_softmax(logits, rows([1.0, 1.0, 0.0]), mask).item() == pytest.approx(-(one + two) / 2)
    assert group_softmax(logits, rows([3.0, 1.0, 0.0]), mask).item() == pytest.approx(-(3 * one + two) / 4)


def test_binary_cross_entropy_weighs_positives_up_to_the_negatives() -> None:
    loss = binary_cross_entropy(rows([2.0, 1.0, -1.0], [0.5, 0.0, 9.0]), rows([1.0, 0, 0], [2.0, 0, 0]), PADDED)

    def log_sigmoid(value: float) -> float:
        return -math.log1p(math.exp(-value))

    weight = 3 / 2  # three negatives, two positives
    positive = weight * (log_sigmoid(2.0) + log_sigmoid(0.5))
    negative = log_sigmoid(-1.0) + log_sigmoid(1.0) + log_sigmoid(0.0)
    assert loss.item() == pytest.approx(-(positive + negative) / 5, rel=1e-6)


def test_kl_distillation_is_the_divergence_of_the_two_softmaxes() -> None:
    loss = kl_distillation(rows([1.0, 0.0]), rows([0.3, 0.1]), torch.ones(1, 2), 0.5)
    teacher, student = softmax([0.6, 0.2]), softmax([1.0, 0.0])
    expected = sum(wanted * math.log(wanted / given_) for wanted, given_ in zip(teacher, student, strict=True))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_kl_distillation_is_zero_where_the_student_gives_the_teachers_order() -> None:
    teacher = rows([0.9, 0.2, 0.4], [0.1, 0.7, 0.0])
    assert kl_distillation(teacher / 0.05 + 3.0, teacher, PADDED, 0.05).item() == pytest.approx(0.0, abs=1e-5)
    assert kl_distillation(-teacher, teacher, PADDED, 0.05).item() > 0.1


numbers = st.floats(-15, 15, width=32)


@pytest.mark.parametrize("name", ["group_softmax", "binary_cross_entropy", "kl_distillation"])
@given(values=st.lists(numbers, min_size=6, max_size=6), padding=numbers)
def test_what_stands_in_the_padding_changes_nothing_and_gets_no_gradient(
    name: str, values: list[float], padding: float
) -> None:
    def loss_and_gradient(cell: float) -> tuple[float, torch.Tensor]:
        logits = torch.tensor([values[:3], [*values[3:5], cell]], requires_grad=True)
        labels = rows([1.0, 0.0, 2.0], [1.0, 0.0, 0.0])
        if name == "kl_distillation":
            loss = kl_distillation(logits, rows([0.9, 0.1, 0.5], [0.3, 0.8, cell]), PADDED, 0.05)
        else:
            loss = {"group_softmax": group_softmax, "binary_cross_entropy": binary_cross_entropy}[name](
                logits, labels, PADDED
            )
        loss.backward()
        return loss.item(), logits.grad

    loss, gradient = loss_and_gradient(0.0)
    other_loss, other_gradient = loss_and_gradient(padding)
    assert math.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert gradient[1, 2] == 0
    assert other_loss == pytest.approx(loss, rel=1e-6, abs=1e-7)
    assert torch.allclose(other_gradient, gradient, atol=1e-6)


@pytest.mark.parametrize("objective", [group_softmax, binary_cross_entropy])
def test_a_step_against_the_gradient_lifts_the_positive(objective: object) -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    objective(logits, rows([0.0, 1.0, 0.0]), torch.ones(1, 3)).backward()
    assert logits.grad[0, 1] < 0
    assert (logits.grad[0, [0, 2]] > 0).all()


def test_a_group_without_a_positive_gives_no_nan() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    group_softmax(logits, torch.zeros(1, 3), torch.ones(1, 3)).backward()
    assert torch.isfinite(logits.grad).all()
