"""Draws pseudo-queries up to their quotas, lifts their words out of the documents, and filters them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crossforge.batching import blocks
from crossforge.documents import Document
from crossforge_train.adaptation.consistency import brought_back
from crossforge_train.adaptation.generated import BLOCK, GeneratedQueries
from crossforge_train.adaptation.makers.titles import by_title
from crossforge_train.adaptation.pseudo_queries import PseudoQuery, QueryMaker, Span, without
from crossforge_train.adaptation.texts import size
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts
from crossforge_train.collections.readers.workplace import NOWHERE, Workplace
from crossforge_train.collections.splits import drawn_shares
from crossforge_train.config.documents import DocumentsSource

TRAIN, DEV, TEST = "train", "dev", "test"
# More than are wanted, to make up for those that are dropped; and a second helping where that was not enough.
_SURPLUS, _HELPINGS = 1.3, 2
_LEAST_SHARE, _LEAST = 0.4, 60  # what must be left of a document, as a share and in bytes

Dropped = Literal["twice", "too_little_left", "not_brought_back", "of_several_splits"]  # as in `PseudoQueryCounts`


@dataclass(frozen=True)
class Drawn:
    """Pseudo-queries, and what became of all that were made.

    Attributes:
        splits: split -> its queries.
        lifted: document id -> what is lifted out of it.
        counts: kind -> what became of its queries.
    """

    splits: Mapping[str, Sequence[PseudoQuery]]
    lifted: Mapping[str, Sequence[Span]]
    counts: Mapping[str, PseudoQueryCounts]


def draw_queries(
    corpus: Mapping[str, Document],
    makers: Sequence[QueryMaker],
    source: DocumentsSource,
    workplace: Workplace = NOWHERE,
) -> Drawn:
    """Draw from all documents, in an order that depends only on their ids and the seed.

    Args:
        corpus: the documents as they came.
        makers: one for each kind.
        source: quotas, filter and shares of the splits.
        workplace: where the filter embeds documents; its reporter is told how many documents a maker refuses.
    """
    drawing = _Drawing(corpus, makers, source, workplace)
    for _ in range(_HELPINGS):
        if not drawing.take_more():
            break
    for maker in makers:
        if isinstance(maker, GeneratedQueries) and maker.refused:
            workplace.reporter.note(
                f"documents.{maker.kind}: documents that it refuses, and that give no queries: {maker.refused:,}"
            )
    return drawing.result()


def lifted_corpus(corpus: Mapping[str, Document], lifted: Mapping[str, Sequence[Span]]) -> ArrowCorpus:
    """The documents without what was lifted out of them."""
    return ArrowCorpus.from_documents(
        without(found, lifted[found.doc_id]) if found.doc_id in lifted else found for found in corpus.values()
    )


class _Drawing:
    """What was drawn so far."""

    def __init__(
        self,
        corpus: Mapping[str, Document],
        makers: Sequence[QueryMaker],
        source: DocumentsSource,
        workplace: Workplace,
    ) -> None:
        self._corpus = corpus
        self._source = source
        self._workplace = workplace
        self._clusters = by_title(corpus.values())
        self._shares = drawn_shares(self._clusters, f"{source.seed}:split")
        self._streams = {maker.kind: self._stream(maker) for maker in makers}
        self._counts: dict[str, Counter[str]] = {maker.kind: Counter() for maker in makers}
        self._taken: dict[str, PseudoQuery] = {}
        self._spans: defaultdict[str, list[Span]] = defaultdict(list)
        self._kept: set[str] = set()

    def take_more(self) -> bool:
        """Take queries up to the quotas; False if none was left to take."""
        before = len(self._taken)
        for kind, wanted in self._wanted().items():
            self._take(kind, wanted)
        new = list(self._taken.values())[before:]
        if not new:
            return False
        k, model = self._source.consistency, self._source.consistency_model
        back = {query.query_id for query in new}
        if k is not None:
            lifted = lifted_corpus(self._corpus, self._lifted(new))
            back = brought_back(new, lifted, k, model, self._workplace)
        for query in new:
            if query.query_id in back:
                self._kept.add(query.query_id)
            else:
                self._counts[query.kind]["not_brought_back"] += 1
        return True

    def result(self) -> Drawn:
        """What was kept, split, and no more than wanted."""
        chosen = self._within_quotas()
        splits: dict[str, list[PseudoQuery]] = {TRAIN: [], DEV: [], TEST: []}
        for query in chosen:
            splits[self._split(query)].append(query)
        kept = Counter(query.kind for query in chosen)
        counts = {kind: PseudoQueryCounts(**found, kept=kept[kind]) for kind, found in self._counts.items()}
        return Drawn(splits, self._lifted(chosen), counts)

    def _wanted(self) -> dict[str, int]:
        """How many to take next of each kind that has more to give, with some to spare."""
        quotas = self._source.quotas.model_dump()
        missing = (self._source.queries - len(self._kept)) * _SURPLUS
        whole = sum(quotas[kind] for kind in self._streams) or 1
        return {kind: round(missing * quotas[kind] / whole) for kind in self._streams}

    def _take(self, kind: str, wanted: int) -> None:
        counts, taken = self._counts[kind], 0
        for query in self._streams[kind]:
            counts["made"] += 1
            if reason := self._reason_to_drop(query):
                counts[reason] += 1
            else:
                self._taken[query.query_id] = query
                for span in query.words:
                    self._spans[span.doc_id].append(span)
                taken += 1
            if taken >= wanted:
                return
        del self._streams[kind]

    def _reason_to_drop(self, query: PseudoQuery) -> Dropped | None:
        if query.query_id in self._taken or self._is_said(query):
            return "twice"
        if len({self._clusters[doc_id] for doc_id in query.doc_ids}) > 1:
            return "of_several_splits"
        return None if self._leaves_enough(query) else "too_little_left"

    def _is_said(self, query: PseudoQuery) -> bool:
        """Whether a query of another kind says the same."""
        return any(query._replace(kind=kind).query_id in self._taken for kind in self._counts)

    def _stream(self, maker: QueryMaker) -> Iterator[PseudoQuery]:
        """One query of each document, then a second one, up to the number that a document may give."""
        order = drawn_shares({doc_id: doc_id for doc_id in self._corpus}, f"{self._source.seed}:{maker.kind}")
        doc_ids = sorted(order, key=order.__getitem__)
        for number in range(self._source.per_document):
            for block in _prepared(maker, blocks((self._corpus[doc_id] for doc_id in doc_ids), BLOCK)):
                for made in maker.make(block):
                    yield from made[number : number + 1]

    def _leaves_enough(self, query: PseudoQuery) -> bool:
        """Whether the query and those that were taken before it leave its documents readable."""
        for doc_id in {span.doc_id for span in query.words if not span.in_title}:
            document = self._corpus[doc_id]
            left = without(document, [*self._spans[doc_id], *query.words])
            if size(left.text) < max(_LEAST, _LEAST_SHARE * size(document.text)):
                return False
        return True

    def _within_quotas(self) -> list[PseudoQuery]:
        """Each kind up to its quota; where one falls short, others take its place."""
        quotas = self._source.quotas.model_dump()
        whole = sum(quotas[kind] for kind in self._counts)
        kept = [query for query in self._taken.values() if query.query_id in self._kept]
        chosen: list[PseudoQuery] = []
        left_over: list[PseudoQuery] = []
        for kind in self._counts:
            of_kind = [query for query in kept if query.kind == kind]
            quota = round(self._source.queries * quotas[kind] / whole)
            chosen += of_kind[:quota]
            left_over += of_kind[quota:]
        return (chosen + left_over)[: self._source.queries]

    def _split(self, query: PseudoQuery) -> str:
        share = self._shares[query.doc_ids[0]]
        if share < self._source.test:
            return TEST
        return DEV if share < self._source.test + self._source.dev else TRAIN

    def _lifted(self, queries: Sequence[PseudoQuery]) -> dict[str, list[Span]]:
        """Document id -> what is lifted out: the words of all queries but those training queries that may copy."""
        copying = drawn_shares({query.query_id: query.query_id for query in queries}, f"{self._source.seed}:kept in")
        spans: dict[str, list[Span]] = {}
        for query in queries:
            if self._split(query) == TRAIN and copying[query.query_id] < self._source.kept_in:
                continue
            for span in query.words:
                spans.setdefault(span.doc_id, []).append(span)
        return spans


def _prepared(maker: QueryMaker, cut: Iterator[list[Document]]) -> Iterator[list[Document]]:
    """The blocks, of which a maker that asks a model is told as many at once as can be worked on."""
    if not isinstance(maker, GeneratedQueries):
        yield from cut
        return
    for several in blocks(cut, maker.ahead):
        maker.prepare(several)
        yield from several
