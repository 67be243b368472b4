"""Values that training picks by itself, and the range test that checks the learning rate."""

import math
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.files import read_json
from crossforge.loading import token_limit
from crossforge.long_documents import BEST_WINDOW, FIRST_WINDOW
from crossforge_train import precision
from crossforge_train.collections.beir import read_beir
from crossforge_train.config.lora import LoraConfig
from crossforge_train.config.training import TrainingConfig
from crossforge_train.losses.group_loss import GroupLoss
from crossforge_train.mining.groups import Group
from crossforge_train.models.base_model import parameter_count
from crossforge_train.precision import faster_in_bf16
from crossforge_train.reporting import SilentReporter
from crossforge_train.training.collator import GroupCollator
from crossforge_train.training.model import load_model
from crossforge_train.training.picks import (
    FORMERLY,
    Head,
    Picker,
    learning_rate_by_size,
    pair_lengths,
    pick_distillation_weight,
    pick_epochs,
    pick_head_learning_rate,
    pick_learning_rate,
    pick_lora,
    pick_max_length,
    pick_merge,
    pick_precision,
)
from crossforge_train.training.range_test import (
    MULTIPLES,
    left_as_it_was,
    loss_of_equal_scores,
    losses_by_rate,
    safe_multiple,
)


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [(4_000_000, 2e-4), (20_000_000, 2e-4), (22_700_000, 1.7e-4), (110_000_000, 1.6e-5), (150_000_000, 1e-5),
     (600_000_000, 1e-5)],
)  # fmt: skip
def test_the_learning_rate_falls_with_the_size_of_the_model(parameters: int, rate: float) -> None:
    assert learning_rate_by_size(parameters, head="fresh") == pytest.approx(rate, rel=0.05)


@given(st.integers(1, 10**10), st.integers(1, 10**10), st.sampled_from(["fresh", "trained", "grafted"]))
def test_a_larger_model_never_gets_a_higher_rate(one: int, other: int, head: Head) -> None:
    small, large = (learning_rate_by_size(size, head=head) for size in sorted((one, other)))
    assert 1e-5 <= large <= small <= 2e-4


def test_a_graft_learns_slowly() -> None:
    assert learning_rate_by_size(22_700_000, head="grafted") == 5e-5
    assert learning_rate_by_size(600_000_000, head="grafted") == 1e-5
    assert learning_rate_by_size(22_700_000, head="grafted", adapters=True) == pytest.approx(5e-4)


def test_a_fresh_head_learns_faster_and_a_trained_one_as_fast_as_the_body() -> None:
    assert pick_head_learning_rate(1e-4, "fresh")[0] == 1e-3
    assert pick_head_learning_rate(1e-3, "fresh")[0] == 2e-3
    assert pick_head_learning_rate(1e-4, "trained")[0] == 1e-4
    assert pick_head_learning_rate(1e-4, "grafted")[0] == 1e-4


def test_a_rate_that_fell_apart_is_lowered_and_never_raised() -> None:
    assert pick_learning_rate(1.6e-4, 1.0)[0] == 1.6e-4
    assert pick_learning_rate(1.6e-4, 0.25)[0] == 4e-5


@pytest.mark.parametrize(
    ("groups", "epochs"), [(1, 4), (800, 4), (1000, 3), (1500, 2), (2001, 1), (3000, 1), (10**6, 1)]
)
def test_small_sets_get_several_epochs_and_large_ones_one(groups: int, epochs: int) -> None:
    assert pick_epochs(groups, math.inf)[0] == epochs
    assert pick_epochs(groups, groups * epochs)[0] == epochs


def test_where_time_is_short_only_a_part_of_the_groups_is_read() -> None:
    epochs, why = pick_epochs(10_000, 3000)
    assert epochs == 0.3
    assert why == "instead of 1: training.minutes are enough for 3,000 groups, and there are 10,000"
    assert pick_epochs(1000, 1500)[0] == 1.5  # in place of three


@given(st.lists(st.integers(4, 2000), min_size=1, max_size=200), st.integers(16, 8192))
def test_max_length_is_a_multiple_of_16_within_every_limit(lengths: list[int], limit: int) -> None:
    length = pick_max_length(lengths, limit)[0]
    assert length % 16 == 0
    assert 16 <= length <= min(limit, 256)
    assert length >= min(np.quantile(lengths, 0.95), limit - 15, 256)
    assert length < np.quantile(lengths, 0.95) + 16 or length == 16


def test_max_length_says_how_many_documents_are_read_in_windows() -> None:
    length, why = pick_max_length([100] * 50 + [400] * 50, 512)
    assert length == 256
    assert "50% of the documents are longer and are read in windows" in why


def test_pairs_are_counted_as_the_base_tokenizes_them(toy_collection: Path, tiny_encoder: Path) -> None:
    collection = read_beir(toy_collection)
    query_id, doc_id = next(iter(collection.queries)), next(iter(collection.corpus))
    limit = token_limit(tiny_encoder)
    assert limit == 64
    group = Group(query_id, [doc_id], [1], [1])
    (found,) = pair_lengths([group], collection, tiny_encoder, limit)
    query, text = collection.queries[query_id], collection.corpus[doc_id].full_text
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_encoder), model_max_length=10_000)
    assert found == len(tokenizer(query, text)["input_ids"])
    assert len(pair_lengths([group] * 2000, collection, tiny_encoder, limit)) == 500


GIVEN = {"learning_rate": 1e-4, "head_learning_rate": 1e-3, "epochs": 1, "max_length": 48, "distillation_weight": 0,
         "merge": (), "precision": "fp32", "lora": None, "evaluations": 4, "dev_queries": 100}  # fmt: skip


def test_large_models_are_adapted(tiny_encoder: Path) -> None:
    assert pick_lora(300_000_000)[0] is None
    assert pick_lora(110_000) == (None, "because a model of 0.11 million parameters is small enough to train in full")
    adapters, why = pick_lora(568_000_000)
    assert adapters == {"rank": 16, "alpha": 32.0, "dropout": 0.0}
    assert "568 million parameters" in why
    from transformers import AutoModel

    assert parameter_count(tiny_encoder) == AutoModel.from_pretrained(tiny_encoder).num_parameters()


SHARES = st.floats(0.01, 0.99)
RATES = st.floats(1e-7, 1e-1)
# What the rules may answer, in the order in which they are asked.
ANSWERS: dict[str, st.SearchStrategy[Any]] = {
    "lora": st.none() | st.just(LoraConfig().model_dump()),
    "max_length": st.integers(16, 256),
    "precision": st.sampled_from(["fp32", "bf16"]),
    "long_documents": st.sampled_from([BEST_WINDOW, FIRST_WINDOW]),
    "merge": SHARES | st.lists(SHARES, max_size=2),
    "distillation_weight": st.sampled_from([0.0, 1.0]),
    "evaluations": st.integers(1, 9),
    "dev_queries": st.integers(30, 100),
    "epochs": st.floats(0.01, 4),
    "learning_rate": RATES,
    "head_learning_rate": RATES,
}


class TestPicker:
    def picker(self, folder: Path, *, begun: bool = False, **values: Any) -> Picker:
        training = TrainingConfig(**{**GIVEN, **values})
        return Picker(folder / "picked.json", training, SilentReporter(), begun=begun)

    def test_a_resumed_run_of_a_version_that_picked_no_adapters_goes_on_without(self, tmp_path: Path) -> None:
        (tmp_path / "picked.json").write_text('{"max_length": 48}')
        assert self.picker(tmp_path, lora="auto").pick("lora", lambda: pytest.fail("not asked for")) is None
        given = self.picker(tmp_path, lora={"rank": 4})
        assert given.training().lora == LoraConfig(rank=4)

    @pytest.mark.parametrize("lora", ["auto", None])
    def test_one_that_was_killed_while_it_prepared_still_picks_what_fits_into_its_time(
        self, tmp_path: Path, lora: str | None
    ) -> None:
        open_ = {"lora": lora, "max_length": "auto", "evaluations": "auto", "dev_queries": "auto"}
        killed = self.picker(tmp_path, **open_)
        killed.pick("lora", lambda: (None, "why"))
        killed.pick("max_length", lambda: (48, "why"))
        resumed = self.picker(tmp_path, **open_)
        assert resumed.pick("evaluations", lambda: (2, "why")) == 2
        assert resumed.pick("dev_queries", lambda: (30, "why")) == 30

    def test_what_no_version_picked_that_began_to_train_is_as_it_was_then(self, tmp_path: Path) -> None:
        resumed = self.picker(tmp_path, begun=True, evaluations="auto", dev_queries="auto")
        assert resumed.pick("evaluations", lambda: pytest.fail("not asked for")) == 4
        assert resumed.pick("dev_queries", lambda: pytest.fail("not asked for")) == 100

    def test_picked_adapters_are_a_section_again(self, tmp_path: Path) -> None:
        picker = self.picker(tmp_path, lora="auto")
        assert picker.pick("lora", lambda: pick_lora(500_000_000)) == LoraConfig().model_dump()
        assert picker.training().lora == LoraConfig()
        assert self.picker(tmp_path, lora="auto").training().lora == LoraConfig(), "kept for a resumed run"

    def test_leaves_what_is_given(self, tmp_path: Path) -> None:
        picker = self.picker(tmp_path, learning_rate=3e-5)
        assert picker.pick("learning_rate", lambda: pytest.fail("not asked for")) == 3e-5
        assert picker.training().learning_rate == 3e-5
        assert not (tmp_path / "picked.json").exists()

    def test_picks_once(self, tmp_path: Path) -> None:
        assert self.picker(tmp_path, epochs="auto").pick("epochs", lambda: (3.0, "why")) == 3
        assert read_json(tmp_path / "picked.json") == {"epochs": 3.0}
        again = self.picker(tmp_path, epochs="auto")
        assert again.pick("epochs", lambda: pytest.fail("picked already")) == 3
        assert again.training().epochs == 3

    @settings(max_examples=50)
    @given(st.data())
    def test_what_was_picked_before_a_kill_stays_whatever_the_rules_say_now(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder, begun = tmp_path_factory.mktemp("picks"), data.draw(st.booleans())
        keys = [key for key in ANSWERS if data.draw(st.booleans())]
        before, now = (data.draw(st.fixed_dictionaries({key: ANSWERS[key] for key in keys})) for _ in range(2))
        written = keys[: data.draw(st.integers(0, len(keys)))]
        killed = self.picker(folder, **dict.fromkeys(keys, "auto"))
        for key in written:
            killed.pick(key, lambda key=key: (before[key], "why"))

        resumed = self.picker(folder, begun=begun, **dict.fromkeys(keys, "auto"))
        formerly = {key: value for key, value in FORMERLY.items() if begun and key in keys}
        expected = {**now, **formerly, **{key: before[key] for key in written}}
        asked: list[str] = []

        def rule(key: str) -> tuple[Any, str]:
            asked.append(key)
            return now[key], "why"

        for key in keys * 2:
            assert resumed.pick(key, partial(rule, key)) == expected[key]
        assert asked == [key for key in keys if key not in {*written, *formerly}]
        assert resumed.training().model_dump() == TrainingConfig(**{**GIVEN, **expected}).model_dump()
        if asked:
            assert read_json(folder / "picked.json") == expected

    def test_a_word_is_picked_like_a_number(self, tmp_path: Path) -> None:
        assert self.picker(tmp_path, precision="auto").pick("precision", lambda: ("bf16", "why")) == "bf16"
        assert self.picker(tmp_path, precision="auto").training().precision == "bf16"

    def test_a_list_is_picked_like_a_number(self, tmp_path: Path) -> None:
        assert self.picker(tmp_path, merge="auto").pick("merge", lambda: ([0.5], "why")) == [0.5]
        assert self.picker(tmp_path, merge="auto").training().merge == (0.5,)

    def test_a_section_that_is_not_filled_in_cannot_be_had(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="max_length"):
            self.picker(tmp_path, max_length="auto").training()


def test_a_start_that_ranked_is_mixed_in() -> None:
    for people in (True, False):
        assert pick_merge("fresh", asked_by_people=people)[0] == []
    assert pick_merge("grafted", asked_by_people=True)[0] == [0.5, 1.0]
    assert pick_merge("trained", asked_by_people=True)[0] == [0.5, 1.0]
    assert pick_merge("grafted", asked_by_people=False)[0] == pick_merge("trained", asked_by_people=False)[0] == 0.5


def test_a_teacher_that_is_there_counts_as_much_as_the_labels() -> None:
    assert pick_distillation_weight(has_teacher=True, mistaken=0.05, start_teaches=True)[0] == 1
    assert pick_distillation_weight(has_teacher=True, mistaken=0.5, start_teaches=False)[0] == 1
    assert pick_distillation_weight(has_teacher=False, mistaken=0.0, start_teaches=True)[0] == 0


def test_the_start_does_not_teach_its_own_mistakes() -> None:
    weight, why = pick_distillation_weight(has_teacher=True, mistaken=0.126, start_teaches=True)
    assert weight == 0
    assert "mistaken in 13% of the groups" in why


@pytest.mark.parametrize(
    ("losses", "multiple"),
    [
        ([1.9, 1.8, 1.7, 1.6, 1.4], 1.0),  # holds to the end
        ([1.9, 1.8, 1.6, 1.2, 1.25], 1.0),
        ([1.9, 1.8, 1.6, 1.2, 1.8], 0.5),  # falls apart at twice the rate
        ([1.9, 1.8, 1.4, 1.8, 5.0], 0.25),
        ([1.9, 1.8, float("nan")], 0.125),
        ([1.9, float("nan")], 0.0625),
        ([0.05, 0.051, 0.052, 0.05, 0.052], 1.0),  # a warm start that has nothing left to learn
        ([0.11, 0.14, 0.16, 0.11, 0.12], 1.0),  # fluctuates more than it has to learn
        ([0.11, 0.14, 0.16, 0.11, 0.8], 0.5),
    ],
)
def test_a_rate_is_safe_if_twice_as_much_held(losses: list[float], multiple: float) -> None:
    assert safe_multiple(losses, 1.9) == multiple


@pytest.fixture
def tested(tiny_encoder: Path) -> tuple[GroupLoss, list[dict[str, Any]]]:
    from crossforge.loading import pair_tokenizer

    torch.manual_seed(0)
    model = load_model(tiny_encoder, TrainingConfig(max_length=48, dropout=0.1))
    collate = GroupCollator(pair_tokenizer(tiny_encoder, 48), 2048)
    row = {
        "query": "bread oven",
        "documents": ["bread dough oven", "boat sail wind"],
        "label": [1, 0],
        "doc_ids": ["a", "b"],
        "positives": ["a"],
    }
    return GroupLoss(model, TrainingConfig()), [collate([row, row]) for _ in range(4)]


def test_the_range_test_leaves_model_and_seeds_as_they_were(tested: tuple[GroupLoss, list[dict[str, Any]]]) -> None:
    loss, batches = tested
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    losses = losses_by_rate(loss, batches, 2e-4, 2e-3, bf16=False)
    assert len(losses) == 1 + len(MULTIPLES)
    assert len(MULTIPLES) * 4 <= 30
    assert losses[-1] < losses[0]  # it did train
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert losses_by_rate(loss, batches, 2e-4, 2e-3, bf16=False) == losses


def test_the_range_test_sees_a_rate_that_is_far_too_high(tested: tuple[GroupLoss, list[dict[str, Any]]]) -> None:
    loss, batches = tested
    of_equal_scores = loss_of_equal_scores(loss, batches)
    assert of_equal_scores == pytest.approx(math.log(2))  # of two documents, one is relevant
    assert safe_multiple(losses_by_rate(loss, batches, 1e30, 1e30, bf16=False), of_equal_scores) < 1
    assert safe_multiple(losses_by_rate(loss, batches, 1e-4, 1e-3, bf16=False), of_equal_scores) == 1


@pytest.mark.parametrize(("times", "expected"), [(1.9, "bf16"), (1.05, "fp32"), (0.2, "fp32")])
def test_bf16_is_picked_where_it_is_clearly_faster(times: float, expected: str) -> None:
    assert pick_precision(times)[0] == expected


def test_the_precision_is_timed_without_a_trace(tested: tuple[GroupLoss, list[dict[str, Any]]]) -> None:
    model = tested[0].model.model
    state = torch.get_rng_state()
    with left_as_it_was(model):
        assert 0.001 < faster_in_bf16(model, 32) < 1000
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_faster_of_the_two_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest round counts: one that other work slowed down does not."""
    seconds = {False: iter([9.0, 2.0, 3.0]), True: iter([1.0, 50.0, 2.0])}
    monkeypatch.setattr(precision, "step_seconds", lambda *_, bf16: next(seconds[bf16]))
    assert faster_in_bf16(None, 32) == 2.0
