"""The kind `callable`: any function that searches, or a retriever of LangChain or LlamaIndex."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import written_atomically
from crossforge.retrievers.functions import called, named_function, source_hash
from crossforge.retrievers.options import read_options
from crossforge.retrievers.outside import Known, as_asked, read_outside, some
from crossforge.retrievers.trust import require_trust, trust
from crossforge.runs import Candidate

KIND = "callable"
_FORMAT = "crossforge-callable-1"
# Where LangChain and LlamaIndex keep the id of a document, the likeliest place first.
_ID_KEYS = ("doc_id", "_id", "id")

# One query's answer: ids, or ids with scores, best first.
Answer = Iterable[Any]
Search = Callable[[Mapping[str, str], int], Mapping[str, Answer]]


@dataclass(frozen=True)
class CallableOptions:
    """What a config says of it.

    Attributes:
        function: `package.module:object`.
        name: what reports call the engine; the function's own name if it is empty.
        id_key: key of the metadata that holds a document's id, for LangChain and LlamaIndex; by default `doc_id`,
            `_id` and `id` are tried, then the id of the document or node itself.
        analyzer: how words are read for the choice of passages: "auto", "word" or "char".
        language: Snowball language of `analyzer: word`.
    """

    function: str
    name: str = ""
    id_key: str = ""
    analyzer: str = "auto"
    language: str = "english"


class CallableKind:
    """See `RetrieverKind` and `OutsideKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> CallableRetriever:
        """Import the function; `settings` as in `CallableOptions`. Whoever names it here trusts it.

        Raises:
            InputError: it cannot be imported, or is nothing that searches.
        """
        options = read_options(settings, CallableOptions)
        known = Known.of(documents, options.analyzer, options.language)
        retriever = CallableRetriever(named_function(options.function), known, options)
        trust(options.function)
        return retriever

    @staticmethod
    def load(folder: Path) -> CallableRetriever:
        """Read what `CallableRetriever.save` wrote, and import the function that it names, if that is trusted.

        Raises:
            PackageError: the folder holds no such index, nobody here trusts its function, or it cannot be imported.
        """
        known, state = read_outside(folder, _FORMAT, ["options"])
        try:
            options = read_options(state["options"], CallableOptions)
            require_trust(folder, options.function)
            return CallableRetriever(named_function(options.function), known, options)
        except (InputError, TypeError, AttributeError) as error:
            raise PackageError(f"{folder}: {error}") from None

    @staticmethod
    def depends_on(settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The source of the function's module."""
        return {"source": source_hash(read_options(settings, CallableOptions).function)}

    @staticmethod
    def reaches(settings: Mapping[str, Any]) -> Sequence[str]:
        """The function."""
        return [read_options(settings, CallableOptions).function]


class CallableRetriever:
    """Asks a function, and checks what it answers.

    Args:
        found: the object that the config names.
        known: the corpus.
        options: what the config says.

    Raises:
        InputError: the object is nothing that searches, or fails to make it.
    """

    kind = KIND

    def __init__(self, found: object, known: Known, options: CallableOptions) -> None:
        self._search = _as_search(found, known, options)
        self._known = known
        self._options = options
        self.name = options.name or options.function.partition(":")[2]

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        return f"answers of {self._options.function}"

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """What the function finds.

        Raises:
            InputError: it fails, or its answer cannot be used: queries are missing, documents are unknown or found
                twice, scores are missing, not numbers, or rise.
        """
        function = self._options.function
        answers = called(function, lambda: self._search(queries, k))
        if not isinstance(answers, Mapping):
            raise InputError(f"{function} gave a {type(answers).__name__}; expected query id -> documents")
        if missing := [query_id for query_id in queries if query_id not in answers]:
            raise InputError(f"{function} left out {len(missing):,} of {len(queries):,} queries ({some(missing)})")
        return {query_id: self._candidates(query_id, answers[query_id], k, ties_by_id) for query_id in queries}

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """By common words; see `Overlap`."""
        return self._known.similarities(query, texts)

    def save(self, folder: Path) -> None:
        """Write the function's name, never its code, with what is kept of the corpus."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            self._known.save(beside, {"format": _FORMAT, "options": asdict(self._options)})

    def _candidates(self, query_id: str, answer: Answer, k: int, ties_by_id: bool) -> list[Candidate]:
        where = f"{self._options.function}, query {query_id!r}"
        return as_asked(self._known.candidates(where, _with_scores(where, answer)), k, ties_by_id)


def _as_search(found: object, known: Known, options: CallableOptions) -> Search:
    """The object as a function of queries and depth; a function without arguments is a factory of the real thing."""
    if callable(found) and (inspect.isclass(found) or not _takes_arguments(found)):
        found = called(options.function, found)
    for name in ("invoke", "retrieve"):  # LangChain's and LlamaIndex's
        if callable(method := getattr(found, name, None)):
            return _framework_search(method, known, options)
    if callable(found):
        return found
    raise InputError(
        f"{options.function} is a {type(found).__name__}; expected a function of queries and k, "
        "or a retriever of LangChain or LlamaIndex"
    )


def _takes_arguments(function: Callable[..., Any]) -> bool:
    try:
        return bool(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some that are written in C do not say
        return True


def _framework_search(ask: Callable[[str], Iterable[Any]], known: Known, options: CallableOptions) -> Search:
    """One call a query; of several passages of a document the best one stands for it."""

    def ids(text: str) -> list[str]:
        return list(dict.fromkeys(_id_of(found, known, options) for found in ask(text)))

    return lambda queries, k: {query_id: ids(text) for query_id, text in queries.items()}


def _id_of(found: Any, known: Known, options: CallableOptions) -> str:
    """The first id of a found document or node that is one of the corpus."""
    node = getattr(found, "node", found)
    metadata = getattr(node, "metadata", None) or {}
    if options.id_key:
        ids = [metadata.get(options.id_key)]
    else:
        own = [getattr(node, name, None) for name in ("ref_doc_id", "node_id", "id")]
        ids = [*map(metadata.get, _ID_KEYS), *own]
    given = [str(one) for one in ids if one is not None]
    if not given:
        where = f"metadata[{options.id_key!r}]" if options.id_key else "its metadata"
        raise InputError(f"{options.function}: a document without an id in {where}; set first_stage.options.id_key")
    return next((one for one in given if one in known.doc_ids), given[0])


def _with_scores(where: str, answer: Answer) -> Iterable[tuple[str, float]]:
    """Pairs as they are; ids alone get the reciprocal of their rank as a score."""
    if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
        raise InputError(f"{where}: found a {type(answer).__name__}; expected a list of ids, or of (id, score)")
    for rank, found in enumerate(answer, start=1):
        yield (found, 1 / rank) if isinstance(found, str) else _pair(where, found)


def _pair(where: str, found: Any) -> tuple[str, float]:
    try:
        doc_id, score = found
        if isinstance(doc_id, str):
            return doc_id, float(score)
    except (TypeError, ValueError):
        pass
    raise InputError(f"{where}: found {found!r}; expected the id of a document as a text, or (id, score)")
