"""The kind `postgres`: PostgreSQL's full-text search, or nearest neighbours by pgvector. Needs `psycopg`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import written_atomically
from crossforge.retrievers.functions import called, named_function, source_hash
from crossforge.retrievers.options import read_options, refuse_option
from crossforge.retrievers.outside import Known, as_asked, first_of_each, read_outside, retried, some
from crossforge.retrievers.trust import require_trust, trust
from crossforge.runs import Candidate

if TYPE_CHECKING:
    from psycopg import Connection, Cursor
    from psycopg.sql import Composable, Composed

KIND = "postgres"
_FORMAT = "crossforge-postgres-1"
_CHECKED = 10  # documents of a table whose ids are looked at before it is searched
_TERMS = "terms"  # the column of terms in a table that is made here
_DISTANCES = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>"}
# Parameters of a connection that lead to no other server.
_HARMLESS = ("dbname", "user", "connect_timeout", "application_name")
_SECRETS = "PGPASSWORD, a password file or a service file hold them"

Embed = Callable[[list[str]], Any]


@dataclass(frozen=True)
class PostgresOptions:
    """What a config says of it.

    Attributes:
        dsn: where the database is, as a URI or as `key=value` pairs, without a password; what it leaves out comes from
            the environment, as with every client of PostgreSQL.
        table: the table or view, `schema.table` if need be.
        id_column: column of the documents' ids.
        title_column: column of titles; empty if there is none.
        text_column: column of texts.
        terms_column: column with the `tsvector`; by default it is computed from title and text.
        language: text search configuration.
        match: "any" word of the query, or "websearch" for `websearch_to_tsquery`, which wants them all.
        normalization: how `ts_rank_cd` takes a document's length into account.
        vector_column: column of pgvector's vectors; then these are searched, and not the words.
        embed: `package.module:function` from a list of texts to their vectors, shape (texts, dimensions).
        distance: "cosine", "l2" or "inner_product".
        create_table: make the table from the corpus if it is not there.
        statement_timeout: seconds that a statement may take.
        retries: how often a connection is tried again; the wait doubles each time.
        name: what reports call the engine.
        analyzer: how words are read for the choice of passages: "auto", "word" or "char".
        passage_language: Snowball language of `analyzer: word`.
    """

    table: str
    dsn: str = ""
    id_column: str = "id"
    title_column: str = "title"
    text_column: str = "text"
    terms_column: str = ""
    language: str = "english"
    match: str = "any"
    normalization: int = 1
    vector_column: str = ""
    embed: str = ""
    distance: str = "cosine"
    create_table: bool = False
    statement_timeout: float = 30.0
    retries: int = 4
    name: str = "PostgreSQL"
    analyzer: str = "auto"
    passage_language: str = "english"

    def __post_init__(self) -> None:
        for key, allowed in (("match", ("any", "websearch")), ("distance", tuple(_DISTANCES))):
            if getattr(self, key) not in allowed:
                raise refuse_option(key, f"expected {' or '.join(allowed)} (found {getattr(self, key)!r})")
        if bool(self.vector_column) != bool(self.embed):
            raise refuse_option("vector_column", "vector_column and embed, which makes a query's vector, go together")
        if self.create_table and (self.vector_column or self.terms_column or not self.title_column):
            raise refuse_option("create_table", "makes columns of ids, titles, texts and terms, and no others")
        for key, least in (("statement_timeout", 0.001), ("retries", 0)):
            if getattr(self, key) < least:
                raise refuse_option(key, f"expected {least} or more (found {getattr(self, key)})")

    @property
    def reached(self) -> list[str]:
        """What has to be trusted: the server, if it is named or chosen otherwise, and the function."""
        said = _parameters(self.dsn)
        server = [f"postgresql://{host}" for host in _hosts(said)]
        # A service or a port chooses among servers, too, and other parameters say how one is connected to.
        chosen = {key: value for key, value in said.items() if key not in _HARMLESS}
        if chosen and not server:
            server = [f"postgresql://?{urlencode(sorted(chosen.items()))}"]
        return [*server, *([self.embed] if self.embed else [])]


class PostgresKind:
    """See `RetrieverKind` and `OutsideKind`."""

    @staticmethod
    def fit(documents: Collection[Document], settings: Mapping[str, Any]) -> PostgresRetriever:
        """Find or make the table; `settings` as in `PostgresOptions`. Whoever names the server here trusts it.

        Raises:
            InputError: the server does not answer, or has no such table or column, or one of other documents.
        """
        options = read_options(settings, PostgresOptions, _SECRETS)
        reached = options.reached
        known = Known.of(documents, options.analyzer, options.passage_language)
        retriever = PostgresRetriever(options, known)
        retriever.prepare(documents)
        trust(*reached)
        return retriever

    @staticmethod
    def load(folder: Path) -> PostgresRetriever:
        """Read what `PostgresRetriever.save` wrote, if its server is trusted; nothing is asked yet.

        Raises:
            PackageError: the folder holds no such index, or nobody here trusts its server or function.
        """
        known, state = read_outside(folder, _FORMAT, ["options"])
        try:
            options = read_options(state["options"], PostgresOptions, _SECRETS)
            require_trust(folder, *options.reached)
            return PostgresRetriever(options, known)
        except (InputError, TypeError, AttributeError) as error:
            raise PackageError(f"{folder}: {error}") from None

    @staticmethod
    def depends_on(settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """The source of the function that embeds; the contents of the table cannot be known without asking."""
        options = read_options(settings, PostgresOptions, _SECRETS)
        return {"reached": options.reached, **({"source": source_hash(options.embed)} if options.embed else {})}

    @staticmethod
    def reaches(settings: Mapping[str, Any]) -> Sequence[str]:
        """Server and function."""
        return read_options(settings, PostgresOptions, _SECRETS).reached


class PostgresRetriever:
    """Asks a table, one query at a time over one connection.

    Args:
        options: what the config says.
        known: the corpus.
        sleep: waits between retries.

    Raises:
        InputError: the function that embeds cannot be imported.
    """

    kind = KIND

    def __init__(self, options: PostgresOptions, known: Known, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name = options.name
        self._options = options
        self._known = known
        self._sleep = sleep
        self._embed: Any = named_function(options.embed) if options.embed else None
        self._connection: Connection[Any] | None = None
        # A statement at a time: the connection is replaced when it breaks.
        self._lock = Lock()

    @property
    def description(self) -> str:
        """See `StoredRetriever`."""
        options = self._options
        how = f"vectors of {options.embed}" if options.embed else f"{options.language} full-text search"
        return f"PostgreSQL, table {options.table}, {how}"

    def search(self, queries: Mapping[str, str], k: int, *, ties_by_id: bool = False) -> dict[str, list[Candidate]]:
        """What the table holds; equal scores of words always stand in the order of ids.

        Equal distances stand as the table gives them, unless `ties_by_id`, and which of them end the list is up to it,
        too: an order that names ids as well could not use an index of vectors.

        Raises:
            InputError: the server does not answer, or finds what is not in the corpus; the function that embeds fails.
        """
        statement, texts = self._statement(), list(queries.values())
        asked = self._vectors(texts) if self._embed else texts
        found: dict[str, list[Candidate]] = {}
        for query_id, value in zip(queries, asked, strict=True):
            rows = self._rows(statement, {"query": value, "k": k})
            where = f"{self._where}, query {query_id!r}"
            pairs = first_of_each((str(doc_id), float(score)) for doc_id, score in rows)
            found[query_id] = as_asked(self._known.candidates(where, pairs), k, ties_by_id)
        return found

    def similarities(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """By common words; see `Overlap`."""
        return self._known.similarities(query, texts)

    def save(self, folder: Path) -> None:
        """Write the settings, with what is kept of the corpus; there is no password among them."""
        with written_atomically(folder) as beside:
            beside.mkdir()
            self._known.save(beside, {"format": _FORMAT, "options": asdict(self._options)})

    def prepare(self, documents: Collection[Document]) -> None:
        """Make the table if that was asked for, and look at whether it holds these documents.

        Raises:
            InputError: it does not.
        """
        if self._options.create_table:
            self._create(documents)
        from psycopg import sql

        statement = sql.SQL("SELECT {id}::text, 0 FROM {table} LIMIT {limit}").format(
            **self._names(), limit=sql.Literal(_CHECKED)
        )
        ids = [row[0] for row in self._rows(statement, {})]
        if not ids:
            raise InputError(f"{self._where}: the table is empty")
        if foreign := [doc_id for doc_id in ids if doc_id not in self._known.doc_ids]:
            raise InputError(
                f"{self._where}: the table holds documents that are not in the corpus ({some(foreign)}); "
                "is first_stage.options.id_column the column of the ids?"
            )
        self.search({"check": "check"}, 1)  # wrong names of columns and languages show now

    def _create(self, documents: Collection[Document]) -> None:
        def create(cursor: Cursor[Any]) -> None:
            from psycopg import sql

            cursor.execute("SELECT to_regclass(%s)", (self._names()["table"].as_string(),))
            if cursor.fetchone() != (None,):
                self._require_count(cursor, len(documents))
                return
            # One transaction: a table that is half full is never there for others.
            with cursor.connection.transaction():
                cursor.execute(
                    sql.SQL(
                        "CREATE TABLE {table} ({id} text PRIMARY KEY, {title} text NOT NULL, {text} text NOT NULL, "
                        "{terms} tsvector GENERATED ALWAYS AS ({computed}) STORED)"
                    ).format(**self._names())
                )
                cursor.execute("SET LOCAL statement_timeout = 0")
                copy_into = sql.SQL("COPY {table} ({id}, {title}, {text}) FROM STDIN").format(**self._names())
                with cursor.copy(copy_into) as copy:
                    for row in _rows_of(documents):
                        copy.write_row(row)
                cursor.execute(sql.SQL("CREATE INDEX ON {table} USING gin ({terms})").format(**self._names()))

        self._asked(create)

    def _require_count(self, cursor: Cursor[Any], expected: int) -> None:
        from psycopg import sql

        cursor.execute(sql.SQL("SELECT count(*) FROM {table}").format(**self._names()))
        ((there,),) = cursor.fetchall()
        if there != expected:
            raise InputError(
                f"{self._where}: create_table, but the table is there with {there:,} documents and the corpus has "
                f"{expected:,}; name another table, or drop that one"
            )

    def _statement(self) -> Composed:
        from psycopg import sql

        names = self._names()
        if self._embed:
            operator = sql.SQL(_DISTANCES[self._options.distance])
            return sql.SQL(
                "SELECT {id}::text, -({vector} {operator} %(query)s::vector) FROM {table} "
                "WHERE {vector} IS NOT NULL ORDER BY {vector} {operator} %(query)s::vector LIMIT %(k)s"
            ).format(**names, operator=operator)
        wanted = _ANY if self._options.match == "any" else "websearch_to_tsquery({language}, %(query)s)"
        return sql.SQL(
            "SELECT {id}::text, ts_rank_cd({terms}, wanted, {normalization}) AS score "
            "FROM {table}, (SELECT " + wanted + " AS wanted) AS asked "
            'WHERE {terms} @@ wanted ORDER BY score DESC, {id}::text COLLATE "C" LIMIT %(k)s'
        ).format(**names, normalization=sql.Literal(self._options.normalization))

    def _names(self) -> dict[str, Composable]:
        """Identifiers and expressions, quoted by psycopg."""
        from psycopg import sql

        options = self._options
        language = sql.SQL("{}::regconfig").format(sql.Literal(options.language))
        title = sql.Identifier(options.title_column) if options.title_column else sql.Literal("")
        text = sql.Identifier(options.text_column)
        column = _TERMS if options.create_table else options.terms_column
        computed = sql.SQL("to_tsvector({}, coalesce({}, '') || ' ' || coalesce({}, ''))").format(language, title, text)
        return {
            "table": sql.Identifier(*options.table.split(".")),
            "id": sql.Identifier(options.id_column),
            "title": title,
            "text": text,
            "language": language,
            "computed": computed,
            "terms": sql.Identifier(column) if column else computed,
            "vector": sql.Identifier(options.vector_column or "vector"),
        }

    def _vectors(self, texts: list[str]) -> list[str]:
        """The queries' vectors as pgvector reads them."""
        vectors = called(self._options.embed, lambda: np.asarray(self._embed(texts), dtype=np.float32))
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise InputError(
                f"{self._options.embed} gave an array of shape {vectors.shape} for {len(texts)} texts; "
                "expected finite numbers of shape (texts, dimensions)"
            )
        return ["[" + ",".join(map(repr, vector.tolist())) + "]" for vector in vectors]

    def _rows(self, statement: Composed, values: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        def ask(cursor: Cursor[Any]) -> list[tuple[Any, Any]]:
            if self._embed and "k" in values:
                cursor.execute(_LONG_ENOUGH, values)
            return list(cursor.execute(statement, values or None))

        rows: list[tuple[Any, Any]] = self._asked(ask)
        return rows

    def _asked(self, ask: Callable[[Cursor[Any]], Any]) -> Any:
        """What the server answers, after retries.

        Raises:
            InputError: it does not.
        """
        psycopg = _psycopg()

        def call() -> Any:
            connection = self._connected()
            try:
                with connection.cursor() as cursor:
                    return ask(cursor)
            finally:
                if connection.closed:
                    self._connection = None

        def passing(error: Exception) -> bool:
            return isinstance(error, psycopg.OperationalError) and not isinstance(error, psycopg.errors.QueryCanceled)

        try:
            with self._lock:
                return retried(call, passing, self._options.retries, self._sleep)
        except psycopg.Error as error:
            raise InputError(f"{self._where}: {self._explained(error)}") from None

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            timeout = {} if "connect_timeout" in self._options.dsn else {"connect_timeout": 10}
            self._connection = _psycopg().connect(self._options.dsn, autocommit=True, **timeout)
            milliseconds = str(int(self._options.statement_timeout * 1000))
            self._connection.execute("SELECT set_config('statement_timeout', %s, false)", (milliseconds,))
        return self._connection

    def _explained(self, error: Exception) -> str:
        errors = _psycopg().errors
        said = " ".join(str(error).split())
        if isinstance(error, errors.UndefinedTable):
            return "there is no such table; first_stage.options.create_table: true makes one"
        if isinstance(error, errors.QueryCanceled):
            return f"no answer in {self._options.statement_timeout:g} seconds (first_stage.options.statement_timeout)"
        if isinstance(error, errors.OperationalError):
            return f"does not answer ({said})"
        return f"cannot be searched ({said})"

    @property
    def _where(self) -> str:
        hosts = "".join(f" at {host}" for host in _hosts(_parameters(self._options.dsn)))
        return f"PostgreSQL{hosts}, table {self._options.table}"


# An HNSW index of pgvector gives no more rows than this list holds: 40 by default, 1000 at most.
_LONG_ENOUGH = """SELECT set_config('hnsw.ef_search', least(1000, greatest(%(k)s::int, 40,
nullif(current_setting('hnsw.ef_search', true), '')::int))::text, false)"""
# Words of the query, as the table reads words, of which any may occur. A lexeme may hold every character.
_ANY = r"""(SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
FROM unnest(to_tsvector({language}, %(query)s)))"""


def _rows_of(documents: Collection[Document]) -> Iterator[tuple[str, str, str]]:
    """Rows of a table; PostgreSQL cannot hold the character 0 in texts."""
    return ((one.doc_id, one.title.replace("\0", " "), one.text.replace("\0", " ")) for one in documents)


def _hosts(parts: Mapping[str, Any]) -> list[str]:
    """The servers that the parts of a connection string name."""
    # Both count: the address is what is connected to, whatever the host is called.
    return [name for key in ("host", "hostaddr") if parts.get(key) for name in str(parts[key]).split(",")]


def _parameters(dsn: str) -> dict[str, Any]:
    """What a connection string says.

    Raises:
        InputError: it is none, or holds a password.
    """
    if not dsn:
        return {}
    psycopg = _psycopg()
    try:
        parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error:
        raise refuse_option("dsn", "expected a connection string such as postgresql://user@host/database") from None
    if "password" in parts or "sslpassword" in parts:
        raise refuse_option("dsn", f"a password does not belong into a config; {_SECRETS}")
    return parts


def _psycopg() -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise InputError(
            f'first_stage.kind postgres needs psycopg: pip install "crossforge[postgres]" ({error})'
        ) from None
    return psycopg
