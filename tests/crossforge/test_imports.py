"""What an app pays for: no training stack, and of other libraries only what a name needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crossforge

HEAVY = {"torch", "transformers", "datasets", "accelerate", "sklearn", "pandas"}
LOADED = f"print(*sorted({HEAVY!r} & set(sys.modules)))"


def output(code: str, *arguments: object) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return finished.stdout.strip()


@pytest.mark.parametrize(
    ("code", "others"),
    [
        ("import crossforge", set()),
        ("from crossforge import Document, InputError, RankedResults", set()),
        # onnxruntime, scipy, tokenizers and joblib come with the first package or index.
        ("from crossforge import Reranker, RetrieveAndRerank, TfidfRetriever", {"numpy"}),
    ],
)
def test_importing_loads_no_other_library_than_it_must(code: str, others: set[str]) -> None:
    loaded = f"""
before = set(sys.modules)
{code}
print(*{{name.split(".")[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names - {{"crossforge"}})"""
    assert set(output(loaded).split()) == others


def test_scoring_on_onnx_loads_neither_torch_nor_transformers(toy_package):
    code = f"""
from crossforge import Reranker
reranker = Reranker(sys.argv[1], max_passages=2)
assert len(reranker.rank("bread", ["oven " * 100, "sail"])) == 2
{LOADED}"""
    assert output(code, toy_package) == ""


def test_searching_on_onnx_loads_no_torch(toy_package):
    code = f"""
from crossforge import Reranker, RetrieveAndRerank
search = RetrieveAndRerank.from_documents(["bread oven " * 50, "sail"], Reranker(sys.argv[1]))
assert len(search("bread")) == 1
{LOADED}"""
    assert set(output(code, toy_package).split()) <= {"sklearn", "pandas"}


@pytest.mark.parametrize("path", sorted(Path(crossforge.__file__).parent.rglob("*.py")), ids=lambda path: path.name)
def test_the_runtime_does_not_import_the_training_package(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            imported.add(node.module)
    assert not [name for name in imported if name.split(".")[0] == "crossforge_train"]


def test_every_public_name_can_be_looked_up():
    assert all(getattr(crossforge, name) is not None for name in crossforge.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = crossforge.Nothing
