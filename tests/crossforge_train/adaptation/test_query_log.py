"""A log of queries without judgements: what is read, merged, dropped, and labelled."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import write_table
from support import TOPICS

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge_train.adaptation.log_labels import agreed_documents, fused_documents
from crossforge_train.adaptation.people import JudgedPair, said_of
from crossforge_train.adaptation.proposing import written_queries
from crossforge_train.adaptation.query_log import Logged, merged, read_query_log
from crossforge_train.adaptation.reader import READER, read_adapted
from crossforge_train.collections.beir import write_judged
from crossforge_train.collections.collection import JUDGED_BY, PSEUDO_QUERY, Collection, judged_by_people, judges
from crossforge_train.collections.query_key import id_of_query
from crossforge_train.config.documents import DocumentsSource
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.query_log import QueryLogConfig
from crossforge_train.config.run import Config
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect
from crossforge_train.stages.embedding import run_embeddings
from crossforge_train.stages.runner import run_stages


def read(path: Path, **settings: object) -> tuple[list[Logged], Counter[str]]:
    counted: Counter[str] = Counter()
    return read_query_log(QueryLogConfig(file=path, **settings), counted), counted


def test_a_text_file_has_a_query_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("bread  oven\n\nBread oven\nbread oven\nmail jane@example.org\n???\n+49 30 901820\n" + "x" * 301)
    found, counted = read(path)
    assert found == [Logged("bread oven", 3)]
    assert counted["queries of the log"] == 7
    assert {what: count for what, count in counted.items() if count and "dropped" in what} == {
        "queries dropped: mail address": 1,
        "queries dropped: phone number": 1,
        "queries dropped: no letter and no digit": 1,
        "queries dropped: too long": 1,
    }
    assert counted["queries merged with others that are nearly the same"] == 1


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_table_may_have_counts(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"q": "bread oven", "n": 3},
        {"q": "bread  oven", "n": 4},
        {"q": "sail boat", "n": 5},
        {"q": "rare", "n": 1},
    ]
    path = write_table(tmp_path / f"log{suffix}", rows)
    found, counted = read(path, query="q", count="n", min_count=2)
    assert found == [Logged("bread oven", 7), Logged("sail boat", 5)]
    assert counted["queries dropped: too rare"] == 1
    assert read(path, query="q")[0][0] == Logged("bread oven", 2), "without a column of counts each line is one"


def test_no_more_than_wanted_are_taken_the_most_frequent_first(tmp_path: Path) -> None:
    words = [word for topic in TOPICS.values() for word in topic.split()]
    path = write_table(tmp_path / "log.csv", [{"query": word, "count": 1 + n} for n, word in enumerate(words)])
    found, counted = read(path, queries=10)
    assert [query.text for query in found] == list(reversed(words))[:10]
    assert counted["queries dropped: more than are wanted"] == len(words) - 10


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "often"])
def test_a_malformed_count_is_named(tmp_path: Path, count: str) -> None:
    path = write_table(tmp_path / "log.csv", [{"query": "a", "count": "1"}, {"query": "b", "count": count}])
    with pytest.raises(InputError, match=rf"log.csv, line 3: the count '{count}' is no whole number of 1 or more"):
        read(path)


def test_a_log_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("jane@example.org\n")
    with pytest.raises(InputError, match="no query in it is left"):
        read(path)


def test_near_copies_are_one_but_not_if_their_numbers_differ() -> None:
    found = merged({"how to bake sourdough bread at home": 2, "how to bake sourdough breads at home": 3,
                    "iphone 12 charger cable white": 1, "iphone 13 charger cable white": 1})  # fmt: skip
    assert found == [
        Logged("how to bake sourdough breads at home", 5),
        Logged("iphone 12 charger cable white", 1),
        Logged("iphone 13 charger cable white", 1),
    ]


def test_punctuation_parts_no_queries_but_a_sign_of_a_word_does() -> None:
    found = merged({"c++ tutorial": 100, "c# tutorial": 50, "C++ tutorial?": 1, "wi-fi": 3, "wi fi": 2,
                    "how to install a c++ compiler on windows at home": 1,
                    "how to install a c# compiler on windows at home": 1})  # fmt: skip
    assert found == [
        Logged("c++ tutorial", 101),
        Logged("c# tutorial", 50),
        Logged("wi-fi", 5),
        Logged("how to install a c# compiler on windows at home", 1),
        Logged("how to install a c++ compiler on windows at home", 1),
    ]


def test_a_file_without_queries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text(" \n\n")
    with pytest.raises(InputError, match=r"queries\.txt: no queries in it$"):
        written_queries(tmp_path / "queries.txt")


def test_the_first_spelling_stands_for_written_queries_that_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("wi-fi\nC++ tutorial\nwi fi\nc# tutorial\nc++ tutorial\n")
    assert list(written_queries(tmp_path / "queries.txt").values()) == ["wi-fi", "C++ tutorial", "c# tutorial"]


def test_people_are_heard_on_the_query_that_they_judged() -> None:
    texts = {"a": "c++ tutorial", "b": "c# tutorial"}
    judged = {JudgedPair("C++ tutorial?", "d"): 1, JudgedPair("c# tutorial", "d"): 0, JudgedPair("c tutorial", "d"): 1}
    assert said_of(texts, judged) == {"a": {"d": 1}, "b": {"d": 0}}


@given(st.dictionaries(st.text("abc +-", min_size=1, max_size=12), st.integers(1, 9), min_size=1, max_size=12))
def test_merging_loses_no_count_and_depends_on_no_order(asked: dict[str, int]) -> None:
    found = merged(asked)
    assert sum(query.times for query in found) == sum(asked.values())
    assert {query.text for query in found} <= asked.keys()
    assert len({id_of_query("log", query.text) for query in found}) == len(found), "none overwrites another"
    assert found == merged(dict(reversed(asked.items())))


def test_a_document_is_taken_that_words_and_vectors_find(tiny_encoder: Path) -> None:
    corpus = {key: Document(key, words) for key, words in TOPICS.items()}
    found = agreed_documents({"a": "bread oven yeast", "b": "zzz qqq"}, corpus, 6, str(tiny_encoder))
    assert found == {"a": "baking"}, "no word of b stands in any document"
    first_two = fused_documents({"a": "bread oven yeast", "b": "zzz qqq"}, corpus, 2, str(tiny_encoder))
    assert first_two["a"][0] == "baking"
    assert [len(documents) for documents in first_two.values()] == [2, 2], "vectors find some for b"
    first = agreed_documents(TOPICS, corpus, 1, str(tiny_encoder))
    assert first == {key: key for key in TOPICS}, "a text is nearest to itself"


def test_logged_queries_join_train_and_become_dev(docs: Path, log: Path, tiny_encoder: Path) -> None:
    settings = {"file": log, "model": str(tiny_encoder), "agree": 50, "dev": 0.3}
    source = DocumentsSource(corpus=docs, dev=0.1, test=0.2, log=settings)
    found, plain = read_adapted(source), read_adapted(DocumentsSource(corpus=docs, dev=0.1, test=0.2))
    ours = [key for key in found.queries if key.startswith("log-")]
    dev, train, test = (found.qrels(split) for split in ("dev", "train", "test"))
    assert set(dev) <= set(ours)
    assert 5 < len(dev) < 30
    assert len(train) == len(plain.qrels("train")) + len(ours) - len(dev)
    assert test == plain.qrels("test")
    by = f"first stage and {tiny_encoder.name}"
    assert {found.query_fields[key][JUDGED_BY] for key in ours} == {by}
    assert all(PSEUDO_QUERY not in found.query_fields[key] for key in ours)
    assert not judged_by_people(found, "dev")
    assert judges(found, "dev") == {by: len(dev)}
    assert set(judges(found, "train")) == {by, "pseudo-queries"}
    assert found.counted["queries of the log in dev"] == len(dev)
    assert found.counted["queries of the log"] == 60
    assert read_adapted(source).splits == found.splits
    assert str(log) in READER.depends_on(source)["files"]
    assert "log_model" not in READER.depends_on(DocumentsSource(corpus=docs)), "old fingerprints hold"


def test_people_override_and_measure_what_first_stage_and_model_say(
    docs: Path, log: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    settings = {"file": log, "model": str(tiny_encoder), "agree": 50, "dev": 0.3}
    source = DocumentsSource(corpus=docs, dev=0.1, test=0.2, log=settings)
    plain = read_adapted(source)
    right, wrong = [(key, *found) for key, found in plain.qrels("train").items() if key.startswith("log-")][:2]
    texts = {"a": plain.queries[right[0]], "b": plain.queries[wrong[0]]}
    judged = {"judged": {"a": {right[1]: 1}, "b": {wrong[1]: 0, right[1]: 1}}}
    write_judged(tmp_path / "judged", Collection("judged", plain.corpus, texts, judged))
    found = read_adapted(source.model_copy(update={"judged": tmp_path / "judged"}))
    assert found.qrels("train")[wrong[0]] == {wrong[1]: 0, right[1]: 1}
    by = f"labels of first stage and {tiny_encoder.name} that people"
    assert (found.counted[f"{by} judged"], found.counted[f"{by} call right"]) == (2, 1)
    assert judges(found, "train")["people"] == 2, "they judged all of these queries' documents"
    assert found.qrels("dev") == plain.qrels("dev")


def test_what_the_log_embeds_is_embedded_once_for_all_stages(
    docs: Path, log: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    settings = {"corpus": docs, "dev": 0.1, "test": 0.2, "consistency": 1, "consistency_model": str(tiny_encoder)}
    log_settings = {"file": log, "model": str(tiny_encoder), "agree": 50, "dev": 0.3}
    config = Config(
        name="toy", runs=tmp_path / "runs", base_model=str(tiny_encoder), first_stage={"encoder_max_length": 48},
        collection={"documents": {**settings, "log": log_settings}},
    )  # fmt: skip
    run_stages(config, [collect.STAGE], SilentReporter())
    embeddings = run_embeddings(config, SilentReporter())
    assert embeddings is not None
    served = RunFolder(config.folder).collected.collection().served
    assert served is not None
    assert not list(embeddings.store.missing(found.full_text for found in served.values()))
    other = config.model_copy(update={"first_stage": FirstStageConfig(encoder_max_length=64)})
    assert collect.STAGE.depends_on(other) != collect.STAGE.depends_on(config)


def test_a_log_that_gives_no_dev_is_refused(docs: Path, tmp_path: Path, tiny_encoder: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("zzz qqq\n")
    source = DocumentsSource(corpus=docs, dev=0.1, test=0.2, log={"file": path, "model": str(tiny_encoder)})
    with pytest.raises(
        InputError, match=r"first stage and \S+ found a document for 0 of 1 queries, too few for dev; give a longer"
    ):
        read_adapted(source)


def test_a_path_alone_names_the_file(docs: Path) -> None:
    assert DocumentsSource(corpus=docs, log="log.txt").log == QueryLogConfig(file="log.txt")
