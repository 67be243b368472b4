"""`Collection`: documents, queries, and per split the relevance judgements (qrels)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.runs import Run
from crossforge_train.collections.agreement import Agreement, JudgedTwice
from crossforge_train.collections.pseudo_counts import PseudoQueryCounts

# query id -> document id -> relevance (0 = judged and not relevant)
Qrels = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Collection:
    """A corpus with queries and judgements.

    Attributes:
        name: as tables and reports give it.
        corpus: document id -> document, in corpus order.
        queries: query id -> text.
        splits: split name -> qrels. A query belongs to one split only, which is checked on construction.
        query_fields: query id -> what else its source says about it (entity, thread, customer), if anything. A query
            with the field `pseudo_query` was made from a document; nobody asked it.
        served: the documents as apps search them, if the corpus holds them with the queries' words lifted out.
        made: kind of pseudo-query -> what became of those that were made; empty where none were.
        own_documents: query id -> the document that is the query itself, which is left out of its candidates; None if
            nobody has looked yet.
        own_negatives: query id -> documents that its source gives as negatives; nobody need have judged them.
        own_scores: query id -> document id -> score of a teacher that its source names none of.
        counted: what its reader counted, in words -> how many.
        agreement: how far the machine that judged queries agrees with people; None if none did.
        judged_twice: the pairs that both of them judged.
    """

    name: str
    corpus: Mapping[str, Document]
    queries: Mapping[str, str]
    splits: Mapping[str, Qrels]
    query_fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    served: Mapping[str, Document] | None = None
    made: Mapping[str, PseudoQueryCounts] = field(default_factory=dict)
    own_documents: Mapping[str, str] | None = None
    own_negatives: Mapping[str, Sequence[str]] = field(default_factory=dict)
    own_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None
    judged_twice: Sequence[JudgedTwice] = ()

    def __post_init__(self) -> None:
        if not self.corpus:
            raise InputError(f"collection {self.name}: the corpus is empty")
        owner: dict[str, str] = {}
        for split, qrels in self.splits.items():
            for query_id, judgements in qrels.items():
                if owner.setdefault(query_id, split) != split:
                    raise InputError(f"query {query_id!r} is in two splits, {owner[query_id]} and {split}")
                self._check(split, query_id, judgements)

    def _check(self, split: str, query_id: str, judgements: Mapping[str, int]) -> None:
        if query_id not in self.queries:
            raise InputError(f"qrels of split {split} judge query {query_id!r}, which is not among the queries")
        if not self.queries[query_id].strip():
            raise InputError(f"query {query_id!r} is empty")
        missing = next((doc_id for doc_id in judgements if doc_id not in self.corpus), None)
        if missing is not None:
            raise InputError(f"qrels of split {split}, query {query_id!r}: document {missing!r} is not in the corpus")

    def qrels(self, split: str) -> Qrels:
        """The judgements of one split.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.splits:
            raise InputError(
                f"collection {self.name} has no split {split!r}; it has {', '.join(self.splits) or 'none'}"
            )
        return self.splits[split]

    def split_queries(self, split: str) -> dict[str, str]:
        """Query id -> text, for the queries of one split."""
        return {query_id: self.queries[query_id] for query_id in self.qrels(split)}

    def with_splits(self, splits: Mapping[str, Qrels]) -> Collection:
        """The same collection with other splits."""
        return replace(self, splits=splits)


PSEUDO_QUERY = "pseudo_query"  # the field of a query that nobody asked: its kind
TITLE = "title"  # the kind of a title or heading
JUDGED_BY = "judged_by"  # the field of a query that says who judged it, unless it is people who were asked to
CLICKS = "clicks"  # people who were not asked to
PEOPLE, PSEUDO_QUERIES = "people", "pseudo-queries"


def judged_by_people(collection: Collection, split: str) -> bool:
    """Whether people asked and judged any query of the split, be it by clicks."""
    return bool(of_people(collection, split))


def mostly_judged_by_people(collection: Collection, split: str) -> bool:
    """Whether people asked and judged most queries of the split: in a mixture, a few of theirs decide nothing."""
    return 2 * len(of_people(collection, split)) > len(collection.qrels(split))


def of_people(collection: Collection, split: str) -> Qrels:
    """The queries of the split that people asked and judged, be it by clicks, with their judgements."""
    fields, asked = collection.query_fields, asked_by_people(collection, split)
    return {key: found for key, found in asked.items() if fields.get(key, {}).get(JUDGED_BY, CLICKS) == CLICKS}


def titles_among(collection: Collection, qrels: Qrels) -> Qrels:
    """Those of the queries that are titles of their documents.

    Of all pseudo-queries, these are the most like what people ask: an author has said in them what the text is about.
    """
    fields = collection.query_fields
    return {key: found for key, found in qrels.items() if fields.get(key, {}).get(PSEUDO_QUERY) == TITLE}


def mostly_asked_by_people(collection: Collection, split: str) -> bool:
    """Whether people asked most queries of the split, whoever judged them: their wording is then that of people."""
    return 2 * len(asked_by_people(collection, split)) > len(collection.qrels(split))


def asked_by_people(collection: Collection, split: str) -> Qrels:
    """The queries of the split that people asked, with their judgements."""
    fields, qrels = collection.query_fields, collection.qrels(split)
    return {key: judgements for key, judgements in qrels.items() if PSEUDO_QUERY not in fields.get(key, {})}


def judges(collection: Collection, split: str) -> dict[str, int]:
    """Who says what is relevant to the queries of a split -> how many queries; the most first."""
    found = (collection.query_fields.get(key, {}) for key in collection.qrels(split))
    made = Counter(fields.get(JUDGED_BY, PSEUDO_QUERIES if PSEUDO_QUERY in fields else PEOPLE) for fields in found)
    return dict(made.most_common())


def by_whom(judges: Mapping[str, int]) -> str:
    """The judges of one split in words, with how many queries each judged if there are several."""
    return " and ".join(f"{who} ({count:,})" if len(judges) > 1 else who for who, count in judges.items())


def by_whom_each(judges: Mapping[str, Mapping[str, int]]) -> str:
    """The judges of several splits in words, such as "people" or "people for train; clicks for test"."""
    said = {split: by_whom(found) for split, found in judges.items() if found}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{who} for {split}" for split, who in said.items())


def positives(judgements: Mapping[str, int]) -> list[str]:
    """The ids of the relevant documents of one query, most relevant first, equally relevant ones by id."""
    relevant = [doc_id for doc_id, relevance in judgements.items() if relevance > 0]
    return sorted(relevant, key=lambda doc_id: (-judgements[doc_id], doc_id))


def require_documents(run: Run, collection: Collection, path: Path) -> None:
    """Raise `InputError` if a run, read from `path`, names a document that the collection does not hold."""
    for query_id, candidates in run.items():
        missing = next((found.doc_id for found in candidates if found.doc_id not in collection.corpus), None)
        if missing is not None:
            raise InputError(f"{path}: query {query_id!r} has document {missing!r}, which is not in the corpus")
