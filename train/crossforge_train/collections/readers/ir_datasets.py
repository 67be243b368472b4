"""Test collections of the `ir_datasets` library, which knows where hundreds of them are and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.readers.assembly import Judgement, Placed, Query, assemble, some
from crossforge_train.collections.readers.reader import Reader
from crossforge_train.collections.readers.tables import checked_id
from crossforge_train.versions import versions


def read_ir_datasets(ids: Mapping[str, str]) -> Collection:
    """Read the collection of each split; the documents are those of the first.

    Raises:
        InputError: the library is not installed, does not know an id, has no judgements for it, or cannot fetch it.
    """
    found = {split: _dataset(name) for split, name in ids.items()}
    first = next(iter(ids.values()))
    documents = some(_documents(first, found[next(iter(ids))]), f"{first}: no documents in it")
    judgements = {split: some(_judgements(ids[split], one), f"{ids[split]}: no judgements in it")
                  for split, one in found.items()}  # fmt: skip
    return assemble(first.replace("/", "-"), documents, _queries(ids, found), judgements)


def depends_on(ids: Mapping[str, str]) -> dict[str, Any]:
    """The library's version: it checks what it fetches against hashes of its own."""
    return {**versions("ir_datasets"), **ids}


def _dataset(name: str) -> Any:
    try:
        import ir_datasets
    except ModuleNotFoundError:
        raise InputError(
            f'ir_datasets: {name} needs the library of that name: pip install "crossforge[ir-datasets]"'
        ) from None
    try:
        dataset = ir_datasets.load(name)
    except KeyError:
        raise InputError(f"ir_datasets: there is no data set {name!r}") from None
    for part in ("docs", "queries", "qrels"):
        if not getattr(dataset, f"has_{part}")():
            raise InputError(f"ir_datasets: {name} has no {part}; name one that has docs, queries and qrels")
    return dataset


def _fetched(name: str, items: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """The items, which the library fetches as they are asked for."""
    try:
        yield from items()
    except Exception as error:  # it raises many kinds: of the network, of hashes, of licences that must be agreed to
        reason = error.args[0] if error.args else error  # what follows it repeats every address and attempt
        raise InputError(f"ir_datasets: {name}: cannot be fetched ({' '.join(str(reason).split())})") from None


def _documents(name: str, dataset: Any) -> Iterator[Placed]:
    for number, found in enumerate(_fetched(name, dataset.docs_iter), start=1):
        where = f"ir_datasets {name}, document {number}"
        title = getattr(found, "title", "") or ""
        text = found.text if title and hasattr(found, "text") else found.default_text()
        yield Placed(where, Document(checked_id(found.doc_id, where), text, title))


def _queries(ids: Mapping[str, str], datasets: Mapping[str, Any]) -> Iterator[Query]:
    seen: set[str] = set()  # several splits may have all queries of their collection
    for split, dataset in datasets.items():
        for number, found in enumerate(_fetched(ids[split], dataset.queries_iter), start=1):
            where = f"ir_datasets {ids[split]}, query {number}"
            if found.query_id not in seen:
                seen.add(found.query_id)
                yield Query(where, checked_id(found.query_id, where), found.default_text(), {})


def _judgements(name: str, dataset: Any) -> Iterator[Judgement]:
    for number, found in enumerate(_fetched(name, dataset.qrels_iter), start=1):
        yield Judgement(f"ir_datasets {name}, judgement {number}", found.query_id, found.doc_id, int(found.relevance))


READER = Reader(read_ir_datasets, depends_on)
