"""Every loss beside the one of sentence-transformers that has its name, and against numbers worked out by hand."""

import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses as theirs

from crossforge_train import registries
from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.losses.listwise import group_softmax, kl
from crossforge_train.losses.matrix import Objective
from crossforge_train.losses.pointwise import binary_cross_entropy

LOSSES, DISTILLATIONS = (
    {name: registry.load(name) for name in registry.built_in}
    for registry in (registries.LOSSES, registries.DISTILLATIONS)
)
PADDED = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
DOCS = Path(__file__).parents[3] / "docs" / "losses.md"


class Stub(CrossEncoder):
    """A model whose logits are given: a document's text is the number of its logit."""

    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, logits: torch.Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.logits = logits

    def preprocess(self, pairs: list, **_: Any) -> dict[str, torch.Tensor]:
        return {"numbers": torch.tensor([int(document) for _, document in pairs])}

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": self.logits[features["numbers"]].unsqueeze(1)}


def groups(seed: int, graded: bool) -> list[tuple[list[float], list[float]]]:
    """(logits, labels) of groups of different sizes, the most relevant documents first."""
    draw = random.Random(seed)
    found = []
    for _ in range(4):
        size = draw.randint(2, 6)
        labels = sorted((float(draw.randint(0, 3 if graded else 1)) for _ in range(size)), reverse=True)
        found.append(([draw.uniform(-4, 4) for _ in range(size)], [max(labels[0], 1.0), *labels[1:]]))
    return found


def matrices(found: list[tuple[list[float], list[float]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    width = max(len(logits) for logits, _ in found)
    shape = [torch.zeros(len(found), width) for _ in range(3)]
    for row, (logits, labels) in enumerate(found):
        for matrix, values in zip(shape, (logits, labels, [1.0] * len(logits)), strict=True):
            matrix[row, : len(logits)] = torch.tensor(values)
    return shape[0], shape[1], shape[2]


def their_listwise(loss: type, found: list[tuple[list[float], list[float]]], **options: Any) -> torch.Tensor:
    flat = torch.tensor([value for logits, _ in found for value in logits])
    numbers = iter(range(len(flat)))
    documents = [[str(next(numbers)) for _ in logits] for logits, _ in found]
    labels = [torch.tensor(labels) for _, labels in found]
    return loss(Stub(flat), **options)([["query"] * len(found), documents], labels)


LISTWISE = {
    "ranknet": (theirs.RankNetLoss, {}),
    "ndcg_loss1": (theirs.LambdaLoss, {"weighting_scheme": theirs.NDCGLoss1Scheme()}),
    "ndcg_loss2": (theirs.LambdaLoss, {"weighting_scheme": theirs.NDCGLoss2Scheme()}),
    "ndcg_loss2pp": (theirs.LambdaLoss, {"weighting_scheme": theirs.NDCGLoss2PPScheme()}),
    "lambda_rank": (theirs.LambdaLoss, {"weighting_scheme": theirs.LambdaRankScheme()}),
    "list_net": (theirs.ListNetLoss, {}),
    "list_mle": (theirs.ListMLELoss, {}),
    "p_list_mle": (theirs.PListMLELoss, {}),
    "adr_mse": (theirs.ADRMSELoss, {}),
}


@pytest.mark.parametrize("name", LISTWISE)
@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_loss_over_ragged_groups_is_the_one_of_sentence_transformers(name: str, graded: bool, seed: int) -> None:
    loss, options = LISTWISE[name]
    found = groups(seed, graded)
    assert LOSSES[name](*matrices(found)).item() == pytest.approx(their_listwise(loss, found, **options).item(), 1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_losses_over_pairs_are_those_of_sentence_transformers(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits, ones = torch.randn(3, 4, generator=draw), torch.ones(3, 4)
    numbers = [[str(4 * row + column) for row in range(3)] for column in range(4)]
    stub, query = Stub(logits.flatten()), ["query"] * 3
    binary = torch.tensor([[1.0, 0, 0, 0]] * 3)
    scores = torch.rand(3, 4, generator=draw)

    pairs = [query * 4, [number for column in numbers for number in column]]
    bce = theirs.BinaryCrossEntropyLoss(stub, pos_weight=torch.tensor(3.0))(pairs, binary.T.flatten())
    assert LOSSES["binary_cross_entropy"](logits, binary, ones).item() == pytest.approx(bce.item(), rel=1e-5)
    mse = theirs.MSELoss(stub)(pairs, scores.T.flatten())
    assert LOSSES["mse"](logits, scores, ones).item() == pytest.approx(mse.item(), rel=1e-5)
    margin = theirs.MarginMSELoss(stub)([query, *numbers], scores)
    assert LOSSES["margin_mse"](logits, scores, ones).item() == pytest.approx(margin.item(), rel=1e-5)
    multiple = theirs.MultipleNegativesRankingLoss(stub).calculate_loss(list(logits.T), 3)
    assert LOSSES["multiple_negatives"](logits, binary, ones).item() == pytest.approx(multiple.item(), rel=1e-5)
    classes = torch.nn.functional.cross_entropy(logits, torch.zeros(3, dtype=torch.long))
    assert LOSSES["cross_entropy"](logits, binary, ones).item() == pytest.approx(classes.item(), rel=1e-5)
    assert LOSSES["group_softmax"](logits, binary, ones).item() == pytest.approx(classes.item(), rel=1e-5)


def test_the_docs_name_the_losses_of_the_registry() -> None:
    lines = DOCS.read_text().splitlines()
    named = [match[1] for line in lines if (match := re.match(r"\| `(\w+)` \|", line))]
    assert sorted(named) == sorted([*LOSSES, *DISTILLATIONS])


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


def test_kl_is_the_divergence_of_the_two_softmaxes() -> None:
    loss = kl(rows([1.0, 0.0]), rows([0.6, 0.2]), torch.ones(1, 2))
    teacher, student = softmax([0.6, 0.2]), softmax([1.0, 0.0])
    expected = sum(wanted * math.log(wanted / given_) for wanted, given_ in zip(teacher, student, strict=True))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_a_student_that_scores_as_its_teacher_has_nothing_to_learn(name: str) -> None:
    teacher = rows([9.0, -8.0, 0.0], [1.0, 12.0, 0.0])
    gradients = []
    for factor in (1.0, -1.0):
        logits = (factor * teacher).requires_grad_()
        DISTILLATIONS[name](logits, teacher, PADDED).backward()
        gradients.append(logits.grad.abs().max().item())
    assert gradients[0] < 1e-2 < gradients[1]


numbers = st.one_of(st.floats(-60, 60, width=32), st.floats(-(2.0**40), 2.0**40, width=32))
labels = st.sampled_from([0.0, 1.0, 2.0, 3.0, 500.0])


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40)
@given(values=st.lists(numbers, min_size=5, max_size=5), targets=st.lists(labels, min_size=5, max_size=5), cell=numbers)
def test_what_stands_in_the_padding_changes_nothing_and_every_gradient_is_finite(
    name: str, values: list[float], targets: list[float], cell: float
) -> None:
    def loss_and_gradient(padding: float) -> tuple[float, torch.Tensor]:
        logits = torch.tensor([values[:3], [*values[3:5], padding]], requires_grad=True)
        loss = LOSSES[name](logits, torch.tensor([targets[:3], [*targets[3:5], abs(padding)]]), PADDED)
        loss.backward() if loss.requires_grad else None
        return loss.item(), torch.zeros(2, 3) if logits.grad is None else logits.grad

    (loss, gradient), (other_loss, other_gradient) = loss_and_gradient(0.0), loss_and_gradient(cell)
    assert math.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert gradient[1, 2] == 0
    assert other_loss == pytest.approx(loss, rel=1e-5, abs=1e-6)
    assert torch.allclose(other_gradient, gradient, atol=1e-5)


# These look at the place of a document: the first is the positive, or equal labels stand in their order.
_BY_PLACE = {"margin_mse", "list_mle", "p_list_mle", "cross_entropy", "multiple_negatives"}


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - _BY_PLACE))
@settings(max_examples=30)
@given(order=st.permutations(range(4)), seed=st.integers(0, 99))
def test_the_order_of_documents_changes_nothing(name: str, order: list[int], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(1, 4, generator=draw), torch.randint(0, 3, (1, 4), generator=draw).float()
    shuffled = LOSSES[name](logits[:, order], targets[:, order], torch.ones(1, 4))
    assert shuffled.item() == pytest.approx(LOSSES[name](logits, targets, torch.ones(1, 4)).item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"mse", "margin_mse"}))
def test_a_step_against_the_gradient_lifts_the_positive(name: str) -> None:
    objective: Objective = LOSSES[name]
    logits = torch.zeros(1, 3, requires_grad=True)
    objective(logits, rows([1.0, 0.0, 0.0]), torch.ones(1, 3)).backward()
    assert logits.grad[0, 0] < logits.grad[0, 1:].min()


def test_a_group_without_a_positive_gives_no_nan() -> None:
    for name, objective in LOSSES.items():
        logits = torch.zeros(1, 3, requires_grad=True)
        loss = objective(logits, torch.zeros(1, 3), torch.ones(1, 3))
        assert torch.isfinite(loss), name
        if loss.requires_grad:
            loss.backward()
            assert torch.isfinite(logits.grad).all(), name


EVERY = {**LOSSES, **{f"distillation: {name}": found for name, found in DISTILLATIONS.items()}}


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=40)
@given(
    values=st.lists(numbers, min_size=4, max_size=4),
    targets=st.lists(labels, min_size=4, max_size=4),
    width=st.integers(1, 3),
)
@example(values=[-5e4, -6e4, -5.5e4, -7e4], targets=[1.0, 0.0, 2.0, 0.0], width=1)
def test_more_padding_changes_neither_the_loss_nor_a_gradient(
    name: str, values: list[float], targets: list[float], width: int
) -> None:
    def loss_and_gradient(extra: int) -> tuple[float, torch.Tensor]:
        def wider(row: list[float]) -> torch.Tensor:
            return torch.tensor([[*row, *([0.0] * extra)]])

        logits = wider(values).requires_grad_()
        loss = EVERY[name](logits, wider(targets), wider([1.0] * 4))
        loss.backward() if loss.requires_grad else None
        return loss.item(), torch.zeros(1, 4) if logits.grad is None else logits.grad[:, :4]

    (loss, gradient), (wider_loss, wider_gradient) = loss_and_gradient(0), loss_and_gradient(width)
    assert math.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert wider_loss == pytest.approx(loss, rel=1e-5, abs=1e-6)
    assert torch.allclose(wider_gradient, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("logit", "target"), [(0.5, 0.0), (3.0, 1.0), (-1e12, 2.0)])
def test_a_group_of_one_document_gives_no_nan(name: str, logit: float, target: float) -> None:
    logits = torch.tensor([[logit]], requires_grad=True)
    loss = EVERY[name](logits, torch.tensor([[target]]), torch.ones(1, 1))
    loss.backward() if loss.requires_grad else None
    assert math.isfinite(loss.item())
    assert logits.grad is None or torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp", "lambda_rank"])
def test_labels_whose_power_of_two_overflows_are_weighed_by_their_distance(name: str) -> None:
    logits = rows([0.3, -0.2, 0.9])
    high, higher = (LOSSES[name](logits, rows([top, top - 1, 0.0]), torch.ones(1, 3)).item() for top in (30.0, 300.0))
    assert higher == pytest.approx(high, rel=1e-5)


def test_cross_entropy_leaves_out_a_group_without_a_relevant_document() -> None:
    logits, labels = rows([1.0, 0.0, -1.0], [0.4, 0.2, 0.0]), rows([1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    alone = LOSSES["cross_entropy"](logits[:1], labels[:1], torch.ones(1, 3)).item()
    assert LOSSES["cross_entropy"](logits, labels, torch.ones(2, 3)).item() == pytest.approx(alone)


def test_group_softmax_with_exactly_one_positive_is_cross_entropy() -> None:
    draw = torch.Generator().manual_seed(3)
    logits, labels = torch.randn(4, 5, generator=draw), torch.eye(4, 5) * 2
    mask = torch.ones(4, 5)
    mask[:, 4] = 0
    both = [LOSSES[name](logits, labels, mask).item() for name in ("group_softmax", "cross_entropy")]
    assert both[0] == pytest.approx(both[1])


GRADED = ["group_softmax", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp", "lambda_rank", "ranknet", "list_net", "list_mle"]


@pytest.mark.parametrize("name", [*GRADED, "p_list_mle", "adr_mse"])
def test_a_higher_grade_is_learned_above_a_lower_one(name: str) -> None:
    objective = LOSSES[name]
    logits = torch.zeros(1, 5, requires_grad=True)
    labels, mask = torch.tensor([[3.0, 1.0, 0.0, 0.0, 0.0]]), torch.ones(1, 5)
    optimizer = torch.optim.SGD([logits], lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        objective(logits, labels, mask).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    best, second, *others = logits[0].tolist()
    assert best > second + 0.5
    assert second > max(others) + 0.5


# These average over all pairs or documents of a batch, so that parts of a step weigh them otherwise.
_BY_BATCH = {
    "binary_cross_entropy", "mse", "margin_mse", "ranknet", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2pp", "lambda_rank",
    "adr_mse",
}  # fmt: skip


def gradient(name: str, found: list[tuple[list[float], list[float]]]) -> list[list[float]]:
    """A loss's gradient with respect to the logits of each group."""
    logits, targets, mask = matrices(found)
    EVERY[name](logits.requires_grad_(), targets, mask).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return [row[: len(values)] for row, (values, _) in zip(logits.grad.tolist(), found, strict=True)]


def by_parts(name: str, found: list[tuple[list[float], list[float]]]) -> bool:
    """Whether the gradient of a step is the mean of those of its halves."""
    halves = [row for half in (found[:2], found[2:]) for row in gradient(name, half)]
    return all(
        whole == pytest.approx([value / 2 for value in half], rel=1e-4, abs=1e-6)
        for whole, half in zip(gradient(name, found), halves, strict=True)
    )


@pytest.mark.parametrize("name", EVERY)
def test_accumulation_changes_the_gradients_of_the_losses_that_the_docs_name_alone(name: str) -> None:
    same = [by_parts(name, groups(seed, graded)) for seed in range(8) for graded in (False, True)]
    plain = name.removeprefix("distillation: ")
    assert all(same) == (plain not in _BY_BATCH)


def test_the_docs_name_the_losses_whose_gradients_accumulation_changes() -> None:
    text = (DOCS.parent / "training.md").read_text()
    told = text.partition("- `accumulation: 4`")[2].partition("\n- `")[0]
    assert {name for name in re.findall(r"`(\w+)`", told) if name in LOSSES} == _BY_BATCH


class Linear(torch.nn.Module):
    """A model whose logits depend on one weight per token."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights = torch.nn.Embedding(20, 1)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": self.weights(features["input_ids"]).sin().sum(dim=1)}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_mini_batch_changes_no_gradient(name: str, seed: int) -> None:
    found = groups(seed, graded=True)
    logits, targets, mask = matrices(found)
    cells = mask.flatten().nonzero().flatten()
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(cells), generator=draw)
    tokens = torch.randint(0, 20, (len(cells), 3), generator=draw)
    features = [[{"input_ids": part} for part in tokens.split(4)], cells[order], mask, logits]
    gradients = []
    for mini_batch in (None, 128):
        model = Linear()
        config = TrainingConfig(loss=name, distillation_weight=1.0, mini_batch=mini_batch)
        GroupLoss(model, config)(features, targets).backward()
        assert model.weights.weight.grad is not None
        gradients.append(model.weights.weight.grad)
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-7)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"binary_cross_entropy", "mse", "multiple_negatives"}))
@settings(max_examples=20)
@given(seed=st.integers(0, 99), graded=st.booleans(), shift=st.floats(-20, 20, width=32))
def test_one_constant_added_to_a_group_changes_nothing(name: str, seed: int, graded: bool, shift: float) -> None:
    logits, targets, mask = matrices(groups(seed, graded))
    moved = logits + shift * torch.tensor([[1.0], [0.0], [-1.0], [0.5]])
    assert LOSSES[name](moved, targets, mask).item() == pytest.approx(
        LOSSES[name](logits, targets, mask).item(), rel=1e-4, abs=1e-5
    )
