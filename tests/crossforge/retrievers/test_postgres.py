"""The kind `postgres` against a server of its own, if PostgreSQL is installed.

`CROSSFORGE_POSTGRES_BIN` names the folder of `initdb` and `pg_ctl` where they are not found by themselves.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.retrievers import trust
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.retrievers.postgres import PostgresKind, PostgresRetriever
from crossforge.runs import Candidate

psycopg = pytest.importorskip("psycopg")

DOCUMENTS = [
    Document("a", "The wind fills a sail.", title="Boats"),
    Document("b", "Sails, sailing and more sails"),
    Document("c", "bread\0from the oven"),
    Document("d", "A wind's end\\less 'quote' https://x.org/a?b=1&c=2"),
]


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`."""
    places = [os.environ.get("CROSSFORGE_POSTGRES_BIN", ""), str(Path(shutil.which("initdb") or "/-/-").parent)]
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = (Path(place) for place in (*places, *installed) if place)
    return next((folder for folder in found if all((folder / name).exists() for name in ("initdb", "pg_ctl"))), None)


def as_nobody(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then another user runs it, who gets the folder."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not run as root, and there is no user to run it")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A connection string to a new cluster that listens on a socket alone."""
    folder = binaries()
    if folder is None:
        pytest.skip("no initdb and pg_ctl: install PostgreSQL, or name their folder in CROSSFORGE_POSTGRES_BIN")
    # Not in tmp_path: paths of sockets are short, and the other user must get there.
    home = Path(tempfile.mkdtemp(prefix="cf-pg-"))
    data = home / "data"
    options = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/", **as_nobody(home)}
    try:
        initdb = [folder / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        subprocess.run(initdb, **options)
        settings = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
        subprocess.run([folder / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", settings, "start"], **options)
        try:
            yield f"host={home} user=tester dbname=postgres"
        finally:
            subprocess.run([folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def dsn(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with a table `docs` and nobody trusted."""
    monkeypatch.setattr(trust, "_NAMED", set())
    monkeypatch.delenv(trust.TRUST_VARIABLE, raising=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("CREATE TABLE docs (id text PRIMARY KEY, title text, text text)")
        with connection.cursor() as cursor:
            rows = [(one.doc_id, one.title or None, one.text.replace("\0", " ")) for one in DOCUMENTS]
            cursor.executemany("INSERT INTO docs VALUES (%s, %s, %s)", rows)
    return server


def execute(dsn: str, *statements: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


def fitted(dsn: str, **options: Any) -> Any:
    return fit_retriever(DOCUMENTS, "postgres", {"dsn": dsn, "table": "docs", "retries": 0, **options})


def ids(retriever: Any, text: str = "sail wind", k: int = 10, **options: bool) -> list[str]:
    return [found.doc_id for found in retriever.search({"q": text}, k, **options)["q"]]


def test_any_word_may_match_and_titles_count(dsn: str) -> None:
    retriever = fitted(dsn)
    assert set(ids(retriever)) == {"a", "b", "d"}
    assert ids(retriever, "boat") == ["a"]
    assert len(ids(retriever, k=1)) == 1
    found = retriever.search({"q": "sails", "r": "the", "s": "?!", "t": ""}, 5)
    assert [one.doc_id for one in found["q"]] == ["b", "a"]
    assert found["q"][0].score > found["q"][1].score > 0
    assert found["r"] == found["s"] == found["t"] == []
    assert (retriever.name, retriever.kind) == ("PostgreSQL", "postgres")
    assert retriever.description == "PostgreSQL, table docs, english full-text search"
    assert retriever.similarities("wind", ["bread", "the wind"]).argmax() == 1


def test_websearch_wants_all_words(dsn: str) -> None:
    assert ids(fitted(dsn, match="websearch")) == ["a"]
    assert ids(fitted(dsn, match="websearch"), "wind -sail") == ["d"]


@pytest.mark.parametrize("text", ["end\\less", 'a\'b "quote" & | ! ( ) : <->', "https://x.org/a?b=1&c=2", "100% %s"])
def test_no_text_breaks_the_query(dsn: str, text: str) -> None:
    assert set(ids(fitted(dsn), text)) <= {"d"}


def test_an_address_with_operators_in_it_is_found(dsn: str) -> None:
    assert ids(fitted(dsn), "x.org/a?b=1&c=2") == ["d"]


def test_the_language_decides_how_words_are_read(dsn: str) -> None:
    assert ids(fitted(dsn, language="simple"), "sailing") == ["b"]
    assert set(ids(fitted(dsn), "sailing")) == {"a", "b"}
    with pytest.raises(InputError, match=r'cannot be searched \(text search configuration "klingon" does not exist'):
        fitted(dsn, language="klingon")


def test_equal_scores_stand_in_the_order_of_ids(dsn: str) -> None:
    execute(dsn, "UPDATE docs SET title = '', text = 'sail'")
    assert ids(fitted(dsn)) == ids(fitted(dsn), ties_by_id=True) == ["a", "b", "c", "d"]


def test_a_table_is_made_on_request(dsn: str) -> None:
    names = {"table": 'public.we"ird', "id_column": "the id", "create_table": True}
    retriever = fitted(dsn, **names)
    assert ids(retriever) == ids(fitted(dsn))
    assert execute(dsn, 'SELECT count(*) FROM "we""ird"') == [(4,)]
    assert execute(dsn, "SELECT count(*) FROM pg_indexes WHERE tablename = 'we\"ird'") == [(2,)]
    assert ids(fitted(dsn, **names)) == ids(retriever), "it is there"
    execute(dsn, 'DELETE FROM "we""ird" WHERE "the id" = \'a\'')
    with pytest.raises(InputError, match="the table is there with 3 documents and the corpus has 4; name another"):
        fitted(dsn, **names)


def test_half_a_table_is_not_left(dsn: str) -> None:
    twice = [*DOCUMENTS, DOCUMENTS[0]]
    with pytest.raises(InputError, match="duplicate key"):
        fit_retriever(twice, "postgres", {"dsn": dsn, "table": "new", "create_table": True})
    assert execute(dsn, "SELECT to_regclass('new')") == [(None,)]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"table": "nowhere"}, r"table nowhere: there is no such table; .*create_table: true makes one"),
        ({"text_column": "body"}, r'table docs: cannot be searched \(column "body" does not exist'),
        ({"id_column": "title"}, r"documents that are not in the corpus \('.*id_column the column of the ids"),
        ({"table": "docs; DROP TABLE docs"}, "there is no such table"),
    ],
)
def test_what_the_server_refuses_is_said_at_once(dsn: str, options: dict[str, Any], problem: str) -> None:
    execute(dsn, "UPDATE docs SET title = 'x' || id")
    with pytest.raises(InputError, match=problem) as caught:
        fitted(dsn, **options)
    assert "\n" not in str(caught.value)
    assert execute(dsn, "SELECT count(*) FROM docs") == [(4,)]


def test_an_empty_table_and_new_documents_are_refused(dsn: str) -> None:
    retriever = fitted(dsn)
    execute(dsn, "INSERT INTO docs VALUES ('new', '', 'sail sail sail')")
    with pytest.raises(InputError, match="query 'q': document 'new' is not in the corpus"):
        ids(retriever)
    execute(dsn, "DELETE FROM docs")
    with pytest.raises(InputError, match="the table is empty"):
        fitted(dsn)


def test_a_statement_that_takes_too_long_is_ended(dsn: str) -> None:
    retriever = fitted(dsn, statement_timeout=0.2)
    execute(dsn, "ALTER TABLE docs RENAME TO kept",
            "CREATE VIEW docs AS SELECT kept.* FROM kept, (SELECT pg_sleep(20)) AS slow")  # fmt: skip
    with pytest.raises(InputError, match=r"no answer in 0\.2 seconds \(first_stage\.options\.statement_timeout\)"):
        ids(retriever)


def test_a_lost_connection_is_opened_again(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(PostgresRetriever.__init__, "__defaults__", (waits.append,))
    retriever = fitted(dsn, retries=2)
    expected = ids(retriever)
    execute(dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert ids(retriever) == expected
    assert waits == [0.5]


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(PostgresRetriever.__init__, "__defaults__", (waits.append,))
    with pytest.raises(InputError, match=rf"PostgreSQL at {tmp_path}, table docs: does not answer") as caught:
        fitted(f"host={tmp_path} user=x", retries=3)
    assert "\n" not in str(caught.value)
    assert waits == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"dsn": "postgresql://me:secret@host/db"}, r"options\.dsn: a password does not belong into a config; PGPASS"),
        ({"dsn": "host=x password=secret"}, r"options\.dsn: a password does not belong"),
        ({"dsn": "nonsense"}, r"options\.dsn: expected a connection string such as postgresql://"),
        ({"password": "secret"}, r"options\.password: credentials do not belong into a config; PGPASSWORD"),
        ({"match": "all"}, r"options\.match: expected any or websearch \(found 'all'\)"),
        ({"vector_column": "v"}, r"vector_column and embed, which makes a query's vector, go together"),
        ({"create_table": True, "terms_column": "t"}, r"options\.create_table: makes columns of"),
        ({"statement_timeout": 0}, r"options\.statement_timeout: expected 0\.001 or more"),
        ({"tables": "x"}, r"unknown key first_stage\.options\.tables; did you mean table\?"),
    ],
)
def test_wrong_options_are_named_before_anything_is_asked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        PostgresKind.depends_on({"table": "docs", **options})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "reached"),
    [
        ("", []),
        ("dbname=library user=reader", []),
        ("service=library", ["postgresql://?service=library"]),
        ("dbname=library port=5433 options='-c x'", ["postgresql://?options=-c+x&port=5433"]),
        ("service=library connect_timeout=3 application_name=shop", ["postgresql://?service=library"]),
        ("postgresql://me@one,two/db", ["postgresql://one", "postgresql://two"]),
        ("host=known hostaddr=127.0.0.9", ["postgresql://known", "postgresql://127.0.0.9"]),
    ],
)
def test_every_server_that_is_named_has_to_be_trusted(dsn: str, reached: list[str]) -> None:
    assert PostgresKind.reaches({"table": "docs", "dsn": dsn}) == reached


def test_a_folder_reaches_only_what_the_app_trusts(dsn: str, tmp_path: Path) -> None:
    retriever = fitted(dsn, name="Postgres 15")
    save_retriever(tmp_path, retriever)
    trust._NAMED.clear()
    (reached,) = PostgresKind.reaches({"dsn": dsn, "table": "docs"})
    assert reached.startswith("postgresql:///")
    with pytest.raises(PackageError, match=f"this index uses {reached}, which a folder alone cannot allow"):
        load_retriever(tmp_path)
    trust.trust(reached)
    loaded = load_retriever(tmp_path)
    assert ids(loaded) == ids(retriever)
    assert (loaded.name, loaded.kind) == ("Postgres 15", "postgres")


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_vectors_are_searched_by_pgvector(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not execute(dsn, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("this PostgreSQL has no pgvector")
    draw = np.random.default_rng(0)
    vectors = dict(zip("abcd", draw.normal(size=(4, 3)).astype(np.float32), strict=True))
    execute(dsn, "DROP EXTENSION IF EXISTS vector", "CREATE EXTENSION vector", "ALTER TABLE docs ADD v vector(3)",
            *(f"UPDATE docs SET v = '{vectors[one].tolist()}' WHERE id = '{one}'" for one in "abc"))  # fmt: skip
    (tmp_path / "toy_embedding.py").write_text("def embed(texts):\n    return [[1.0, 0.5, -2.0] for _ in texts]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    query = np.array([1.0, 0.5, -2.0])
    expected = {
        "cosine": {one: unit(vectors[one]) @ unit(query) - 1 for one in "abc"},
        "l2": {one: -np.linalg.norm(vectors[one] - query) for one in "abc"},
        "inner_product": {one: vectors[one] @ query for one in "abc"},
    }
    for distance, scores in expected.items():
        retriever = fitted(dsn, vector_column="v", embed="toy_embedding:embed", distance=distance)
        found = retriever.search({"q": "text"}, 9)["q"]
        assert [one.doc_id for one in found] == sorted(scores, key=lambda one: -scores[one])
        assert [one.score for one in found] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    save_retriever(tmp_path / "saved", retriever)
    trust._NAMED.clear()
    with pytest.raises(PackageError, match=r"this index uses postgresql://.* and toy_embedding:embed"):
        load_retriever(tmp_path / "saved")
    sys.modules.pop("toy_embedding")


def test_an_index_of_vectors_gives_as_many_as_are_asked_for(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of pgvector, a distance that says how long the list of an HNSW index is.
    execute(dsn, "CREATE DOMAIN vector AS text", "ALTER TABLE docs ADD v vector", "UPDATE docs SET v = ''",
            "CREATE FUNCTION length(text, text) RETURNS float8 LANGUAGE sql AS "
            "$$ SELECT current_setting('hnsw.ef_search', true)::float8 $$",
            "CREATE OPERATOR <=> (FUNCTION = length, LEFTARG = text, RIGHTARG = text)")  # fmt: skip
    (tmp_path / "toy_embedding.py").write_text("def embed(texts):\n    return [[1.0] for _ in texts]\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def lengths(dsn: str) -> list[float]:
        retriever = fitted(dsn, vector_column="v", embed="toy_embedding:embed")
        return [-retriever.search({"q": "text"}, k)["q"][0].score for k in (7, 300, 5000)]

    assert lengths(dsn) == [40, 300, 1000]
    assert lengths(f"{dsn} options='-c hnsw.ef_search=500'") == [500, 500, 1000]
    sys.modules.pop("toy_embedding")


def test_vectors_of_a_wrong_shape_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    (tmp_path / "toy_embedding.py").write_text("def embed(texts):\n    return [1.0]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"toy_embedding:embed gave an array of shape \(1,\) for 1 texts"):
        fitted(dsn, vector_column="v", embed="toy_embedding:embed")
    sys.modules.pop("toy_embedding")


def test_a_function_that_fails_to_embed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    (tmp_path / "toy_embedding.py").write_text("def embed(texts):\n    raise OSError('no\\nmodel')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"^toy_embedding:embed failed: OSError: no model$"):
        fitted(dsn, vector_column="v", embed="toy_embedding:embed")
    sys.modules.pop("toy_embedding")


def test_candidates_are_plain_values(dsn: str) -> None:
    (found,) = fitted(dsn).search({"q": "oven"}, 1)["q"]
    assert isinstance(found, Candidate)
    assert (type(found.doc_id), type(found.score)) == (str, float)
