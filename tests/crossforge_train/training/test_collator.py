"""`GroupCollator` and `GroupLoss`: micro-batches are a matter of speed, not of the result."""

from pathlib import Path

import pytest
import torch

from crossforge.batching import CPU_TOKEN_BUDGET
from crossforge.tokenization import PairTokenizer
from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.training import collator
from crossforge_train.training.collator import GroupCollator, batch_collator

ROWS = [
    {"query": "bread dough", "documents": ["oven flour", "boat sail wind harbour anchor " * 3, "a"],
     "label": [2, 0, 0], "teacher": [0.9, 0.2, 0.1]},
    {"query": "the old castle", "documents": ["rook and knight check", "the seed"],
     "label": [1, 0], "teacher": [0.5, 0.4]},
    {"query": "melody", "documents": ["guitar " * 100, "song", "bass", "tempo of the song"],
     "label": [0, 1, 1, 0], "teacher": [0.1, 0.6, 0.7, 0.2]},
]  # fmt: skip
MAX_LENGTH = 32


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> PairTokenizer:
    return PairTokenizer(tiny_encoder / "tokenizer.json", MAX_LENGTH)


@pytest.fixture(scope="module")
def cross_encoder(tiny_encoder: Path) -> torch.nn.Module:
    from sentence_transformers import CrossEncoder

    torch.manual_seed(1)
    model = CrossEncoder(
        str(tiny_encoder), num_labels=1, max_length=MAX_LENGTH, activation_fn=torch.nn.Identity(), device="cpu"
    )
    return model.eval()


def loss_and_gradients(model: torch.nn.Module, batch: dict, objective: str, distillation: float) -> tuple:
    model.zero_grad()
    loss = GroupLoss(model, TrainingConfig(loss=objective, distillation_weight=distillation))(
        [batch["micro_batches"], batch["cells"], batch["mask"], batch["teacher"]], batch["label"]
    )
    loss.backward()
    return loss.item(), {name: found.grad.clone() for name, found in model.named_parameters() if found.grad is not None}


@pytest.mark.parametrize(("objective", "distillation"), [("group_softmax", 1.0), ("binary_cross_entropy", 0.0)])
def test_micro_batches_give_the_loss_and_the_gradients_of_one_padded_batch(
    cross_encoder: torch.nn.Module,
    tokenizer: PairTokenizer,
    objective: str,
    distillation: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = GroupCollator(tokenizer, token_budget=40)(ROWS)
    monkeypatch.setattr(collator, "token_budget_batches", lambda lengths, budget: [list(range(len(lengths)))])
    big = GroupCollator(tokenizer, token_budget=10**6)(ROWS)
    assert len(small["micro_batches"]) > 3
    assert len(big["micro_batches"]) == 1
    small_loss, small_gradients = loss_and_gradients(cross_encoder, small, objective, distillation)
    big_loss, big_gradients = loss_and_gradients(cross_encoder, big, objective, distillation)
    assert small_loss == pytest.approx(big_loss, abs=1e-5)
    assert small_gradients.keys() == big_gradients.keys()
    assert any(gradient.abs().max() > 1e-3 for gradient in small_gradients.values())
    for name, gradient in small_gradients.items():
        assert torch.allclose(gradient, big_gradients[name], atol=1e-5), name


def test_mini_batches_give_the_same_gradients_and_hold_hardly_anything(
    cross_encoder: torch.nn.Module, tokenizer: PairTokenizer
) -> None:
    batch = GroupCollator(tokenizer, token_budget=40)(ROWS)
    dropouts = [module for module in cross_encoder.modules() if isinstance(module, torch.nn.Dropout)]
    found = {}
    try:
        cross_encoder.train()
        for module in dropouts:
            module.p = 0.5
        for mini_batch in (None, 128):
            torch.manual_seed(3)  # the second forward pass has to drop what the first one dropped
            loss = GroupLoss(cross_encoder, TrainingConfig(distillation_weight=1.0, mini_batch=mini_batch))
            cross_encoder.zero_grad()
            held: list[int] = []

            def keep(tensor: torch.Tensor, held: list[int] = held) -> torch.Tensor:
                held.append(tensor.nbytes)
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                value = loss([batch["micro_batches"], batch["cells"], batch["mask"], batch["teacher"]], batch["label"])
            value.backward()
            gradients = {
                name: each.grad.clone() for name, each in cross_encoder.named_parameters() if each.grad is not None
            }
            found[mini_batch] = value.item(), gradients, sum(held)
    finally:
        cross_encoder.eval()
    (value, gradients, held_all), (bounded, bounded_gradients, held_few) = found[None], found[128]
    assert bounded == value
    assert gradients.keys() == bounded_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, bounded_gradients[name], atol=1e-6), name
    assert held_few < held_all / 50


def test_mini_batch_is_the_budget_of_a_micro_batch(tokenizer: PairTokenizer) -> None:
    assert batch_collator(tokenizer, TrainingConfig(mini_batch=300), cpu=True).token_budget == 300
    assert batch_collator(tokenizer, TrainingConfig(), cpu=True).token_budget == CPU_TOKEN_BUDGET


def test_each_cell_holds_its_own_pair(cross_encoder: torch.nn.Module, tokenizer: PairTokenizer) -> None:
    batch = GroupCollator(tokenizer, token_budget=40)(ROWS)
    with torch.no_grad():
        logits = torch.cat([cross_encoder(dict(part))["scores"].view(-1) for part in batch["micro_batches"]])
        matrix = torch.zeros(12).index_copy(0, batch["cells"], logits).view(3, 4)
        for row, group in enumerate(ROWS):
            for column, document in enumerate(group["documents"]):
                alone = tokenizer.pad(tokenizer.encode([(group["query"], document)]))
                score = cross_encoder({name: torch.from_numpy(array) for name, array in alone.items()})["scores"]
                assert matrix[row, column].item() == pytest.approx(score.item(), abs=1e-5)


def test_rows_of_different_width_are_padded_and_masked(tokenizer: PairTokenizer) -> None:
    batch = GroupCollator(tokenizer, token_budget=100)(ROWS)
    assert batch["mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["label"].tolist() == [[2, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0]]
    assert batch["teacher"][1].tolist() == pytest.approx([0.5, 0.4, 0, 0])
    assert sorted(batch["cells"].tolist()) == [0, 1, 2, 4, 5, 8, 9, 10, 11]


def test_rows_without_teacher_scores_are_collated_too(tokenizer: PairTokenizer) -> None:
    rows = [{key: value for key, value in row.items() if key != "teacher"} for row in ROWS]
    assert GroupCollator(tokenizer, 100)(rows)["teacher"].abs().sum() == 0


def test_no_micro_batch_exceeds_the_token_budget_or_the_models_length(tokenizer: PairTokenizer) -> None:
    batch = GroupCollator(tokenizer, token_budget=64)(ROWS)
    sizes = [part["input_ids"].shape for part in batch["micro_batches"]]
    assert all(rows * length <= 64 for rows, length in sizes)
    assert max(length for _, length in sizes) == MAX_LENGTH


def test_a_query_is_never_cut(tokenizer: PairTokenizer) -> None:
    query = "how old is the bread and the dough in the oven"
    batch = GroupCollator(tokenizer, 1000)([{"query": query, "documents": ["guitar " * 200], "label": [1]}])
    part = batch["micro_batches"][0]
    first_segment = int((part["token_type_ids"] == 0).sum())
    assert part["input_ids"].shape == (1, MAX_LENGTH)
    assert first_segment == len(tokenizer.spans(query)) + 2  # [CLS] and [SEP]


def test_in_batch_negatives_are_documents_of_other_queries_that_are_not_known_to_be_relevant(
    tokenizer: PairTokenizer,
) -> None:
    ids = [["a", "b", "c"], ["d", "e"], ["f", "g", "h", "i"], ["j"]]
    same = {**ROWS[0], "documents": ["another oven"], "label": [1], "teacher": [0.8]}
    known = [["a", "j", "g"], ["d"], ["g", "h"], ["a", "j", "g"]]
    rows = [
        {**row, "doc_ids": found, "positives": relevant}
        for row, found, relevant in zip([*ROWS, same], ids, known, strict=True)
    ]
    batch = GroupCollator(tokenizer, 1000, in_batch_negatives=100)(rows)
    assert batch["mask"].sum(dim=1).tolist() == [3 + 5, 2 + 8, 4 + 6, 1 + 5]  # without g, and j stands in a group twice
    assert batch["label"][0].tolist()[:8] == [2, 0, 0, 0, 0, 0, 0, 0]
    assert batch["teacher"][0].tolist()[3:8] == pytest.approx([0.1] * 5)
    few = GroupCollator(tokenizer, 1000, in_batch_negatives=2)
    assert few(rows)["mask"].sum(dim=1).tolist() == [5, 4, 6, 3]
    assert torch.equal(few(rows)["cells"], few(rows)["cells"])


def test_a_batch_of_one_query_has_no_in_batch_negatives(tokenizer: PairTokenizer) -> None:
    row = {**ROWS[0], "doc_ids": ["a", "b", "c"], "positives": ["a"]}
    assert GroupCollator(tokenizer, 1000, in_batch_negatives=3)([row])["mask"].sum() == 3
