"""Several teachers as one: what is averaged, on whose scale, and which negatives it keeps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Recorder, toy_config

from crossforge.errors import InputError
from crossforge_train.config.loading import load_config
from crossforge_train.config.mining import MiningConfig
from crossforge_train.config.run import Config
from crossforge_train.mining.averaged import AveragedTeacher
from crossforge_train.mining.groups import Group
from crossforge_train.mining.scores import read_scores
from crossforge_train.mining.teacher import ProbabilisticTeacher, Teacher
from crossforge_train.run_folder import RunFolder
from crossforge_train.stages import collect, mine
from crossforge_train.stages.runner import run_stages


class Scores:
    """A teacher that knows scores by query and document, and no probabilities."""

    def __init__(self, scores: Mapping[str, Mapping[str, float]], unreadable: Sequence[str] = ()) -> None:
        self.known = scores
        self.unreadable = unreadable
        self.read_groups: list[Group] = []

    def can_read(self, query_id: str) -> bool:
        return query_id not in self.unreadable

    def read(self, groups: Sequence[Group]) -> None:
        self.read_groups += groups

    def scores(self, group: Group) -> list[float]:
        return [self.known[group.query_id][doc_id] for doc_id in group.doc_ids]

    def above(self, group: Group, margin: float) -> list[str]:
        return []


class Probabilities(Scores):
    """Its scores are probabilities."""

    def probabilities(self, group: Group) -> np.ndarray | None:
        return np.array(self.scores(group))


class Named(Scores):
    """Names what is above the margin, and no probabilities."""

    def above(self, group: Group, margin: float) -> list[str]:
        return ["c"]


def group(*doc_ids: str, query_id: str = "q") -> Group:
    count = len(doc_ids)
    sources = ["positive", *["first stage"] * (count - 1)]
    return Group(query_id, doc_ids, [1, *[0] * (count - 1)], [0] * count, sources=sources)


def averaged(teachers: Sequence[Teacher], weights: Sequence[float], *groups: Group) -> AveragedTeacher:
    found = AveragedTeacher(teachers, weights)
    found.read(groups)
    return found


def z(values: Sequence[float]) -> np.ndarray:
    return (np.array(values) - np.mean(values)) / np.std(values)


def test_scores_are_standardised_by_query_and_averaged_on_the_first_ones_scale() -> None:
    first = {"q": {"a": 0.9, "b": 0.5, "c": 0.1}, "r": {"a": 0.2, "b": 0.4, "c": 0.3}}
    second = {"q": {"a": -10.0, "b": 30.0, "c": 10.0}, "r": {"a": 700.0, "b": 100.0, "c": 100.0}}
    groups = [group("a", "b", "c"), group("b", "a", "c", query_id="r")]
    found = averaged([Scores(first), Scores(second)], [1, 3], *groups)
    usual = np.sqrt((np.var([0.9, 0.5, 0.1]) + np.var([0.2, 0.4, 0.3])) / 2)
    q = 0.5 + usual * (0.25 * z([0.9, 0.5, 0.1]) + 0.75 * z([-10, 30, 10]))
    r = 0.3 + usual * (0.25 * z([0.4, 0.2, 0.3]) + 0.75 * z([100, 700, 100]))
    assert found.scores(groups[0]) == pytest.approx(q.tolist(), abs=1e-4)
    assert found.scores(groups[1]) == pytest.approx(r.tolist(), abs=1e-4)


def test_a_document_has_one_score_in_all_groups_of_its_query_and_all_that_was_read_counts() -> None:
    scores = [{"q": {"a": 3.0, "b": 1.0, "c": 0.0, "d": 9.0}}, {"q": {"a": 0.1, "b": 0.3, "c": 0.2, "d": 0.9}}]
    found = AveragedTeacher([Scores(known) for known in scores], [1, 1])
    found.read([group("a", "c"), group("b", "c")])
    before = found.scores(group("a", "c")) + found.scores(group("b", "c"))
    assert before[1] == before[3]
    found.read([group("a", "d")])
    every = [[known["q"][doc_id] for doc_id in "abcd"] for known in scores]
    expected = np.mean(every[0]) + np.std(every[0]) * (z(every[0]) + z(every[1])) / 2
    assert found.scores(group("a", "b", "c")) == pytest.approx(expected[:3].tolist(), abs=1e-4)
    assert found.scores(group("a", "c")) != before[:2]


@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True),
    st.integers(1, 1000),
    st.integers(-1000, 1000),
)
def test_another_scale_of_the_others_changes_nothing(scores: list[int], factor: int, shift: int) -> None:
    doc_ids = [f"d{n}" for n in range(len(scores))]
    one, first = group(*doc_ids), {"q": {doc_id: float(n % 3) for n, doc_id in enumerate(doc_ids)}}
    plain = {"q": dict(zip(doc_ids, map(float, scores), strict=True))}
    scaled = {"q": {doc_id: factor * score + shift for doc_id, score in plain["q"].items()}}
    both = [averaged([Scores(first), Scores(known)], [1, 1], one).scores(one) for known in (plain, scaled)]
    assert both[0] == pytest.approx(both[1], abs=2e-4)


def test_teachers_that_agree_count_more_than_those_that_do_not() -> None:
    one, up = group("a", "b", "c"), {"a": 3.0, "b": 2.0, "c": 1.0}
    down = {doc_id: -score for doc_id, score in up.items()}
    alone = Scores({"q": up}).scores(one)
    assert averaged([Scores({"q": up}), Scores({"q": up})], [1, 1], one).scores(one) == alone
    assert averaged([Scores({"q": up}), Scores({"q": down})], [1, 1], one).scores(one) == [2, 2, 2]


def test_who_tells_no_documents_apart_says_nothing() -> None:
    one, flat = group("a", "b"), Scores({"q": {"a": 7.0, "b": 7.0}})
    other = Scores({"q": {"a": 5.0, "b": 1.0}})
    assert averaged([flat, flat], [1, 1], one).scores(one) == [7, 7]
    assert averaged([other, flat], [1, 1], one).scores(one) == [4, 2]
    assert averaged([flat, other], [1, 1], one).scores(one) == [7.5, 6.5], "there is no first scale to go by"


def test_a_query_that_one_of_them_cannot_read_is_left_out() -> None:
    known = {"q": {"a": 1.0, "b": 0.0}, "r": {"a": 1.0, "b": 0.0}}
    first, second = Scores(known, unreadable=["r"]), Scores(known)
    found = averaged([first, second], [1, 1], group("a", "b"), group("a", "b", query_id="r"))
    assert [found.can_read(query_id) for query_id in "qr"] == [True, False]
    assert [one.query_id for one in second.read_groups] == ["q"], "nothing is asked about it in vain"


class Refusing(Scores):
    """Finds out as it reads that it does not know all pairs of a query."""

    def can_read(self, query_id: str) -> bool:
        asked = [doc_id for one in self.read_groups if one.query_id == query_id for doc_id in one.doc_ids]
        return all(doc_id in self.known[query_id] for doc_id in asked)


def test_a_query_that_is_refused_as_it_is_read_is_left_out() -> None:
    whole = {"q": {"a": 1.0, "b": 0.0}, "r": {"a": 1.0, "b": 0.0, "c": 0.5}, "s": {"a": 1.0, "b": 0.0}}
    partly = {**whole, "r": {"a": 1.0, "b": 0.0}, "s": {"a": 1.0}}
    found = averaged([Scores(whole), Refusing(partly)], [1, 1], *(group("a", "b", query_id=one) for one in "qrs"))
    assert [found.can_read(query_id) for query_id in "qrs"] == [True, True, False]
    assert found.scores(group("a", "b")) == [1, 0]
    found.read([group("a", "c", query_id="r")])  # mined again
    assert [found.can_read(query_id) for query_id in "qrs"] == [True, False, False]
    assert found.scores(group("a", "b")) == [1, 0]


def test_the_margin_is_one_of_averaged_probabilities() -> None:
    one = group("a", "b", "c")
    sure = Probabilities({"q": {"a": 0.8, "b": 0.9, "c": 0.1}})
    unsure = Probabilities({"q": {"a": 0.8, "b": 0.5, "c": 0.78}})
    cosines = Scores({"q": {"a": 0.1, "b": 0.9, "c": 0.9}})
    assert isinstance(sure, ProbabilisticTeacher)
    assert averaged([sure, unsure, cosines], [1, 1, 9], one).above(one, 0.95) == []
    assert averaged([sure, unsure, cosines], [3, 1, 9], one).above(one, 0.95) == ["b"]
    assert averaged([sure, unsure, cosines], [1, 50, 9], one).above(one, 0.95) == ["c"]
    assert averaged([cosines, cosines], [1, 1], one).above(one, 0.1) == []
    assert averaged([sure, Named(cosines.known)], [1, 1], one).above(one, 0.95) == ["b", "c"]


def test_who_knows_no_probabilities_after_all_is_left_out_of_them() -> None:
    class Silent(Probabilities):
        def probabilities(self, group: Group) -> None:
            return None

    one, known = group("a", "b"), {"q": {"a": 0.5, "b": 0.5}}
    assert averaged([Silent(known), Silent(known)], [1, 1], one).above(one, 0.1) == []
    assert averaged([Silent(known), Probabilities(known)], [9, 1], one).above(one, 0.95) == ["b"]


def test_names_stand_alone_or_with_weights() -> None:
    teachers = MiningConfig(teacher=["base", {"name": "scores", "weight": 2}]).teachers
    assert [(one.name, one.weight) for one in teachers] == [("base", 1), ("scores", 2)]
    assert [one.name for one in MiningConfig(teacher="folder").teachers] == ["folder"]
    assert MiningConfig(teacher=None).teachers == ()


@pytest.mark.parametrize(
    ("teacher", "problem"),
    [
        (["base"], "mining.teacher: Tuple should have at least 2 items"),
        (["base", "base"], "mining: a teacher is named twice: base, base"),
        (["auto", "scores"], "teacher: auto stands alone; among several it is called base"),
        (["base", {"name": "scores", "weight": 0}], "mining.teacher: Input should be greater than 0"),
        (["base", {"weight": 2}], "mining.teacher"),
        (["base", "rerank_api"], "teacher: rerank_api and the section rerank_api belong together"),
        (7, "mining.teacher: a teacher is a name, and several are a list of names, not 7"),
    ],
)
def test_wrong_lists_are_told(
    tmp_path: Path, toy_collection: Path, tiny_encoder: Path, teacher: Any, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining={"teacher": teacher}))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_teach_a_run(tmp_path: Path, toy_collection: Path, tiny_encoder: Path, toy_package: Path) -> None:
    def config(name: str, teacher: Any, **mining: Any) -> Config:
        mining = {"teacher": teacher, "teacher_margin": None, **mining}
        made = load_config(toy_config(tmp_path, toy_collection, tiny_encoder, mining=mining))
        return made.model_copy(update={"name": name})

    def mined(made: Config) -> dict[tuple[str, str], dict[str, float]]:
        run_stages(made, [collect.STAGE, mine.STAGE], Recorder())
        groups = RunFolder(made.folder).mined.groups()
        return {(one.query_id, one.doc_ids[0]): dict(zip(one.doc_ids, one.teacher, strict=True)) for one in groups}

    cosines, logits = mined(config("base", "base")), mined(config("package", str(toy_package)))
    lines = ["query-id\tcorpus-id\tscore"]
    lines += [
        f"{key[0]}\t{doc_id}\t{-float(place)}" for key, found in cosines.items() for place, doc_id in enumerate(found)
    ]
    table = tmp_path / "scores.tsv"
    table.write_text("\n".join(lines) + "\n")
    named = ["base", {"name": str(toy_package), "weight": 2}, "scores"]
    several = config("several", named, teacher_scores=str(table))
    found = mined(several)
    assert len(found) > 20
    assert found.keys() == cosines.keys() == logits.keys()
    places = read_scores(table)
    usual = np.sqrt(np.mean([np.var(list(scores.values())) for scores in cosines.values()]))
    for key, scores in found.items():
        parts = [[*source.values()] for source in (cosines[key], logits[key])]
        parts.append([places[key[0]][doc_id] for doc_id in scores])
        averages = (z(parts[0]) + 2 * z(parts[1]) + z(parts[2])) / 4
        assert [*scores.values()] == pytest.approx((np.mean(parts[0]) + usual * averages).tolist(), abs=2e-3)

    depends_on = mine.STAGE.depends_on(several)
    alone = [mine.STAGE.depends_on(config("x", name)) for name in ("base", str(toy_package))]
    assert depends_on["teacher"][:2] == [one["teacher"] for one in alone]
    assert depends_on["embedding"] == alone[0]["embedding"]
    weights = [*named[:1], {"name": str(toy_package), "weight": 3}, "scores"]
    assert mine.STAGE.depends_on(config("x", weights, teacher_scores=str(table))) != depends_on
