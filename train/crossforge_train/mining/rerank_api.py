"""A rerank API as teacher: its scores are distilled, and candidates that it takes for relevant are no negatives.

Each pair is paid for once: scores are kept in a file that survives kills and serves other runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossforge.batching import blocks
from crossforge.calibration import Calibrator
from crossforge.errors import InputError
from crossforge_train.asking.allowance import CHARACTERS_OF_A_TOKEN, Allowance, AllowanceSpentError
from crossforge_train.asking.answers import AnswerFile, digest, file_for
from crossforge_train.asking.each import PATIENCE, ask_each
from crossforge_train.asking.endpoint import RefusedError
from crossforge_train.asking.rerank_api import RerankApi
from crossforge_train.collections.collection import Collection
from crossforge_train.config.rerank_api import RerankApiConfig
from crossforge_train.config.run import Config
from crossforge_train.mining.groups import Group
from crossforge_train.mining.teacher import SCORE_DIGITS, TeacherKind, above_margin
from crossforge_train.reporting import Reporter

_KEY = "mining.rerank_api"
_LEAST = 1e-6  # what is nearer to 0 or 1 has no digits left that a logit could be made of
_ROUNDING = 1e-3  # by which a probability may seem to lie outside of 0 to 1


class _Request(NamedTuple):
    """A query, and texts by the keys under which their scores are kept."""

    query: str
    texts: Mapping[str, str]


class RerankApiTeacher:
    """A `Teacher` that asks a rerank API.

    Args:
        config: whom to ask, and how much that may cost.
        collection: holds the texts.
        reporter: is told what it will cost before anything is asked, and shows progress.
    """

    def __init__(self, config: RerankApiConfig, collection: Collection, reporter: Reporter) -> None:
        self._config = config
        self._collection = collection
        self._reporter = reporter
        self._answers = AnswerFile(file_for(config.cache, config.scored_by))
        self._allowance = Allowance(config.max_calls)
        self._api = RerankApi(config, _KEY, self._allowance.take)
        self._keys: dict[tuple[str, str], str] = {}
        self._counted: set[str] = set()
        self._refused: set[str] = set()

    def can_read(self, query_id: str) -> bool:
        """Whether the API has refused none of the query's pairs so far."""
        return query_id not in self._refused

    def read(self, groups: Sequence[Group]) -> None:
        """Score the pairs of the groups that nobody has paid for yet.

        Raises:
            InputError: the API cannot be asked, answers something else, refuses everything, or costs more requests
                than it may.
        """
        wanted = self._wanted(groups)
        self._count_known(wanted)
        requests = list(self._requests(wanted))
        if requests:
            self._announce(requests)
            self._ask_all(requests)
        self._check([self._answers[key][0] for key in map(self._keys.__getitem__, wanted) if key in self._answers])
        lacking = {pair[0] for pair in wanted if self._keys[pair] not in self._answers}
        if lacking:
            self._refused |= lacking
            self._reporter.note(f"{_KEY}: {len(lacking):,} training queries are left out: it refuses pairs of theirs")

    def scores(self, group: Group) -> list[float]:
        """Logits, as a cross-encoder teacher's are, unless the scale is unknown; see `Teacher`."""
        given = self._given(group)
        if self._config.scale == "probability":
            clipped = given.clip(_LEAST, 1 - _LEAST)
            given = np.log(clipped / (1 - clipped))
        return [round(float(score), SCORE_DIGITS) for score in given]

    def probabilities(self, group: Group) -> NDArray[np.float64] | None:
        """See `ProbabilisticTeacher`."""
        given = self._given(group)
        known = {"probability": given.clip(0, 1), "logit": Calibrator().probabilities(given)}
        return known.get(self._config.scale)

    def above(self, group: Group, margin: float) -> list[str]:
        """The doubtable negatives whose probability exceeds `margin` times the positive's."""
        return above_margin(group, self.probabilities(group), margin)

    def _given(self, group: Group) -> NDArray[np.float64]:
        return np.array([self._answers[self._keys[group.query_id, doc_id]][0] for doc_id in group.doc_ids])

    def _wanted(self, groups: Sequence[Group]) -> list[tuple[str, str]]:
        """The pairs of the groups, each of which has a key from now on."""
        pairs = list(dict.fromkeys((group.query_id, doc_id) for group in groups for doc_id in group.doc_ids))
        for pair in pairs:
            if pair not in self._keys:
                self._keys[pair] = digest(json.dumps([self._query(pair), self._text(pair)]))
        return pairs

    def _query(self, pair: tuple[str, str]) -> str:
        return self._collection.queries[pair[0]]

    def _text(self, pair: tuple[str, str]) -> str:
        return self._collection.corpus[pair[1]].full_text[: self._config.max_document_characters]

    def _count_known(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Let the allowance know what the scores of these pairs have cost already, once for each."""
        for key in dict.fromkeys(self._keys[pair] for pair in pairs):
            if key in self._answers and key not in self._counted:
                self._allowance.start_with(self._answers[key][1])
                self._counted.add(key)

    def _requests(self, pairs: Sequence[tuple[str, str]]) -> Iterator[_Request]:
        """What is to be asked: documents of one query together, and copies of a query once."""
        by_query: dict[str, dict[str, str]] = {}
        for pair in pairs:
            key = self._keys[pair]
            if key not in self._answers:
                by_query.setdefault(self._query(pair), {})[key] = self._text(pair)
        for query, texts in by_query.items():
            for keys in blocks(texts, self._config.batch):
                yield _Request(query, {key: texts[key] for key in keys})

    def _announce(self, requests: Sequence[_Request]) -> None:
        """Say what these requests cost, before the first one is sent.

        Raises:
            InputError: they are more than may be sent.
        """
        config, count, pairs = self._config, len(requests), _pairs(requests)
        tokens = sum(_characters(request) for request in requests) // CHARACTERS_OF_A_TOKEN
        left = config.max_calls - self._allowance.calls
        if count > left:
            raise InputError(
                f"{_KEY}: {pairs:,} pairs take {count:,} requests, and {left:,} are left of max_calls "
                f"({config.max_calls:,}); raise it, or lower mining.max_queries or mining.negatives"
            )
        self._reporter.note(
            f"{_KEY}: {config.model or config.url} scores {pairs:,} pairs: {count:,} requests, about {tokens:,} "
            f"tokens; {left:,} requests are left of max_calls"
        )

    def _ask_all(self, requests: Sequence[_Request]) -> None:
        patience, concurrency = min(PATIENCE, len(requests)), self._config.concurrency
        with self._reporter.bar("scoring with the rerank API", _pairs(requests)) as advance:
            for request, _ in ask_each(requests, self._ask, concurrency, patience=patience):
                advance(len(request.texts))

    def _ask(self, request: _Request) -> None:
        """Score the texts of a request, and keep the scores."""
        try:
            self._score(request)
        except AllowanceSpentError:
            raise InputError(
                f"{_KEY}: max_calls ({self._config.max_calls:,} requests) are spent; scores so far are kept, so raise "
                "it to go on, or lower mining.max_queries"
            ) from None

    def _score(self, request: _Request) -> None:
        keys, texts = list(request.texts), list(request.texts.values())
        try:
            scores, calls = self._api.scores(request.query, texts)
        except RefusedError as error:
            if not error.too_large or len(texts) == 1:
                raise
            for part in blocks(keys, (len(keys) + 1) // 2):
                self._score(_Request(request.query, {key: request.texts[key] for key in part}))
            return
        # What the request cost stands with its first pair.
        costs = [calls] + [0] * (len(keys) - 1)
        self._answers.add({key: [score, cost] for key, score, cost in zip(keys, scores, costs, strict=True)})
        self._counted.update(keys)
        self._check(scores)

    def _check(self, scores: Sequence[float]) -> None:
        if self._config.scale != "probability":
            return
        if wrong := next((score for score in scores if not -_ROUNDING <= score <= 1 + _ROUNDING), None):
            raise InputError(f"{_KEY}: a score of {wrong:g} is no probability; set its scale to logit or unknown")


def _pairs(requests: Sequence[_Request]) -> int:
    return sum(len(request.texts) for request in requests)


def _characters(request: _Request) -> int:
    """How many characters a reranker reads: the query once for each document."""
    return sum(len(request.query) + len(text) for text in request.texts.values())


def _settings(config: Config) -> RerankApiConfig:
    found = config.mining.rerank_api
    assert found is not None  # noqa: S101 - the section has been checked
    return found


def _open(config: Config, collection: Collection, reporter: Reporter) -> RerankApiTeacher:
    return RerankApiTeacher(_settings(config), collection, reporter)


def _depends_on(config: Config) -> Mapping[str, Any]:
    settings = _settings(config)
    return {**settings.scored_by, "scale": settings.scale}


TEACHER = TeacherKind(_open, _depends_on)
