"""A cross-encoder as teacher: what it takes for relevant is no negative."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import toy_config

from crossforge.calibration import Calibrator
from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.manifest import Manifest
from crossforge.reranker import Scored
from crossforge.runs import Candidate
from crossforge_train.collections.collection import JUDGED_BY, Collection
from crossforge_train.config.loading import load_config
from crossforge_train.config.mining import MiningConfig
from crossforge_train.mining.counts import ABOVE_MARGIN
from crossforge_train.mining.cross_encoder import CrossEncoderTeacher
from crossforge_train.mining.groups import Group, read_groups
from crossforge_train.mining.negatives import Candidates, Mined, Miner, joined
from crossforge_train.mining.teacher import mine_with_teacher
from crossforge_train.reporting import SilentReporter
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages.mine import STAGE as MINE
from crossforge_train.stages.recipe import STAGES
from crossforge_train.stages.runner import run_stages


class FakeReranker:
    """Knows the logit of each text by its number."""

    def __init__(self, logits: dict[int, float]) -> None:
        self.logits = logits
        self.asked = 0
        self.manifest = Manifest("fake", 64, Calibrator())
        self.tokenizer = self

    def fits(self, query: str) -> bool:
        return query != "endless"

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Scored:
        self.asked += len(pairs)
        logits = [self.logits.get(int(text.removeprefix("text")), -9.0) for _, text in pairs]
        return Scored(np.array(logits, dtype=np.float32), [False] * len(logits))


def mined_with(
    logits: dict[int, float], *, query: str = "what", relabel: bool = False, judge: str = "", **settings: object
) -> Mined:
    corpus = {f"d{n}": Document(f"d{n}", f"text{n}") for n in range(30)}
    fields = {"q": {JUDGED_BY: judge}} if judge else {}
    collection = Collection("any", corpus, {"q": query}, {"train": {"q": {"d0": 2, "d9": 0}}}, fields)
    run = {"q": [Candidate(f"d{n}", -float(n)) for n in range(20)]}
    config = MiningConfig(**{"negatives": 3, "choice": "top", **settings})
    teacher = CrossEncoderTeacher(FakeReranker(logits), collection, SilentReporter())
    miner = Miner(collection, "train", Candidates(run, {}), config, 0)
    return mine_with_teacher(miner, ["q"], teacher, config.teacher_margin, relabel=relabel)


def test_candidates_above_the_margin_make_room_for_the_next_ones() -> None:
    (group,) = mined_with({0: 2.0, 1: 3.0, 2: 1.9, 3: 1.0, 4: 4.0}).groups
    # sigmoid(1.9) is above .95 · sigmoid(2), sigmoid(1) is not; d9 is judged, whatever the teacher says.
    assert list(group.doc_ids) == ["d0", "d9", "d3", "d5"]
    assert list(group.teacher) == [2.0, -9.0, 1.0, -9.0]


def test_the_margin_holds_for_negative_logits_too() -> None:
    # .95 times a logit of -2 would be -1.9: every candidate between would pass, and so would a better one.
    (group,) = mined_with({0: -2.0, 1: -1.95, 2: -2.01, 3: -3.0}).groups
    assert list(group.doc_ids) == ["d0", "d9", "d3", "d4"]


def test_a_judged_document_is_trusted_more_than_the_teacher() -> None:
    (group,) = mined_with({0: 0.0, 9: 9.0}).groups
    assert group.doc_ids[1] == "d9"


@pytest.mark.parametrize("judge", ["the language model x", "clicks"])
def test_a_label_of_a_machine_or_of_clicks_is_not(judge: str) -> None:
    mined = mined_with({0: 0.0, 9: 9.0}, judge=judge)
    assert list(mined.groups[0].doc_ids) == ["d0", "d1", "d2", "d3"]
    assert mined.counts.dropped == {ABOVE_MARGIN: 1}
    (group,) = mined_with({0: 0.0}, judge=judge).groups
    assert list(zip(group.doc_ids, group.sources, strict=True))[1] == ("d9", "graded")


def test_relabelled_candidates_keep_their_place_with_the_label_of_the_positive() -> None:
    mined = mined_with({0: 2.0, 1: 3.0}, relabel=True)
    assert list(mined.groups[0].doc_ids) == ["d0", "d9", "d1", "d2"]
    assert list(mined.groups[0].labels) == [2, 0, 2, 0]
    assert mined.counts.relabelled == 1


def test_a_document_is_not_relabelled_in_one_group_of_a_query_alone() -> None:
    corpus = {f"d{n}": Document(f"d{n}", f"text{n}") for n in range(9)}
    collection = Collection("any", corpus, {"q": "what"}, {"train": {"q": {"d0": 1, "d1": 1}}})
    config = MiningConfig(negatives=2, choice="top")
    teacher = CrossEncoderTeacher(FakeReranker({0: 3.0, 1: 0.0, 2: 1.0}), collection, SilentReporter())
    candidates = Candidates({"q": [Candidate(f"d{n}", -float(n)) for n in range(5)]}, {})
    miner = Miner(collection, "train", candidates, config, 0)
    mined = mine_with_teacher(miner, ["q"], teacher, 0.95, relabel=True)
    assert [dict(zip(group.doc_ids, group.labels, strict=True))["d2"] for group in mined.groups] == [1, 1]


def test_what_embeds_depends_on_how_it_reads(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    mining = {"sources": [{"dense": str(tiny_encoder)}]}
    prints = []
    for length in (48, 64):
        path = toy_config(
            tmp_path,
            toy_collection,
            tiny_encoder,
            mining=mining,
            first_stage={"kind": "lexical", "encoder_max_length": length},
        )
        prints.append(MINE.depends_on(load_config(path)))
    assert prints[0] != prints[1]


def test_without_a_margin_all_pass_and_the_scores_are_kept() -> None:
    (group,) = mined_with({0: 2.0, 1: 3.0}, teacher_margin=None).groups
    assert list(group.teacher) == [2.0, -9.0, 3.0, -9.0]


def test_a_teacher_that_takes_everything_for_relevant_leaves_random_documents() -> None:
    (group,) = mined_with(dict.fromkeys(range(30), 5.0)).groups
    assert list(group.sources) == ["positive", "judged", "random", "random"]


def test_a_query_that_the_teacher_cannot_read_is_left_out_and_counted() -> None:
    mined = mined_with({}, query="endless")
    assert mined.groups == []
    assert mined.counts.unreadable == 1


def test_a_package_can_be_the_teacher(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, toy_package: Path
) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining={"teacher": str(toy_package)}))
    run_stages(config, STAGES[: STAGES.index(MINE) + 1], SilentReporter())
    groups = read_groups(config.folder / "mine" / "groups")
    assert all(len(group.teacher) == len(group.doc_ids) == 4 for group in groups)
    suspects = (config.folder / "mine" / "suspects.tsv").read_text().splitlines()
    assert suspects[0].split("\t")[:5] == ["query_id", "doc_id", "query", "title", "text"]
    suspicions = [float(line.split("\t")[-1]) for line in suspects[1:]]
    assert suspicions == sorted(suspicions, reverse=True)


def test_a_hybrid_first_stage_gives_negatives_from_both_lists(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, first_stage={"kind": "hybrid"}))
    run_stages(config, STAGES[:2], SilentReporter())
    groups = read_groups(config.folder / "mine" / "groups")
    assert {group.sources[1] for group in groups} == {"dense"}
    assert {group.sources[2] for group in groups} == {"first stage"}


def test_the_teachers_scores_are_the_cosines_of_the_base_model(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    config = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining={"teacher": "base"}))
    run_stages(config, STAGES[:2], SilentReporter())
    collection = RunFolder(config.folder).collected.collection()
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    for group in read_groups(config.folder / "mine" / "groups")[:3]:
        query = model.encode_query(collection.queries[group.query_id])
        documents = model.encode_document([collection.corpus[doc_id].full_text for doc_id in group.doc_ids])
        assert group.teacher == pytest.approx(model.similarity(query, documents)[0].tolist(), abs=2e-3)


def test_sources_of_a_config_reach_the_groups(tmp_path: Path, toy_collection: Path, tiny_encoder: Path) -> None:
    from crossforge.runs import write_run
    from crossforge_train.collections.beir import read_beir

    collection = read_beir(toy_collection)
    every = list(collection.corpus)[::-1]
    write_run(
        tmp_path / "other.trec",
        {
            query_id: [Candidate(doc_id, 1 / (n + 1)) for n, doc_id in enumerate(every)]
            for query_id in collection.queries
        },
        "other",
    )
    sources = [{"run": str(tmp_path / "other.trec")}, {"dense": str(tiny_encoder)}]
    path = toy_config(tmp_path, toy_collection, tiny_encoder, mining={"sources": sources, "choice": "top"})
    config = load_config(path)
    run_stages(config, STAGES[:2], SilentReporter())
    groups: list[Group] = read_groups(config.folder / "mine" / "groups")
    queries = RunFolder(config.folder).collected.collection().qrels("train")
    assert [group.query_id for group in groups] == sorted(queries)
    assert all(list(group.sources[1:]) == ["run other.trec", "dense tiny", "first stage"] for group in groups)


def test_a_run_that_is_not_there_is_told_before_anything_runs(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path
) -> None:
    path = toy_config(tmp_path, toy_collection, tiny_encoder, mining={"sources": [{"run": "none.trec"}]})
    with pytest.raises(InputError, match=r"mining.sources: none\.trec: no such TREC run file"):
        run_stages(load_config(path), STAGES[:2], SilentReporter())


@pytest.mark.parametrize(
    ("mining", "message"),
    [
        ({"choice": "stratified"}, "bands and choice: stratified belong together"),
        ({"sources": [{"run": "a", "dense": "b"}]}, "exactly one of run .* and dense"),
        ({"sources": [{"dense": "b", "quota": 9}]}, r"the quotas of sources \(9\) are more than"),
        (
            {"choice": "stratified", "bands": [{"first": 1, "last": 5, "negatives": 1}]},
            "the bands hold 1 negatives, but 3 are to come",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_told(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, mining: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining=mining))


@st.composite
def scored(draw: st.DrawFn) -> tuple[Collection, Candidates, FakeReranker]:
    """Queries with several positives, a first stage that finds anything, and a teacher that says anything."""
    corpus = {f"d{n}": Document(f"d{n}", f"text{n}") for n in range(12)}
    doc_ids = st.sampled_from(list(corpus))
    qrels = {
        f"q{n}": draw(st.dictionaries(doc_ids, st.integers(0, 2), min_size=1, max_size=4))
        for n in range(draw(st.integers(1, 4)))
    }
    queries = {query_id: draw(st.sampled_from(["what", f"why {query_id}", "endless"])) for query_id in qrels}
    run = {
        query_id: [Candidate(doc_id, 1.0) for doc_id in draw(st.lists(doc_ids, unique=True))] for query_id in queries
    }
    logits = draw(st.dictionaries(st.integers(0, 11), st.integers(-3, 3).map(float)))
    return Collection("any", corpus, queries, {"train": qrels}), Candidates(run, {}), FakeReranker(logits)


@given(scored(), st.sampled_from(["top", "sample"]), st.integers(0, 3))
def test_mining_only_what_became_doubtful_again_gives_what_mining_everything_again_would(
    made: tuple[Collection, Candidates, FakeReranker], choice: str, seed: int
) -> None:
    collection, candidates, reranker = made
    config, query_ids = MiningConfig(negatives=3, choice=choice), list(collection.queries)
    teacher = CrossEncoderTeacher(reranker, collection, SilentReporter())
    doubtful: dict[str, set[str]] = {query_id: set() for query_id in query_ids}
    settled = False
    while not settled:
        anew = Miner(collection, "train", candidates, config, seed)
        whole = joined(anew.mine_query(query_id, doubtful[query_id]) for query_id in query_ids)
        read = [group for group in whole.groups if teacher.can_read(group.query_id)]
        teacher.read(read)
        settled = True
        for group in read:
            if above := teacher.above(group, 0.95):
                doubtful[group.query_id].update(above)
                settled = False
    expected = [replace(group, teacher=teacher.scores(group)) for group in read]

    miner = Miner(collection, "train", candidates, config, seed)
    passes: Counter[str] = Counter()
    with patch.object(miner, "mine_query", lambda *found: passes.update(found[:1]) or Miner.mine_query(miner, *found)):
        mined = mine_with_teacher(miner, query_ids, teacher, 0.95, relabel=False)
    assert mined.groups == expected
    left_out = mined.counts.unreadable
    assert left_out == len(whole.groups) - len(read)
    assert replace(mined.counts, unreadable=0) == replace(whole.counts, unreadable=0)
    assert all((passes[query_id] > 1) == bool(doubtful[query_id]) for query_id in query_ids)
