"""What marks the texts of a graft stays as it is while all else learns."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from crossforge_train.config.training import TrainingConfig
from crossforge_train.grafting.graft import graft
from crossforge_train.grafting.layout import layout_said
from crossforge_train.grafting.tokens import joined
from crossforge_train.models.export import save_checkpoint
from crossforge_train.training.model import load_model

LENGTH = 48
PAIRS = [("bread oven", "flour and yeast"), ("bread oven", "the boat"), ("a boat", "the boat"), ("a boat", "yeast")]


def trained(model: torch.nn.Module, tokenizer: object) -> None:
    """Take two steps, since what a block reads counts only once it writes something."""
    batch = joined(tokenizer)([q for q, _ in PAIRS], [d for _, d in PAIRS], padding=True, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    for _ in range(2):
        optimizer.zero_grad()
        (model(**batch).logits[:, 0] * torch.tensor([1.0, -1.0, 1.0, -1.0])).sum().backward()
        optimizer.step()


def changed(before: Tensor, after: Tensor) -> set[int]:
    """The rows in which two weights differ."""
    return set((before != after).reshape(len(before), -1).any(1).nonzero()[:, 0].tolist())


def test_what_writes_and_reads_marks_is_not_trained(tiny_encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(graft(tiny_encoder, PAIRS, LENGTH).model, tiny_encoder, tmp_path, LENGTH)
    before = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    after = load_model(tmp_path, TrainingConfig(max_length=LENGTH, dropout=0)).model
    trained(after, AutoTokenizer.from_pretrained(tiny_encoder))
    layout = layout_said(after.config)
    assert layout is not None
    marks, then = set(layout.marks), dict(after.named_parameters())
    for name, value in before.named_parameters():
        if name.endswith("embeddings.weight"):
            assert changed(value.T, then[name].T).isdisjoint(marks)
        elif ".output." in name or name.endswith("LayerNorm.weight"):
            assert changed(value, then[name]).isdisjoint(marks), name
        if name.endswith(("query.weight", "key.weight")):
            ends = {row for head in range(layout.heads) for row in layout.excluding(head)}
            assert changed(value, then[name]).isdisjoint(ends)
        if "layer.0.intermediate" in name:
            assert changed(value, then[name]) == set(range(len(value) - 16))
        if name.endswith("word_embeddings.weight") or ".value." in name:
            assert changed(value, then[name])


def test_other_models_are_left_alone(tiny_encoder: Path) -> None:
    model = load_model(tiny_encoder, TrainingConfig(max_length=LENGTH)).model
    assert layout_said(model.config) is None
    assert not any(value._backward_hooks for value in model.parameters())
