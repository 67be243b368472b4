"""Queries that are documents of the corpus themselves: recognised by their texts, and no candidates of their own."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder, make_documents, toy_config, write_lines

import crossforge_train
from crossforge.documents import Document
from crossforge.files import read_json
from crossforge.runs import Candidate, write_run
from crossforge_train.api.measuring import Measurement, compare
from crossforge_train.collections.beir import read_beir
from crossforge_train.collections.candidates import retrieve
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.own_documents import in_words, settle_own_documents
from crossforge_train.collections.storage import load_collection, save_collection
from crossforge_train.config.evaluation import EvaluationConfig
from crossforge_train.config.first_stage import FirstStageConfig
from crossforge_train.config.loading import load_config
from crossforge_train.config.mining import MiningConfig
from crossforge_train.evaluation.split_report import measure_split
from crossforge_train.evaluation.systems import System, bm25_retriever, bm25_systems, first_stage_system, set_up_bench
from crossforge_train.evaluation.verdict import Contest
from crossforge_train.first_stage import fit_first_stage
from crossforge_train.inspection.ceiling import ceiling_facts
from crossforge_train.mining.negatives import Candidates, Miner, Source
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.collect import load_collection as collected
from crossforge_train.stages.runner import run_stages
from crossforge_train.training.rows import _Texts


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection shaped like ArguAna: each query is a document under its id; the next of its topic answers it."""
    folder = tmp_path_factory.mktemp("arguments")
    documents = make_documents()
    (folder / "qrels").mkdir()
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": found["_id"], "text": found["text"]} for found in documents])
    for split, numbers in (("train", range(8)), ("test", range(8, 12))):
        rows = [f"{name}-{n}\t{name}-{(n + 1) % 12}\t1" for name in topics(documents) for n in numbers]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return folder


def topics(documents: list[dict[str, str]]) -> list[str]:
    return sorted({found["_id"].split("-")[0] for found in documents})


def mined(folder: Path, collection: Path, tiny_encoder: Path, *overrides: str) -> tuple[RunFolder, Recorder]:
    """A run up to `mine`."""
    config, notes = load_config(toy_config(folder, collection, tiny_encoder), overrides), Recorder()
    run_stages(config, [collect.STAGE, mine.STAGE], notes)
    return RunFolder(config.folder), notes


def own_negatives(run: RunFolder) -> int:
    return sum(group.query_id in group.doc_ids[1:] for group in run.mined.groups())


def own_candidates(run: RunFolder) -> int:
    return sum(
        candidate.doc_id == key for split in ("dev", "test") for key, found in run.mined.run(split).items()
        for candidate in found
    )  # fmt: skip


def test_without_the_option_a_querys_own_document_is_ranked_first_and_mined(
    arguments: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    run, _ = mined(tmp_path, arguments, tiny_encoder, "collection.ignore_identical_ids=false")
    ranked = run.mined.run("test")
    assert all(found[0].doc_id == key for key, found in ranked.items())
    assert own_negatives(run) > 0


def test_a_querys_own_document_is_left_out_everywhere(arguments: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    run, notes = mined(tmp_path, arguments, tiny_encoder)
    assert own_candidates(run) == own_negatives(run) == 0
    counts = run.collected.counts.own_documents
    assert counts is not None
    assert (counts.same_id, counts.same_text, counts.relevant) == (72, 72, 0)
    assert sum(counts.left_out.values()) == 72
    assert sum("left out of their candidates" in note for note in notes.notes) == 1
    assert read_json(run.stage("collect") / "counts.json")["own_documents"]["asked"] == "auto"
    collection = run.collected.collection()
    facts = ceiling_facts(collection, run.mined.retriever(), 10, 50, 0)["test"]
    assert facts.ndcg_10 > ceiling_facts(undecided(arguments), run.mined.retriever(), 10, 50, 0)["test"].ndcg_10


def undecided(folder: Path) -> Collection:
    return read_beir(folder)


def test_as_many_candidates_are_found_as_were_asked_for(arguments: Path) -> None:
    collection, _ = settle_own_documents(undecided(arguments), "auto")
    retriever = fit_first_stage(collection.corpus.values(), FirstStageConfig())
    queries = collection.split_queries("test")
    with_own = retriever.search(queries, 4)
    found = retrieve(collection, retriever, queries, 3)
    assert found == {key: [one for one in with_own[key] if one.doc_id != key] for key in queries}
    assert {len(candidates) for candidates in found.values()} == {3}


def test_no_system_ranks_a_querys_own_document(arguments: Path) -> None:
    collection, _ = settle_own_documents(undecided(arguments), "auto")
    retriever = fit_first_stage(collection.corpus.values(), FirstStageConfig())
    queries = collection.split_queries("test")
    # Found by somebody else, who left nothing out.
    run = retriever.search(queries, 10)
    config = EvaluationConfig(permutations=1000)
    bench = set_up_bench(collection, "test", run, retriever, 10, config, 0, SilentReporter())
    theirs = System("theirs", {key: [key, *collection.qrels("test")[key]] for key in queries})
    systems = [first_stage_system(bench), *bm25_systems(bench, bm25_retriever(collection, retriever)), theirs]
    measured = measure_split(bench, systems, Contest("first stage", [("theirs", "first stage")]), *_no_calibration())
    assert not [name.name for name in measured.systems for key, order in name.rankings.items() if key in order]
    assert measured.values["theirs"]["nDCG@10"] == dict.fromkeys(queries, 1.0)
    assert measured.report.own_documents == len(queries)


def _no_calibration() -> tuple:
    from crossforge.calibration import Calibrator

    return Calibrator(), None


def test_neither_judged_nor_random_nor_foreign_negatives_are_a_querys_own_document() -> None:
    queries = {str(n): CORPUS[str(n)].text for n in range(4)}
    undecided = collection_of(queries, q1={"1": 0, "19": 1})
    foreign = {key: [Candidate(key, 1.0)] for key in queries}
    config = MiningConfig.model_validate(
        {"negatives": 19, "random_negatives": 9, "near_copy": None, "sources": [{"run": "s.trec", "quota": 9}]}
    )

    def has_own(collection: Collection) -> list[bool]:
        candidates = Candidates({}, {config.sources[0].name: Source(foreign, 9)})
        groups = Miner(collection, "test", candidates, config, 0).mine(queries).groups
        return [group.query_id in group.doc_ids for group in groups]

    assert all(has_own(undecided))
    assert not any(has_own(settle_own_documents(undecided, "auto")[0]))


def test_in_batch_negatives_are_no_queries_own_documents() -> None:
    settled, _ = settle_own_documents(collection_of({"1": CORPUS["1"].text}), "auto")
    pipeline = SimpleNamespace(reranker=SimpleNamespace(tokenizer=None))
    texts = _Texts(settled, "test", pipeline)  # type: ignore[arg-type]
    assert texts._no_negatives("1") == ["19", "1"]


def test_compare_leaves_them_out_of_given_candidates_and_of_run_files(arguments: Path, tmp_path: Path) -> None:
    queries = undecided(arguments).split_queries("test")
    qrels = undecided(arguments).qrels("test")
    run = {key: [Candidate(key, 2.0), *(Candidate(doc_id, 1.0) for doc_id in qrels[key])] for key in queries}
    write_run(tmp_path / "theirs.trec", run, "theirs")
    notes, measurement = Recorder(), Measurement(candidates=tmp_path / "theirs.trec")
    report = compare(
        ["first-stage", tmp_path / "theirs.trec"], arguments, measurement, save_to=tmp_path / "report", reporter=notes
    )
    means = {system.name: system.means["nDCG@10"] for system in report.splits[0].systems}
    assert means["first stage"] == means["theirs.trec"] == 1
    assert len(notes.notes) == 1
    sentence = "24 of the queries are documents themselves, which are left out of their candidates"
    for name in ("report.md", "report.html"):
        assert sentence in (tmp_path / "report" / name).read_text()


CORPUS = {str(n): Document(str(n), f"the text of document number {n * 7919}", title=f"Title {n}") for n in range(20)}


def collection_of(queries: dict[str, str], **judged: dict[str, int]) -> Collection:
    qrels = {key: judged.get(f"q{key}", {"19": 1}) for key in queries}
    return Collection("c", CORPUS, queries, {"test": qrels})


def test_ids_that_are_the_same_by_chance_decide_nothing() -> None:
    queries = {str(n): f"what is asked in line {n}" for n in range(12)}
    settled, counts = settle_own_documents(collection_of(queries), "auto")
    assert settled.own_documents == {}
    assert (counts.same_id, counts.same_text, counts.left_out) == (12, 0, {})
    assert "it stays a candidate" in in_words(counts)
    forced, _ = settle_own_documents(collection_of(queries), True)
    assert forced.own_documents == {key: key for key in queries}


@pytest.mark.parametrize(("same", "decided"), [(5, False), (6, True)])
def test_half_of_them_have_to_be_the_documents_themselves(same: int, decided: bool) -> None:
    queries = {str(n): CORPUS[str(n)].text.upper() + "!" if n < same else f"a question {n}" for n in range(12)}
    settled, counts = settle_own_documents(collection_of(queries), "auto")
    assert counts.same_text == same
    assert bool(settled.own_documents) is decided


@given(st.lists(st.booleans(), max_size=6), st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_labels_of_the_test_split_decide_nothing_for_other_splits(train: list[bool], test: list[tuple]) -> None:
    texts = {str(n): CORPUS[str(n)].text if same else f"a question {n}" for n, same in enumerate(train)}
    others = {str(n + 6): CORPUS[str(n + 6)].text if same else f"a question {n}" for n, (same, _) in enumerate(test)}

    def settled(labels: dict[str, dict[str, int]]) -> dict[str, str]:
        splits = {"train": {key: {"19": 1} for key in texts}, "test": labels}
        found, _ = settle_own_documents(Collection("c", CORPUS, texts | others, splits), "auto")
        return {key: doc_id for key, doc_id in (found.own_documents or {}).items() if key in texts}

    relevant = {key: {key: int(found)} for key, (_, found) in zip(others, test, strict=True)}
    assert settled(relevant) == settled({key: {"19": 1} for key in others})


def test_small_edits_and_titles_count() -> None:
    queries = {"1": "the text of document number 7918", "2": "title 2"}
    assert settle_own_documents(collection_of(queries), "auto")[1].same_text == 2


def test_a_document_that_is_judged_relevant_stays() -> None:
    queries = {str(n): CORPUS[str(n)].text for n in range(4)}
    settled, counts = settle_own_documents(collection_of(queries, q0={"0": 1}, q1={"1": 0, "19": 1}), True)
    assert settled.own_documents == {"1": "1", "2": "2", "3": "3"}
    assert counts.relevant == 1
    assert in_words(counts).startswith(
        "4 queries have the id of a document (1 of them that of a relevant one, which stays), and 4 its text ("
    )


def test_copies_by_weight_have_the_documents_of_their_originals() -> None:
    queries = {"1": CORPUS["1"].text, "1#2": CORPUS["1"].text}
    assert settle_own_documents(collection_of(queries), "auto")[0].own_documents == {"1": "1", "1#2": "1"}


def test_the_decision_is_stored_and_read_back(tmp_path: Path) -> None:
    collection = collection_of({"1": CORPUS["1"].text})
    for number, own in enumerate((None, {}, {"1": "1"})):
        save_collection(tmp_path / str(number), replace(collection, own_documents=own))
        assert load_collection(tmp_path / str(number)).own_documents == own


def test_the_default_leaves_the_fingerprint_of_collect_as_it_was(
    arguments: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    found = {}
    for asked in ("auto", True, False):
        config = load_config(
            toy_config(tmp_path, arguments, tiny_encoder), [f"collection.ignore_identical_ids={str(asked).lower()}"]
        )
        found[asked] = collect.STAGE.depends_on(config)["collection"]
        assert collected(config.collection, 0).collection.own_documents is None
    assert "ignore_identical_ids" not in found["auto"]
    assert (found[True]["ignore_identical_ids"], found[False]["ignore_identical_ids"]) == (True, False)


def test_candidates_are_retrieved_in_one_place() -> None:
    """What searches for a collection's queries itself would bring back what is left out everywhere else."""
    root = Path(crossforge_train.__file__).parent
    allowed = {
        "collections/candidates.py",  # the place
        "evaluation/budget.py",  # measures how long a search takes
        "evaluation/split_report.py",  # likewise
        "evaluation/approximation.py",  # compares a search with another
        "adaptation/consistency.py",  # asks for the very document that a pseudo-query was made from
        "adaptation/proposing.py",  # has no collection yet
        "adaptation/log_labels.py",  # likewise
    }
    searching = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"(retriever|run|fit_\w+\(.*\))\.search\(", path.read_text(encoding="utf-8"))
    }
    assert searching == allowed
