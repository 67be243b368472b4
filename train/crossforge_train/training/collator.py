"""`GroupCollator`: turns rows of groups into micro-batches of token tensors, truncated and sorted as in serving."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from crossforge.batching import CPU_TOKEN_BUDGET, GPU_TOKEN_BUDGET, token_budget_batches
from crossforge.tokenization import PairTokenizer
from crossforge_train.config.training import TrainingConfig


@dataclass
class GroupCollator:
    """A data collator for `CrossEncoderTrainer`; its batches are the input of `GroupLoss`.

    Rows have `query` (text), `documents` (texts), `label` (relevance) and, with a teacher, `teacher` (scores).

    Attributes:
        tokenizer: the tokenizer that serving uses; it truncates documents only.
        token_budget: padded tokens per micro-batch. Pairs of similar length share one, which keeps padding low.
        in_batch_negatives: number of other queries' documents added to each group, drawn with a seed that depends on
            the batch. Rows then also need `doc_ids` and `positives` (ids of all known ones, also by another query with
            the same text, and of the query's own document). The added documents have no teacher score and get the
            lowest of their group.
    """

    tokenizer: PairTokenizer
    token_budget: int
    in_batch_negatives: int = 0
    valid_label_columns: list[str] = field(default_factory=lambda: ["label"])

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collate one batch; its values are in the order in which `GroupLoss.forward` unpacks them."""
        if self.in_batch_negatives:
            rows = [self._with_others(row, rows) for row in rows]
        width = max(len(row["documents"]) for row in rows)
        pairs = [(row["query"], document) for row in rows for document in row["documents"]]
        cells = [number * width + column for number, row in enumerate(rows) for column in range(len(row["documents"]))]
        encoded = self.tokenizer.encode(pairs)
        batches = token_budget_batches([len(pair.ids) for pair in encoded], self.token_budget)
        return {
            "micro_batches": [self._tensors([encoded[position] for position in batch]) for batch in batches],
            "cells": torch.tensor([cells[position] for batch in batches for position in batch]),
            "mask": _matrix([[1.0] * len(row["documents"]) for row in rows], width),
            "teacher": _matrix([row.get("teacher") or [] for row in rows], width),
            "label": _matrix([row["label"] for row in rows], width),
        }

    def _with_others(self, row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Add documents of other queries to a row, except known positives and documents it already has."""
        taken = {*row["doc_ids"], *row["positives"]}
        others = {
            doc_id: document
            for other in rows
            if other["query"] != row["query"]
            for doc_id, document in zip(other["doc_ids"], other["documents"], strict=True)
            if doc_id not in taken
        }
        draw = random.Random(f"{row['query']} {' '.join(sorted(others))}")  # noqa: S311 - a draw, not a secret
        chosen = draw.sample(sorted(others), min(self.in_batch_negatives, len(others)))
        teacher = row.get("teacher") or []
        return {
            **row,
            "documents": [*row["documents"], *(others[doc_id] for doc_id in chosen)],
            "label": [*row["label"], *(0 for _ in chosen)],
            "teacher": [*teacher, *(min(teacher) for _ in chosen if teacher)],
        }

    def _tensors(self, encoded: Sequence[Any]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in self.tokenizer.pad(encoded).items()}


def _matrix(rows: Sequence[Sequence[float]], width: int) -> torch.Tensor:
    return torch.tensor([[*row, *([0.0] * (width - len(row)))] for row in rows], dtype=torch.float32)


def batch_collator(tokenizer: PairTokenizer, training: TrainingConfig, *, cpu: bool) -> GroupCollator:
    """The collator of a training run, with micro-batches sized for the device."""
    tokens = training.mini_batch or (CPU_TOKEN_BUDGET if cpu else GPU_TOKEN_BUDGET)
    return GroupCollator(tokenizer, tokens, training.in_batch_negatives)
