"""Trains a bi-encoder on judged queries: a relevant document against those of the other queries in the batch.

Every text is read once a step and serves all queries of its batch, so that a pair costs a fraction of what the groups
of a cross-encoder cost. What the encoder learns there, the first stage, the teacher and the starting model have.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossforge.batching import blocks
from crossforge.embedding.encoder import Role
from crossforge.files import written_atomically
from crossforge.prompts import Prompts
from crossforge_train.encoders.export import prompts_of
from crossforge_train.libraries import quieten
from crossforge_train.mixing import mixed
from crossforge_train.models.attention import training_attention
from crossforge_train.precision import autocast, use_bf16
from crossforge_train.reporting import Advance

if TYPE_CHECKING:
    from torch import Tensor


def tuned_name(base_model: str) -> str:
    """What reports call a base model that was tuned."""
    return f"{base_model}, tuned"


@dataclass(frozen=True)
class Rules:
    """How an encoder is tuned.

    Attributes:
        batch: pairs of a step; the other pairs' documents are a query's negatives.
        rate: the highest learning rate, reached after the warm-up; it falls to 0.
        scale: logit units per unit of cosine: that with which sentence-transformers trains bi-encoders.
        tokens: most tokens read of a text.
        pairs: about as many are read, in whole epochs; of more queries, every one once.
        most_epochs: most epochs.
        minutes: most minutes.
        start_share: how much of the weights that it started with is mixed in again, so that it forgets less of what
            the training queries do not show.
    """

    batch: int = 64
    rate: float = 5e-5
    scale: float = 20.0
    tokens: int = 96
    pairs: int = 3000
    most_epochs: int = 4
    minutes: float = 10
    start_share: float = 0.5


RULES = Rules()
_READ_TOGETHER = 16  # documents of similar length, so that little is padded
_WARM_UP = 0.1


@dataclass(frozen=True)
class TuningSet:
    """What a bi-encoder is trained on.

    Attributes:
        queries: texts of the queries.
        positives: ids of each query's relevant documents.
        text: the text of a document.
        spared: position of a query -> ids of other documents that are no negatives of it.
    """

    queries: Sequence[str]
    positives: Sequence[Sequence[str]]
    text: Callable[[str], str]
    spared: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def no_negatives(self, position: int) -> set[str]:
        """Ids of the documents that a query is not to be moved away from: the relevant ones and those spared."""
        return {*self.positives[position], *self.spared.get(position, ())}


@dataclass(frozen=True)
class PairsRead:
    """How many pairs a tuning read, and how many it would have read with more time."""

    read: int
    planned: int

    def __str__(self) -> str:
        if self.read == self.planned:
            return f"{self.read:,} pairs"
        return f"{self.read:,} of {self.planned:,} pairs, as many as {RULES.minutes:g} minutes allow"


def tune_encoder(
    bi_encoder: Path,
    target: Path,
    examples: TuningSet,
    name: str,
    seed: int,
    prompts: Prompts | None = None,
    advance: Advance = lambda *_: None,
) -> PairsRead:
    """Train a copy of a bi-encoder for at most `RULES.minutes`, and save it.

    The loss is the softmax of a relevant document's cosine over those of all documents of the batch, without the
    query's other relevant ones and those spared. Dropout is off.

    Args:
        bi_encoder: folder of the model.
        target: folder to write, completely or not at all.
        examples: what it is trained on.
        name: name of the model, for messages.
        seed: seed of the draws.
        prompts: what it puts before queries and documents, and is saved with; None: its own.
        advance: called after each step with the number of its pairs, the loss, and the number of pairs planned.

    Raises:
        NoExportError: the model leaves out its prompt when it pools.

    Source: the loss is that of M. Henderson et al., "Efficient natural language response suggestion for Smart Reply",
    2017; mixing the weights that of M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    quieten()
    torch.manual_seed(seed)
    attention = {"attn_implementation": training_attention()}
    model = SentenceTransformer(str(bi_encoder), local_files_only=True, model_kwargs=attention)
    model.float()  # steps are too small for half precision, in which it may be saved
    reads, prompts = model.max_seq_length, prompts_of(model, name, prompts)
    model.max_seq_length = min(int(reads or 512), RULES.tokens)
    model.eval()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    read = _Reader(model, prompts, use_bf16("auto"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RULES.rate, weight_decay=0.01)
    batches = list(_batches(len(examples.queries), random.Random(seed)))  # noqa: S311 - a seeded draw, not a secret
    started, read_pairs, planned = time.monotonic(), 0, sum(map(len, batches))
    with torch.enable_grad():
        for step, batch in enumerate(batches):
            passed = (time.monotonic() - started) / (60 * RULES.minutes)
            done = max(step / len(batches), passed)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = RULES.rate * min((step + 1) / (_WARM_UP * len(batches) + 1), 1 - done)
            loss = _loss(read, examples, batch, seed + step)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            read_pairs += len(batch)
            advance(len(batch), f"loss {loss.item():.2f}", planned)
    model.load_state_dict(mixed(model.state_dict(), start, RULES.start_share))
    model.max_seq_length = reads
    model.prompts.update(asdict(prompts))
    with written_atomically(target) as beside:
        model.save(str(beside), create_model_card=False)
    return PairsRead(read_pairs, planned)


@dataclass(frozen=True)
class _Reader:
    """Embeds texts so that gradients flow."""

    model: Any
    prompts: Prompts
    bf16: bool

    def __call__(self, texts: Sequence[str], role: Role) -> Tensor:
        import torch

        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        prompt = self.prompts.query if role == "query" else self.prompts.document
        parts = [self._read([prompt + texts[place] for place in some]) for some in blocks(order, _READ_TOGETHER)]
        places = torch.tensor(order).argsort().to(parts[0].device)
        return torch.nn.functional.normalize(torch.cat(parts).float(), dim=-1)[places]

    def _read(self, texts: list[str]) -> Tensor:
        model = self.model
        tokens = model.tokenizer(
            texts, padding=True, truncation=True, max_length=model.max_seq_length, return_tensors="pt"
        )
        with autocast(model.device.type, self.bf16):
            vectors: Tensor = model(dict(tokens.to(model.device)))["sentence_embedding"]
        return vectors


def _loss(read: _Reader, examples: TuningSet, batch: Sequence[int], seed: int) -> Tensor:
    import torch

    draw = random.Random(seed)  # noqa: S311 - a seeded draw, not a secret
    wanted = [draw.choice(examples.positives[number]) for number in batch]
    cosines = (
        read([examples.queries[number] for number in batch], "query")
        @ read([examples.text(doc_id) for doc_id in wanted], "document").T
    )
    others = [
        [doc_id in found and column != row for column, doc_id in enumerate(wanted)]
        for row, found in enumerate(map(examples.no_negatives, batch))
    ]
    logits = (RULES.scale * cosines).masked_fill(torch.tensor(others, device=cosines.device), -torch.inf)
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(batch), device=logits.device))


def _batches(queries: int, draw: random.Random) -> Iterator[list[int]]:
    """Positions of the queries of each step; in an epoch every query comes up once, but for what fills no batch."""
    size = min(RULES.batch, queries)
    for _ in range(max(1, min(RULES.most_epochs, round(RULES.pairs / queries)))):
        order = draw.sample(range(queries), queries)
        yield from (order[start : start + size] for start in range(0, queries - size + 1, size))
