"""`ArrowCorpus`: behaves as a dict of documents would, in memory and mapped from disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.collections import corpus as module
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.corpus import ArrowCorpus
from crossforge_train.collections.storage import is_collection, load_collection, read_folder, save_collection

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
METADATA = st.dictionaries(TEXTS, st.integers() | TEXTS | st.lists(st.booleans(), max_size=2) | st.none(), max_size=2)
CORPORA = st.dictionaries(TEXTS, st.tuples(TEXTS, TEXTS, METADATA), max_size=12).map(
    lambda found: {doc_id: Document(doc_id, *parts) for doc_id, parts in found.items()}
)


@pytest.mark.parametrize("batch", [1, 5, 8192])
@given(CORPORA)
def test_a_corpus_is_the_mapping_that_it_was_made_of(
    tmp_path_factory: pytest.TempPathFactory, batch: int, documents: dict[str, Document]
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", batch)
        made = ArrowCorpus.from_documents(documents.values())
        made.save(folder)
        for corpus in (made, ArrowCorpus.load(folder)):
            assert corpus == documents
            assert len(corpus) == len(documents)
            assert list(corpus) == list(documents)
            assert list(corpus.values()) == list(documents.values())
            assert list(corpus.items()) == list(documents.items())
            assert [corpus[doc_id] for doc_id in documents] == list(documents.values())
            assert not any(f"{doc_id}?" in corpus for doc_id in documents if f"{doc_id}?" not in documents)


def test_texts_that_are_taken_in_are_not_held_in_memory() -> None:
    import pyarrow as pa

    before = pa.total_allocated_bytes()
    corpus = ArrowCorpus.from_documents(Document(str(n), "word " * 2000) for n in range(2000))  # 20 MB
    assert pa.total_allocated_bytes() - before < 1e6
    assert corpus["1999"].text == "word " * 2000


def test_ids_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_key", lambda doc_id: len(doc_id))
    corpus = ArrowCorpus.from_documents([Document(doc_id, f"text {doc_id}") for doc_id in ("aa", "bb", "c", "cc")])
    assert [corpus[doc_id].text for doc_id in ("bb", "c", "cc")] == ["text bb", "text c", "text cc"]
    assert "dd" not in corpus
    with pytest.raises(InputError, match="two documents have the id 'bb'"):
        ArrowCorpus.from_documents([Document(doc_id, "") for doc_id in ("aa", "bb", "cc", "bb")])


def test_an_unknown_id_and_something_else_are_not_there() -> None:
    corpus = ArrowCorpus.from_documents([Document("a", "text")])
    assert corpus.get("b") is None
    assert 3 not in corpus
    with pytest.raises(KeyError):
        corpus["b"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A collection as the stage `collect` writes it."""
    corpus = {doc_id: Document(doc_id, f"text {doc_id}", metadata={"n": 1}) for doc_id in "abc"}
    queries = {"q1": "what", "q2": "why"}
    splits = {"test": {"q2": {"b": 0}}, "train": {"q1": {"a": 2}}}
    save_collection(tmp_path / "saved", Collection("saved", corpus, queries, splits, {"q1": {"thread": "t"}}))
    return tmp_path / "saved"


def test_a_stored_collection_is_read_back_with_its_texts_on_disk(saved: Path) -> None:
    found = load_collection(saved)
    assert found == read_folder(saved)
    assert isinstance(found.corpus, ArrowCorpus)
    assert not found.corpus._keys.flags.owndata, "the ids are looked up in the file itself"
    assert found.corpus["c"] == Document("c", "text c", metadata={"n": 1})
    assert found.splits == {"test": {"q2": {"b": 0}}, "train": {"q1": {"a": 2}}}
    assert found.query_fields == {"q1": {"thread": "t"}}
    assert is_collection(saved)
    assert not is_collection(saved / "qrels")


@pytest.mark.parametrize("name", ["corpus.arrow", "corpus.ids.arrow"])
def test_a_damaged_store_is_named(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2]):
        (saved / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            load_collection(saved)
    (saved / name).unlink()
    with pytest.raises(InputError, match=f"{name}: no such file"):
        ArrowCorpus.load(saved)


def test_files_of_two_corpora_are_refused(saved: Path, tmp_path: Path) -> None:
    ArrowCorpus.from_documents([Document("z", "")]).save(tmp_path)
    (tmp_path / "corpus.ids.arrow").replace(saved / "corpus.ids.arrow")
    with pytest.raises(InputError, match="do not belong together"):
        load_collection(saved)


def test_hashes_are_spread_over_64_bits() -> None:
    keys = np.array([module._key(str(number)) for number in range(1000)], np.uint64)
    assert len(set(keys.tolist())) == 1000
    assert 400 < (keys > np.uint64(2**63)).sum() < 600
