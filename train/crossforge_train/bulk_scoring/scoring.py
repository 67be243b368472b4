"""Scores a table of pairs on an engine.

A killed call loses the parts that were being worked on. A part has its own number, and so have its rows, so that no row
stands twice in the output, even if it was scored twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from crossforge import __version__
from crossforge.errors import InputError
from crossforge.files import remove, require_no_uri, sha256
from crossforge.reranker import Reranker
from crossforge_train.bulk_scoring.pairs import Pair, look_through
from crossforge_train.bulk_scoring.parts import MadeFrom, Parts, require_made_from
from crossforge_train.compute.base import Engine
from crossforge_train.models.base_model import model_hash
from crossforge_train.pair_scoring import Pairs, ScorePairs, for_workers
from crossforge_train.reporting import Reporter
from crossforge_train.run_lock import held

_SUFFIX = ".parquet"
# What they find differs by rounding; scores of others are not mixed with theirs.
_ALIKE = ("onnx", "openvino", "torch")

OpenEngine = Callable[[], AbstractContextManager[Engine]]


@dataclass(frozen=True)
class BulkScores:
    """Where the scores are, and how many.

    Attributes:
        path: Parquet with a row for each pair, in the order of the pairs: `row`, counted from 0, the other columns,
            `score` (the logit), `probability` and `truncated`.
        pairs: how many rows it has.
        scored: how many of them were scored now; the others were there from an earlier call.
    """

    path: Path
    pairs: int
    scored: int


def score_table(reranker: Reranker, pairs: Path, out: Path, open_engine: OpenEngine, reporter: Reporter) -> BulkScores:
    """Score all pairs of a table; what an interrupted call has scored is not scored again.

    Args:
        reranker: loaded from a folder that the engine's workers see.
        pairs: JSONL, CSV, TSV or Parquet with the columns `query`, `text` and perhaps `title`.
        out: the Parquet file to write.
        open_engine: opens where it is done, once it is known that there is something to do.
        reporter: shows progress.

    Raises:
        InputError: a row cannot be scored, or the output holds something else.
    """
    require_no_uri(out, "a table of scores")
    if out.suffix != _SUFFIX:
        raise InputError(f"{out}: scores are written as Parquet; let the name end in {_SUFFIX}")
    table = look_through(pairs, reranker.tokenizer)
    made_from = _made_from(reranker, pairs)
    if out.exists():
        require_made_from(out, made_from)
        return BulkScores(out, table.rows, 0)
    parts = Parts(out.with_name(f"{out.name}.parts"), table)
    with held(parts.folder / "lock", out):
        parts.open(made_from)
        missing = parts.missing()
        scored = sum(map(parts.size, missing))
        with open_engine() as engine, reporter.bar("scoring pairs", scored) as advance:
            for count in _score(parts, missing, reranker, engine):
                advance(count)
        parts.join(out, made_from)
    remove(parts.folder)
    return BulkScores(out, table.rows, scored)


def _score(parts: Parts, numbers: set[int], reranker: Reranker, engine: Engine) -> Iterator[int]:
    """Score and write parts; yields how many pairs each has."""
    waiting: deque[tuple[int, list[Pair]]] = deque()

    def batches() -> Iterator[Pairs]:
        for number, pairs in parts.pairs(numbers):
            waiting.append((number, pairs))
            yield [(pair.query, pair.text) for pair in pairs]

    for scored in engine.map(ScorePairs(for_workers(reranker, engine.gpus)), batches()):
        number, pairs = waiting.popleft()
        parts.write(number, pairs, scored, reranker.manifest.calibrator.probabilities(scored.logits))
        yield len(pairs)


def _made_from(reranker: Reranker, pairs: Path) -> MadeFrom:
    if reranker.folder is None:
        raise TypeError("a reranker built by from_parts has no folder that workers could load")
    backend = reranker.backend_name
    named = {} if backend in _ALIKE else {"backend": backend}
    return {"pairs": sha256(pairs), "reranker": model_hash(reranker.folder), "crossforge": __version__, **named}
