"""The kind `callable`: functions and framework retrievers, what they may answer, and who may have them called."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossforge.documents import Document
from crossforge.errors import InputError, PackageError
from crossforge.files import read_json, write_json
from crossforge.retrievers import trust
from crossforge.retrievers.callable import CallableKind
from crossforge.retrievers.choice import fit_retriever, load_retriever, save_retriever
from crossforge.runs import Candidate

DOCUMENTS = [Document(name, f"text of {name}") for name in "abcd"]
GOOD = "def search(queries, k):\n    return {one: [('b', 2.0), ('a', 1)] for one in queries}\n"

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module of the user's; gives the name of its function `search`. Nothing is trusted yet."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(trust, "_NAMED", set())
    monkeypatch.delenv(trust.TRUST_VARIABLE, raising=False)

    def written(source: str) -> str:
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "users_engine.py").write_text(source)
        sys.modules.pop("users_engine", None)
        importlib.invalidate_caches()
        return "users_engine:search"

    yield written
    sys.modules.pop("users_engine", None)


def fitted(function: str, **options: Any) -> Any:
    return fit_retriever(DOCUMENTS, "callable", {"function": function, **options})


def ids(retriever: Any, k: int = 10) -> list[str]:
    return [found.doc_id for found in retriever.search({"q": "text"}, k)["q"]]


def test_a_function_searches(write: Write) -> None:
    retriever = fitted(write(GOOD), name="My engine")
    assert retriever.search({"q": "x", "r": "y"}, 1) == {"q": [Candidate("b", 2.0)], "r": [Candidate("b", 2.0)]}
    assert (retriever.name, retriever.description) == ("My engine", "answers of users_engine:search")
    assert fitted(write(GOOD)).name == "search"
    assert retriever.similarities("a", ["of a", "other"]).argmax() == 0


def test_ids_alone_are_scored_by_their_rank(write: Write) -> None:
    retriever = fitted(write("def search(queries, k):\n    return {one: ['c', 'a'] for one in queries}\n"))
    assert retriever.search({"q": "x"}, 9)["q"] == [Candidate("c", 1.0), Candidate("a", 0.5)]


def test_the_function_is_told_texts_and_depth(write: Write) -> None:
    source = "def search(queries, k):\n    assert (queries, k) == ({'q': 'text'}, 3)\n    return {'q': []}\n"
    assert ids(fitted(write(source)), 3) == []


def test_mining_gets_equal_scores_in_the_order_of_ids(write: Write) -> None:
    function = write("def search(queries, k):\n    return {one: [('c', 1), ('a', 1)] for one in queries}\n")
    assert [one.doc_id for one in fitted(function).search({"q": ""}, 9, ties_by_id=True)["q"]] == ["a", "c"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("{'q': ['z']}", r"users_engine:search, query 'q': document 'z' is not in the corpus"),
        ("{'q': ['a', 'a']}", "document 'a' is found twice"),
        ("{'q': [('a', float('nan'))]}", "the score of document 'a' is nan"),
        ("{'q': [('a', 1), ('b', 2)]}", "scores must fall from the best document on; that of 'b' is higher"),
        ("{'q': [1, 2]}", r"found 1; expected the id of a document as a text, or \(id, score\)"),
        ("{'q': [(1, 2.0)]}", r"found \(1, 2\.0\); expected the id"),
        ("{'q': [('a', 'high')]}", r"found \('a', 'high'\); expected the id"),
        ("{'q': 'abc'}", r"found a str; expected a list of ids"),
        ("{'q': None}", r"found a NoneType; expected a list of ids"),
        ("{}", r"users_engine:search left out 1 of 1 queries \('q'\)"),
        ("[]", "users_engine:search gave a list; expected query id -> documents"),
        ("1 / 0", "users_engine:search failed: ZeroDivisionError: division by zero"),
    ],
)
def test_an_answer_that_cannot_be_used_is_one_line(write: Write, answer: str, problem: str) -> None:
    retriever = fitted(write(f"def search(queries, k):\n    return {answer}\n"))
    with pytest.raises(InputError, match=problem) as caught:
        retriever.search({"q": "text"}, 5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = 1\n", r"users_engine:search cannot be imported \(.*no attribute 'search'\)"),
        ("import nothing_of_that_name\n", r"cannot be imported \(No module named 'nothing_of_that_name'\)"),
        ("def search(:\n", r"users_engine:search cannot be imported: SyntaxError: .*users_engine\.py, line 1"),
        ("search = 1 / 0\n", "users_engine:search cannot be imported: ZeroDivisionError: division by zero"),
        ("def search():\n    raise OSError('no\\nindex')\n", "users_engine:search failed: OSError: no index"),
        ("search = 3\n", "users_engine:search is a int; expected a function of queries and k, or a retriever"),
    ],
)
def test_what_is_no_engine_is_said_when_it_is_named(write: Write, source: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        fitted(write(source))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", ["os.system", "os:", ":x", "a b:c", "os:path.join", ""])
def test_only_a_dotted_name_is_one(function: str) -> None:
    with pytest.raises(InputError, match=r"names no function; expected package\.module:function"):
        fitted(function)


def test_a_missing_module_is_said_before_the_first_stage_of_a_run() -> None:
    with pytest.raises(InputError, match=r"no module 'nowhere\.at_all'\); is its folder in PYTHONPATH\?"):
        CallableKind.depends_on({"function": "nowhere.at_all:search"})


def test_a_package_that_breaks_is_said_before_the_first_stage_of_a_run(write: Write, tmp_path: Path) -> None:
    write(GOOD)
    (tmp_path / "code" / "broken_package").mkdir()
    (tmp_path / "code" / "broken_package" / "__init__.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match=r"broken_package\.engine:search cannot be imported: ZeroDivisionError"):
        CallableKind.depends_on({"function": "broken_package.engine:search"})


def test_the_fingerprint_follows_the_source(write: Write) -> None:
    settings = {"function": write(GOOD)}
    before = CallableKind.depends_on(settings)
    write(GOOD.replace("2.0", "3.0"))
    assert CallableKind.depends_on(settings) != before


LANGCHAIN = """
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

class Engine(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        first = Document(page_content="x", metadata={"doc_id": "c"}, id="0f3a")
        return [first, Document(page_content="y", metadata={"source": "b"}, id="a"), first]

"""
LLAMA = """
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

class Engine(BaseRetriever):
    def _retrieve(self, query):
        part = TextNode(text="x", id_="0f3a", relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="b")})
        nodes = [part, TextNode(text="y", id_="a"), TextNode(text="z", metadata={"_id": "d"}), part]
        return [NodeWithScore(node=node, score=0.5) for node in nodes]

"""


@pytest.mark.parametrize("given", ["search = Engine()", "search = Engine", "def search():\n    return Engine()"])
@pytest.mark.parametrize(
    ("library", "source", "expected"),
    [("langchain_core", LANGCHAIN, ["c", "a"]), ("llama_index.core", LLAMA, ["b", "a", "d"])],
)
def test_a_framework_retriever_a_class_and_a_factory_serve(
    write: Write, library: str, source: str, expected: list[str], given: str
) -> None:
    pytest.importorskip(library)
    retriever = fitted(write(f"{source}{given}\n"))
    assert ids(retriever) == expected
    assert ids(retriever, 1) == expected[:1]
    assert [found.score for found in retriever.search({"q": "x"}, 2)["q"]] == [1, 0.5]


def test_the_key_of_ids_can_be_named(write: Write) -> None:
    pytest.importorskip("langchain_core")
    function = write(f"{LANGCHAIN.replace('doc_id', 'source')}search = Engine()\n")
    assert ids(fitted(function, id_key="source")) == ["c", "b"]
    with pytest.raises(InputError, match=r"a document without an id in metadata\['key'\]; set .*id_key"):
        ids(fitted(function, id_key="key"))


def saved(folder: Path, function: str) -> Path:
    """An index as a stranger could have written it: nobody here has named its function."""
    save_retriever(folder, fitted(function, name="engine"))
    trust._NAMED.clear()
    sys.modules.pop("users_engine", None)
    return folder


def test_loading_an_index_runs_no_code_that_nobody_has_named(tmp_path: Path, write: Write) -> None:
    folder = saved(tmp_path / "saved", write(GOOD))
    write(f"open({str(tmp_path / 'ran')!r}, 'w')\n{GOOD}")
    with pytest.raises(PackageError) as caught:
        load_retriever(folder)
    assert "this index uses users_engine:search, which a folder alone cannot allow" in str(caught.value)
    assert "CROSSFORGE_TRUSTED='users_engine:search'" in str(caught.value)
    assert not (tmp_path / "ran").exists()
    assert "users_engine" not in sys.modules


def test_the_environment_or_the_app_may_name_it(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "saved", write(GOOD))
    monkeypatch.setenv(trust.TRUST_VARIABLE, "other:search users_engine:search")
    assert ids(load_retriever(folder)) == ["b", "a"]
    monkeypatch.setenv(trust.TRUST_VARIABLE, "other:search users_engine")
    with pytest.raises(PackageError, match="this index uses users_engine:search"):
        load_retriever(folder)
    trust.trust("users_engine:search")
    loaded = load_retriever(folder)
    assert (ids(loaded), loaded.name, loaded.kind) == (["b", "a"], "engine", "callable")


def test_trust_is_in_a_name_and_not_in_a_folder(tmp_path: Path, write: Write) -> None:
    folder = saved(tmp_path / "saved", write(GOOD))
    trust.trust("users_engine:search")
    state = read_json(folder / "callable" / "index.json")
    write_json(folder / "callable" / "index.json", {**state, "options": {"function": "os:system"}})
    with pytest.raises(PackageError, match="this index uses os:system"):
        load_retriever(folder)


def test_an_index_whose_function_is_gone_says_so(tmp_path: Path, write: Write) -> None:
    folder = saved(tmp_path / "saved", write(GOOD))
    write("x = 1\n")
    trust.trust("users_engine:search")
    with pytest.raises(PackageError, match="users_engine:search cannot be imported"):
        load_retriever(folder)


@pytest.mark.parametrize("options", [None, 3, {}, {"function": 3}, {"function": "os:system", "more": 1}])
def test_a_damaged_index_says_so(tmp_path: Path, write: Write, options: object) -> None:
    folder = saved(tmp_path / "saved", write(GOOD))
    state = read_json(folder / "callable" / "index.json")
    write_json(folder / "callable" / "index.json", {**state, "options": options})
    with pytest.raises(PackageError, match=str(folder)):
        load_retriever(folder)
