"""Mining: what may never be a negative is none, and the same seed always gives the same groups."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from weakref import ref

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossforge.documents import Document
from crossforge.errors import InputError
from crossforge.files import write_jsonl
from crossforge.runs import Candidate
from crossforge_train.collections.beir import beir_files, write_beir
from crossforge_train.collections.collection import Collection
from crossforge_train.collections.draws import seeded_draw
from crossforge_train.collections.splits import normalized
from crossforge_train.config.mining import MiningConfig
from crossforge_train.config.run import Config
from crossforge_train.mining.copies import CopyDetector
from crossforge_train.mining.counts import ABOVE_MARGIN, COPY, KNOWN_POSITIVE
from crossforge_train.mining.groups import Group, read_groups, stream_groups, write_groups
from crossforge_train.mining.negatives import OWN, Candidates, Mined, Miner, Source, own_negatives
from crossforge_train.mining.teacher import TRUSTED, mine_with_teacher
from crossforge_train.reporting import SilentReporter
from crossforge_train.stage_folders import MinedFolder
from crossforge_train.stages.collect import STAGE as COLLECT
from crossforge_train.stages.mine import STAGE as MINE
from crossforge_train.stages.stage import Context

WORDS = ["oven", "dough", "boat", "sail", "seed", "soil", "bike", "chain", "chord", "piano", "pawn", "rook"]
Run = dict[str, list[Candidate]]


OTHERS = ("run a.trec", "dense b")


class Case(NamedTuple):
    collection: Collection
    candidates: Candidates


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random texts, copies of some of them, queries that share texts and positives, and sources that find anything."""
    texts = draw(
        st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join), min_size=2, max_size=10)
    )
    change = st.sampled_from([str, str.upper, lambda text: text.replace(" ", " - "), lambda text: f"({text})!"])
    copies = [draw(change)(text) for text in draw(st.lists(st.sampled_from(texts), max_size=4))]
    corpus = {f"d{n}": Document(f"d{n}", text, title=f"t{n}") for n, text in enumerate([*texts, *copies])}
    asked = st.sampled_from(["red car", "Red car!", "boat and dough", "sail, seed or soil", "the piano"])
    queries = {f"q{n}": draw(asked) for n in range(draw(st.integers(1, 5)))}
    judged = st.dictionaries(st.sampled_from(list(corpus)), st.integers(0, 3), min_size=1, max_size=4)
    found = st.lists(st.sampled_from(list(corpus)), unique=True).map(
        lambda doc_ids: [Candidate(doc_id, -float(n)) for n, doc_id in enumerate(doc_ids)]
    )
    collection = Collection("any", corpus, queries, {"train": {query_id: draw(judged) for query_id in queries}})
    run = {query_id: draw(found) for query_id in queries}
    lists = st.dictionaries(st.sampled_from(list(queries)), found)
    others = {name: Source(draw(lists), draw(st.integers(1, 2))) for name in OTHERS}
    return Case(collection, Candidates(run, others))


def with_bands(choice: str, hard: int) -> dict:
    """Two bands that hold all hard negatives, where there are two of them."""
    if choice != "stratified" or hard < 2:
        return {"choice": "top" if choice == "stratified" else choice}
    return {
        "choice": choice,
        "bands": ({"first": 1, "last": 3, "negatives": 1}, {"first": 2, "last": 9, "negatives": hard - 1}),
    }


@st.composite
def configs(draw: st.DrawFn) -> MiningConfig:
    """Any choice of negatives, with quotas for other sources where there is room for them."""
    negatives, skip_top = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    hard = draw(st.integers(0, negatives))
    bands = with_bands(draw(st.sampled_from(["top", "sample", "stratified"])), hard)
    left = hard if "bands" not in bands else 0  # bands hold all hard negatives that there are
    quotas = [draw(st.integers(0, left // 2)) for _ in OTHERS]
    sources = [{**dict([name.split(" ")]), "quota": quota} for name, quota in zip(OTHERS, quotas, strict=True) if quota]
    return MiningConfig(
        negatives=negatives, random_negatives=negatives - hard, skip_top=skip_top,
        window=skip_top + draw(st.integers(1, 10)), sources=sources, **bands,
    )  # fmt: skip


SEEDS = st.integers(0, 5)


def mine(collection: Collection, found: Run | Candidates, config: MiningConfig, seed: int) -> Mined:
    """As the stage `mine` does it."""
    query_ids = seeded_draw(sorted(collection.qrels("train")), config.max_queries, seed)
    candidates = found if isinstance(found, Candidates) else Candidates(found, {})
    return Miner(collection, "train", candidates, config, seed).mine(query_ids)


def pairs_of_negatives(groups: list[Group]) -> Iterator[tuple[Group, str]]:
    return (
        (group, doc_id)
        for group in groups
        for doc_id, label in zip(group.doc_ids, group.labels, strict=True)
        if label == 0
    )


def rest(group: Group) -> list[tuple[str, str]]:
    """What a group holds besides its positive and less relevant documents: id and source."""
    pairs = zip(group.doc_ids[1:], group.sources[1:], strict=True)
    return [(doc_id, source) for doc_id, source in pairs if source != "less relevant"]


def judged(collection: Collection, query_id: str) -> list[tuple[str, int]]:
    """All judgements of queries with the same text."""
    text = normalized(collection.queries[query_id])
    return [
        pair
        for other, found in collection.qrels("train").items()
        if normalized(collection.queries[other]) == text
        for pair in found.items()
    ]


def known_positives(collection: Collection, query_id: str) -> set[str]:
    return {doc_id for doc_id, label in judged(collection, query_id) if label > 0}


@given(cases(), configs(), SEEDS)
def test_no_positive_is_ever_a_negative(case: Case, config: MiningConfig, seed: int) -> None:
    collection, found = case
    for group, doc_id in pairs_of_negatives(mine(collection, found, config, seed).groups):
        positives = known_positives(collection, group.query_id)
        assert doc_id not in positives
        copied = {normalized(collection.corpus[positive].text) for positive in positives}
        assert normalized(collection.corpus[doc_id].text) not in copied


class Doubter:
    """A teacher that considers some documents relevant to every query."""

    def __init__(self, doubted: Sequence[str]) -> None:
        self._doubted = doubted

    def can_read(self, query_id: str) -> bool:
        return True

    def read(self, groups: Sequence[Group]) -> None:
        pass

    def scores(self, group: Group) -> list[float]:
        return [0.0 for _ in group.doc_ids]

    def above(self, group: Group, margin: float) -> list[str]:
        pairs = zip(group.doc_ids, group.sources, strict=True)
        return [doc_id for doc_id, source in pairs if source not in TRUSTED and doc_id in self._doubted]


@settings(max_examples=50)
@given(cases(), configs(), SEEDS, st.data())
def test_nor_does_what_the_source_gives_or_a_teacher_says_make_it_one(
    case: Case, config: MiningConfig, seed: int, data: st.DataObject
) -> None:
    queries, qrels = list(case.collection.queries), case.collection.qrels("train")
    some = st.lists(st.sampled_from(list(case.collection.corpus)), unique=True)
    given, own, doubted = (data.draw(one) for one in (st.fixed_dictionaries(dict.fromkeys(queries, some)), some, some))
    own = {query_id: doc_id for query_id, doc_id in zip(queries, own, strict=False) if not qrels[query_id].get(doc_id)}
    collection = replace(case.collection, own_negatives=given, own_documents=own)
    others = {**own_negatives(collection, queries, config.hard), **case.candidates.others}
    miner = Miner(collection, "train", Candidates(case.candidates.first_stage, others), config, seed)
    mined = mine_with_teacher(miner, queries, Doubter(doubted), 0.9, relabel=data.draw(st.booleans()))
    for group, doc_id in pairs_of_negatives(mined.groups):
        assert doc_id != own.get(group.query_id)
        positives = known_positives(collection, group.query_id)
        copied = {normalized(collection.corpus[positive].text) for positive in positives}
        assert normalized(collection.corpus[doc_id].text) not in copied


def test_a_candidate_is_compared_once_with_the_positives_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def is_copy(_: CopyDetector, doc_id: str, of: list[str]) -> bool:
        assert list(of) == positives
        compared.append(doc_id)
        return doc_id == "d9"

    monkeypatch.setattr(CopyDetector, "is_copy", is_copy)
    positives = ["d0", "d1", "d2"]
    collection = Collection(
        "any", {f"d{n}": Document(f"d{n}", f"text {n}") for n in range(10)}, {"q": "piano"},
        {"train": {"q": dict.fromkeys(positives, 1)}},
    )  # fmt: skip
    run = {"q": [Candidate(f"d{n}", float(n)) for n in range(9, 2, -1)]}
    found = mine(collection, run, MiningConfig(negatives=4, random_negatives=0, skip_top=0, window=10), 0)
    assert len(found.groups) == found.counts.dropped[COPY] == 3
    assert len(compared) == len(set(compared))


@given(cases(), configs(), SEEDS)
def test_groups_hold_known_ids_once_and_their_labels_and_ranks(case: Case, config: MiningConfig, seed: int) -> None:
    collection, candidates = case
    for group in mine(collection, candidates, config, seed).groups:
        assert group.query_id in collection.qrels("train")
        assert set(group.doc_ids) <= collection.corpus.keys()
        assert len(set(group.doc_ids)) == len(group.doc_ids) == len(group.labels) == len(group.ranks)
        assert group.labels[0] > 0
        for label, source in list(zip(group.labels, group.sources, strict=True))[1:]:
            assert 0 < label < group.labels[0] if source == "less relevant" else label == 0
        assert list(group.sources).count("less relevant") <= config.hard // 2
        assert list(group.labels) == sorted(group.labels, reverse=True)
        found = [candidate.doc_id for candidate in candidates.first_stage[group.query_id]]
        assert list(group.ranks) == [found.index(one) + 1 if one in found else 0 for one in group.doc_ids]


@given(cases(), configs(), SEEDS)
def test_every_positive_has_one_full_group_unless_the_corpus_is_too_small(
    case: Case, config: MiningConfig, seed: int
) -> None:
    collection, found = case
    mined = mine(collection, found, config, seed)
    relevant = [(key, one) for key, judged in collection.qrels("train").items() for one in judged if judged[one] > 0]
    assert sorted((group.query_id, group.doc_ids[0]) for group in mined.groups) == sorted(relevant)
    copies = CopyDetector(collection.corpus, config.near_copy)
    for group in mined.groups:
        positives = known_positives(collection, group.query_id)
        usable = [one for one in collection.corpus if one not in positives and not copies.is_copy(one, positives)]
        graded = list(group.sources).count("less relevant")
        assert len(group.doc_ids) == 1 + min(config.negatives, graded + len(usable))
    short = sum(len(group.doc_ids) <= config.negatives for group in mined.groups)
    assert mined.counts.too_few == short


@given(cases(), configs(), SEEDS)
def test_every_negative_comes_from_where_its_group_says_and_no_source_exceeds_its_quota(
    case: Case, config: MiningConfig, seed: int
) -> None:
    collection, candidates = case
    quotas = {name: source.quota for name, source in candidates.others.items()}
    for group in mine(collection, candidates, config, seed).groups:
        named = [source for _, source in rest(group)]
        first_stage = [found.doc_id for found in candidates.first_stage[group.query_id]]
        allowed = {
            "judged": collection.corpus,
            "random": collection.corpus,
            "first stage": {
                *first_stage[config.skip_top : config.window],
                *(doc_id for band in config.bands for doc_id in first_stage[band.first - 1 : band.last]),
            },
            **{
                name: [found.doc_id for found in candidates.others[name].run.get(group.query_id, [])][: config.window]
                for name in quotas
            },
        }
        assert all(doc_id in allowed[name] for doc_id, name in rest(group))
        assert all(named.count(name) <= quota for name, quota in quotas.items())
        assert len(named) - named.count("random") <= config.hard
        assert named == sorted(named, key=["judged", *quotas, "first stage", "random"].index)


@given(cases(), configs(), SEEDS)
def test_what_was_judged_0_comes_first(case: Case, config: MiningConfig, seed: int) -> None:
    collection, candidates = case
    copies = CopyDetector(collection.corpus, config.near_copy)
    for group in mine(collection, candidates, config, seed).groups:
        positives = known_positives(collection, group.query_id)
        known = {doc_id for doc_id, _ in judged(collection, group.query_id)} - positives
        usable = {doc_id for doc_id in known if not copies.is_copy(doc_id, positives)}
        graded = list(group.sources).count("less relevant")
        first = rest(group)[: min(len(usable), config.hard - graded)]
        assert [source for _, source in first] == ["judged"] * len(first)
        assert {doc_id for doc_id, _ in first} <= usable


def of_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(max_examples=30)
@given(cases(), configs(), SEEDS)
def test_the_same_seed_gives_the_same_file_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, case: Case, config: MiningConfig, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    for name in ("one", "two"):
        write_groups(folder / name, mine(*case, config, seed).groups)
    assert of_files(folder / "one") == of_files(folder / "two")


@given(cases(), configs(), SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_documents_queries_and_judgements_decides_nothing(
    case: Case, config: MiningConfig, seed: int, shuffle: random.Random
) -> None:
    def shuffled(mapping: Mapping) -> dict:
        items = list(mapping.items())
        shuffle.shuffle(items)
        return dict(items)

    collection, found = case
    qrels = {query_id: shuffled(judged) for query_id, judged in shuffled(collection.qrels("train")).items()}
    other = Collection("any", shuffled(collection.corpus), shuffled(collection.queries), {"train": qrels})
    assert mine(other, found, config, seed) == mine(collection, found, config, seed)


def mined_from_files(folder: Path, mining: MiningConfig, seed: int) -> bytes:
    """What the stages `collect` and `mine` make of the files of a collection, or why they refuse it."""
    with tempfile.TemporaryDirectory() as runs:
        mining = mining.model_copy(update={"sources": (), "teacher": None})
        config = Config(
            name="any", runs=Path(runs), seed=seed, collection={"beir": folder, "dev": "dev"},
            first_stage={"kind": "lexical", "analyzer": "word", "depth": 4}, mining=mining,
        )  # fmt: skip
        for stage in (COLLECT, MINE):
            (config.folder / stage.name).mkdir(parents=True)
            try:
                stage.run(Context(config, SilentReporter(), config.folder / stage.name))
            except InputError as error:
                return str(error).encode()
        return b"".join(of_files(config.folder / "mine" / "groups").values())


@settings(max_examples=30)
@given(cases(), configs(), SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_lines_decides_nothing_even_where_documents_score_alike(
    tmp_path_factory: pytest.TempPathFactory, case: Case, config: MiningConfig, seed: int, shuffle: random.Random
) -> None:
    found = case.collection
    everything = " ".join(document.full_text for document in found.corpus.values())
    queries = {**found.queries, "held": f"held out {everything}", "kept": f"kept away {everything}"}
    splits = {**found.splits, "dev": {"held": {"d0": 1}}, "test": {"kept": {"d1": 1}}}
    folder = tmp_path_factory.mktemp("files")
    write_beir(folder, Collection("any", found.corpus, queries, splits))
    before = mined_from_files(folder, config, seed)
    for path in beir_files(folder):
        lines = path.read_text().splitlines()
        header = lines[: path.suffix == ".tsv"]
        rest = lines[len(header) :]
        shuffle.shuffle(rest)
        path.write_text("\n".join([*header, *rest]) + "\n")
    assert mined_from_files(folder, config, seed) == before


def plain_collection(documents: int = 60, judged: dict[str, int] | None = None) -> tuple[Collection, Run]:
    """One query; the first stage finds d0, d1, … in this order, and no two documents have a word in common."""
    corpus = {f"d{n}": Document(f"d{n}", f"a{n} b{n} c{n} d{n}") for n in range(documents)}
    qrels = {"q": judged or {"d0": 1}}
    run = {"q": [Candidate(doc_id, 1 / (1 + n)) for n, doc_id in enumerate(corpus)][:50]}
    return Collection("plain", corpus, {"q": "what"}, {"train": qrels}), run


def mined_group(made: tuple[Collection, Run], seed: int = 0, **settings_: object) -> Group:
    (group,) = mine(made[0], made[1], MiningConfig(**settings_), seed).groups
    return group


def test_top_takes_the_highest_ranks_below_the_skipped_ones() -> None:
    group = mined_group(plain_collection(), choice="top", negatives=3, skip_top=4)
    assert list(group.doc_ids) == ["d0", "d4", "d5", "d6"]
    assert list(group.ranks) == [1, 5, 6, 7]


def test_sample_draws_from_the_whole_window_and_from_nothing_else() -> None:
    made = plain_collection()
    drawn = {
        rank for seed in range(60) for rank in mined_group(made, seed, negatives=3, skip_top=5, window=12).ranks[1:]
    }
    assert drawn == set(range(6, 13))


def test_stratified_takes_so_many_from_each_band() -> None:
    bands = ({"first": 2, "last": 6, "negatives": 2}, {"first": 20, "last": 40, "negatives": 3})
    made = plain_collection()
    drawn = [
        mined_group(made, seed, negatives=6, random_negatives=1, choice="stratified", bands=bands) for seed in range(9)
    ]
    for group in drawn:
        ranks = [rank for rank, source in zip(group.ranks, group.sources, strict=True) if source == "first stage"]
        assert (sum(2 <= rank <= 6 for rank in ranks), sum(20 <= rank <= 40 for rank in ranks)) == (2, 3)
    assert len({tuple(group.doc_ids[1:6]) for group in drawn}) > 1


def test_a_band_that_is_exhausted_is_filled_from_the_window_and_then_at_random() -> None:
    bands = ({"first": 1, "last": 2, "negatives": 2},)
    group = mined_group(plain_collection(), negatives=2, window=5, choice="stratified", bands=bands)
    assert group.doc_ids[1] == "d1"  # d0, the other document of the band, is the positive
    assert group.ranks[2] in range(3, 6)


def test_other_sources_have_their_quota_and_the_first_stage_the_rest() -> None:
    collection, run = plain_collection()
    found = [Candidate(f"d{n}", 1.0) for n in (0, 58, 59)]
    others = {"run a.trec": Source({"q": found}, 2), "dense b": Source({"q": []}, 1)}
    config = MiningConfig(
        negatives=4, choice="top", sources=({"run": "a.trec", "quota": 2}, {"dense": "b", "quota": 1})
    )
    (group,) = Miner(collection, "train", Candidates(run, others), config, 0).mine(["q"]).groups
    assert list(group.doc_ids) == ["d0", "d58", "d59", "d1", "d2"]
    assert list(group.sources) == ["positive", "run a.trec", "run a.trec", "first stage", "first stage"]
    assert list(group.ranks) == [1, 0, 0, 2, 3]


def test_own_negatives_come_first_whatever_the_window_and_no_positive_is_one_of_them() -> None:
    collection, run = plain_collection(judged={"d0": 1, "d5": 1})
    collection = replace(collection, own_negatives={"q": ["d41", "d5", "d40"], "elsewhere": ["d1"]})
    config = MiningConfig(negatives=4, choice="top", skip_top=2, window=3)
    others = own_negatives(collection, ["q"], config.hard)
    mined = mine(collection, Candidates(run, others), config, 0)
    for group in mined.groups:
        assert list(zip(group.doc_ids[1:4], group.sources[1:4], strict=True)) == [
            ("d41", OWN),
            ("d40", OWN),
            ("d2", "first stage"),
        ]
        assert group.labels[1:4] == [0, 0, 0]
    assert mined.counts.negatives == {OWN: 4, "first stage": 2, "random": 2}
    assert own_negatives(collection, ["other"], 4) == {}


def test_a_teacher_may_doubt_an_own_negative_as_nobody_need_have_judged_it() -> None:
    collection, run = plain_collection()
    collection = replace(collection, own_negatives={"q": ["d41", "d40"]})
    config = MiningConfig(negatives=2, choice="top")
    miner = Miner(collection, "train", Candidates(run, own_negatives(collection, ["q"], 2)), config, 0)
    assert OWN not in TRUSTED
    assert "d41" not in miner.mine_query("q", {"d41"}).groups[0].doc_ids


def test_a_group_holds_lower_grades_of_its_query_so_that_they_can_be_told_apart() -> None:
    collection, run = plain_collection()
    graded = replace(collection, splits={"train": {"q": {"d0": 3, "d5": 1, "d7": 2, "d9": 1}}})
    config = MiningConfig(negatives=4, choice="top")
    groups = {
        group.doc_ids[0]: group for group in Miner(graded, "train", Candidates(run, {}), config, 0).mine(["q"]).groups
    }
    assert [groups[key].labels[0] for key in ("d0", "d7", "d5", "d9")] == [3, 2, 1, 1]
    assert sum(label in (1, 2) for label in groups["d0"].labels) == 2
    assert {*groups["d7"].doc_ids} & {"d0", "d5", "d9"} == {"d5", "d9"}
    assert not any(groups["d5"].labels[1:])


def test_doubtful_documents_are_left_out_unless_somebody_judged_them() -> None:
    collection, run = plain_collection(judged={"d0": 1, "d3": 0})
    config = MiningConfig(negatives=3, choice="top")
    mined = Miner(collection, "train", Candidates(run, {}), config, 0).mine_query("q", {"d1", "d3"})
    assert list(mined.groups[0].doc_ids) == ["d0", "d3", "d2", "d4"]
    assert mined.counts.dropped[ABOVE_MARGIN] == 1


def test_without_the_safeguard_copies_are_mined() -> None:
    collection, run = plain_collection()
    corpus = {**collection.corpus, "d1": Document("d1", collection.corpus["d0"].text.upper())}
    made = Collection("plain", corpus, collection.queries, collection.splits), run
    assert "d1" in mined_group(made, choice="top", negatives=2, near_copy=None).doc_ids
    assert "d1" not in mined_group(made, choice="top", negatives=2).doc_ids


def test_judged_zeros_come_first_in_the_order_of_their_ranks() -> None:
    made = plain_collection(judged={"d0": 1, "d55": 0, "d40": 0, "d20": 0})
    group = mined_group(made, choice="top", negatives=4)
    assert list(group.doc_ids) == ["d0", "d20", "d40", "d55", "d1"]


def test_random_negatives_come_last_and_are_as_many_as_asked_for() -> None:
    made = plain_collection(documents=500)
    group = mined_group(made, negatives=4, random_negatives=2, choice="top")
    assert list(group.doc_ids[:3]) == ["d0", "d1", "d2"]
    assert len(group.doc_ids) == 5
    other = mined_group(made, 1, negatives=4, random_negatives=2, choice="top")
    assert other.doc_ids[3:] != group.doc_ids[3:]


def test_random_documents_fill_up_what_the_first_stage_leaves_open() -> None:
    collection, _ = plain_collection()
    mined = mine(collection, {"q": [Candidate("d3", 1.0)]}, MiningConfig(negatives=4), 0)
    assert mined.groups[0].doc_ids[1] == "d3"
    assert len(mined.groups[0].doc_ids) == 5
    assert mined.counts.filled_up == 1


def test_a_group_is_full_where_most_of_the_corpus_copies_the_positive() -> None:
    copies = {f"c{n:03}": Document(f"c{n:03}", "one text that stands there again and again") for n in range(300)}
    others = {f"d{n}": Document(f"d{n}", f"a{n} b{n} c{n}") for n in range(5)}
    collection = Collection("copies", {**copies, **others}, {"q": "what"}, {"train": {"q": {"c000": 1}}})
    assert len(mined_group((collection, {"q": []}), negatives=3).doc_ids) == 4


def test_graded_labels_are_kept_and_each_positive_has_its_group() -> None:
    made = plain_collection(judged={"d1": 1, "d2": 3, "d3": 2})
    groups = mine(made[0], made[1], MiningConfig(negatives=2), 0).groups
    assert [(group.doc_ids[0], group.labels[0]) for group in groups] == [("d2", 3), ("d3", 2), ("d1", 1)]


def test_counts_say_what_was_dropped() -> None:
    collection, run = plain_collection(judged={"d0": 1, "d2": 1})
    corpus = {**collection.corpus, "d1": Document("d1", collection.corpus["d0"].text.upper())}
    collection = Collection("plain", corpus, collection.queries, collection.splits)
    counts = mine(collection, run, MiningConfig(negatives=2, choice="top"), 0).counts
    assert counts.groups == 2
    assert counts.dropped[KNOWN_POSITIVE] == 2  # each group passes over the other one's positive
    assert counts.dropped[COPY] == 2
    assert counts.negatives["first stage"] == 4


def test_max_queries_bounds_the_queries_by_a_seeded_draw() -> None:
    corpus = {f"d{n}": Document(f"d{n}", f"a{n} b{n} c{n}") for n in range(30)}
    queries = {f"q{n:02}": f"query {n}" for n in range(20)}
    collection = Collection("any", corpus, queries, {"train": {key: {"d0": 1} for key in queries}})

    def drawn(seed: int) -> list[str]:
        return [group.query_id for group in mine(collection, {}, MiningConfig(max_queries=7), seed).groups]

    assert len(drawn(1)) == 7
    assert drawn(1) == sorted(drawn(1))
    assert drawn(1) != drawn(2)


@given(
    st.lists(st.text("abc", max_size=3), unique=True), st.none() | st.integers(1, 5), st.randoms(use_true_random=False)
)
def test_seeded_draw_do_not_depend_on_the_order_and_keep_it(
    query_ids: list[str], limit: int | None, shuffle: random.Random
) -> None:
    shuffled = list(query_ids)
    shuffle.shuffle(shuffled)
    drawn = seeded_draw(query_ids, limit, 3)
    assert set(drawn) == set(seeded_draw(shuffled, limit, 3))
    assert drawn == [query_id for query_id in query_ids if query_id in drawn]
    assert len(drawn) == min(len(query_ids), limit or len(query_ids))


def test_groups_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    groups = [
        Group("q", ["a", "b"], [2, 0], [1, 0], [0.5, 0.25], ["positive", "judged"]),
        Group("r", ["c"], [1], [3], [], []),
    ]
    write_groups(tmp_path / "groups", groups)
    assert read_groups(tmp_path / "groups") == groups


FLOATS = st.floats(allow_nan=False)


@st.composite
def any_groups(draw: st.DrawFn) -> Group:
    """A group with and without what may be left out, and with scores that are not known."""
    number = draw(st.integers(0, 4))
    some = partial(st.lists, min_size=number, max_size=number)
    integers = some(st.integers(-(2**63), 2**63 - 1))
    return Group(
        draw(st.text()), draw(some(st.text())), draw(integers), draw(integers),
        draw(st.just([]) | some(FLOATS | st.none())), draw(st.just([]) | some(st.text())),
    )  # fmt: skip


@given(st.lists(any_groups(), max_size=12), st.integers(1, 4), st.integers(1, 3))
def test_any_groups_are_read_back_from_however_many_files(found: list[Group], batch: int, batches: int) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossforge_train.mining.groups._BATCH", batch)
        patch.setattr("crossforge_train.mining.groups._BATCHES", batches)
        folder = Path(name) / "groups"
        write_groups(folder, iter(found))
        assert len(of_files(folder)) == -(-len(found) // (batch * batches))
        assert read_groups(folder) == found


def test_groups_are_written_and_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossforge_train.mining.groups._BATCH", 2)
    monkeypatch.setattr("crossforge_train.mining.groups._BATCHES", 3)
    given: list[ref[Group]] = []

    def counted() -> Iterator[Group]:
        for number in range(100):
            group = Group(f"q{number}", ["a"], [1], [1])
            given.append(ref(group))
            assert sum(one() is not None for one in given) < 8
            yield group

    write_groups(tmp_path / "groups", counted())
    (tmp_path / "groups" / "part-00001.parquet").write_bytes(b"nothing is read of it before its turn")
    assert [group.query_id for group in islice(stream_groups(tmp_path / "groups"), 6)] == [f"q{n}" for n in range(6)]


def test_a_file_that_holds_no_groups_is_named(tmp_path: Path) -> None:
    write_groups(tmp_path / "groups", [Group("q", ["a"], [1], [1])])
    path = tmp_path / "groups" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"part-00000\.parquet: damaged \(") as told:
        read_groups(path.parent)
    assert "\n" not in str(told.value)
    pq.write_table(pa.table({"query_id": ["q"]}), path)
    with pytest.raises(InputError, match=r"part-00000\.parquet: holds no groups$"):
        read_groups(path.parent)
    with pytest.raises(InputError, match="no such file"):
        read_groups(tmp_path / "none")


def test_names_that_are_no_unicode_can_be_written(tmp_path: Path) -> None:
    write_groups(tmp_path / "groups", [Group("q", ["a"], [1], [1], sources=["run \udce9"])])
    assert read_groups(tmp_path / "groups")[0].sources == ["run ?"]


def test_groups_of_earlier_versions_are_read(tmp_path: Path) -> None:
    found = [Group("q", ["a", "b"], [2, 0], [1, 0], [0.1, -0.25], ["positive", "judged"]), Group("ü", ["c"], [1], [3])]
    write_jsonl(tmp_path / "groups.jsonl", [asdict(group) for group in found])
    assert [asdict(group) for group in MinedFolder(tmp_path).groups()] == [
        {**asdict(group), "teacher": list(group.teacher), "sources": list(group.sources)} for group in found
    ]
    MinedFolder(tmp_path).save_groups(found[:1])
    assert list(MinedFolder(tmp_path).groups()) == found[:1]


def test_a_line_that_is_no_group_is_named(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text('{"query_id": "q", "doc_ids": ["a"], "labels": [1], "ranks": [1]}\n{"query": "x"}\n')
    with pytest.raises(InputError, match="line 2: not a group"):
        read_groups(path)
