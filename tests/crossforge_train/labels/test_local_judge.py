"""A causal model on this machine as judge: tiny random ones, which test the machinery and no quality."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Recorder, make_decoder
from transformers import AutoModelForCausalLM, AutoTokenizer
from wrapped_engine import PretendedCluster

from crossforge.errors import InputError
from crossforge_train.config.judge import JudgeConfig
from crossforge_train.labels import local_grader
from crossforge_train.labels.grading import Pair, prompt
from crossforge_train.labels.judge import Grade, Judge
from crossforge_train.labels.local_grader import local_model_hash
from crossforge_train.models import language_model

PROMPT = "query : {query} document : {text} answer"
WORDS = ["bread", "dough", "oven", "flour", "boat", "sail", "wind", "soil", "seed", "plant", "bike", "pedal"]
WORDS += ["chord", "melody", "pawn", "rook"]
PAIRS = [
    Pair(query, f"the {text} in {query} of {' '.join(WORDS[: n % 5])}")
    for n, (query, text) in enumerate(zip(WORDS, WORDS[5:] + WORDS[:5], strict=True))
]
CHAT = (
    "{% for m in messages %}judge : {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}answer {% if enable_thinking is not defined %}yes {% endif %}: {% endif %}"
)


@pytest.fixture(scope="module", params=[None, CHAT], ids=["plain", "chat"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_decoder(tmp_path_factory.mktemp("judge") / "tiny", "qwen3", request.param)


Open = Callable[..., Judge]


@pytest.fixture
def judge(model: Path, tmp_path: Path) -> Open:
    """A judge that is opened anew, with the grades that are known."""

    def opened(reporter: Recorder | None = None, **settings: Any) -> Judge:
        return Judge(config(model, tmp_path, **settings), reporter or Recorder())

    return opened


def config(model: Path, folder: Path, **settings: Any) -> JudgeConfig:
    return JudgeConfig(**{"model": str(model), "cache": folder / "graded", "prompt": PROMPT, **settings})


def asked_alone(model: Path, pair: Pair) -> int:
    """The grade that the model's next token gives, by transformers alone and without padding."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    text = PROMPT.replace("{query}", pair.query).replace("{text}", pair.text)
    text = f'judge : {text}\nanswer : {{"grade":' if tokenizer.chat_template else f'{text}\n{{"grade":'
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(model)(ids).logits[0, -1]
    return int(logits[tokenizer.convert_tokens_to_ids(list("0123"))].argmax())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were loaded."""
    loaded: list[str] = []
    load = language_model.load_language_model
    monkeypatch.setattr(language_model, "load_language_model", lambda name, key: loaded.append(name) or load(name, key))
    return loaded


def test_the_grade_is_the_likeliest_digit_after_the_prompt(model: Path, judge: Open, tmp_path: Path) -> None:
    expected = [asked_alone(model, pair) for pair in PAIRS]
    assert len(set(expected)) > 1, "the model tells some of them apart"
    for batch in (1, 3, 16):
        found = judge(batch=batch, cache=tmp_path / str(batch))
        assert [one.grade for one in found.grade(PAIRS)] == expected


def test_each_pair_is_graded_once_and_kept(
    model: Path, judge: Open, tmp_path: Path, loads: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    first = judge()
    assert loads == [], "nothing is loaded before it is needed"
    grades = first.grade([*PAIRS, PAIRS[0]])
    assert grades[-1] == grades[0]
    assert first.spent == len(PAIRS)
    assert judge(batch=2).grade(PAIRS) == grades[:-1]
    assert loads == [str(model)], "all of it is known"
    (file,) = (tmp_path / "graded").iterdir()
    assert len([line for line in file.read_text().splitlines() if line]) == len(PAIRS)
    assert not any(pair.text in file.read_text() for pair in PAIRS)
    assert capfd.readouterr() == ("", "")


def test_other_weights_or_another_prompt_grade_anew(model: Path, judge: Open, tmp_path: Path, loads: list[str]) -> None:
    judge().grade(PAIRS[:2])
    judge(prompt="{query} {text}").grade(PAIRS[:2])
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    Judge(config(copy, tmp_path), Recorder()).grade(PAIRS[:2])
    assert loads == [str(model)] * 2, "the same model in another folder is the same judge"
    before = local_model_hash(config(copy, tmp_path))
    settings = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps({**settings, "top_k": 7}))
    assert local_model_hash(config(copy, tmp_path)) != before
    Judge(config(copy, tmp_path), Recorder()).grade(PAIRS[:2])
    assert len(loads) == 3


def test_a_killed_judge_goes_on_where_it_was(judge: Open, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    grades, calls = local_grader._GradePrompts.grades, []

    def third_time_lucky(make_worker: Any, model: Any, tokenizer: Any, prompts: list[list[int]]) -> list[int]:
        calls.append(len(prompts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return grades(make_worker, model, tokenizer, prompts)

    monkeypatch.setattr(local_grader._GradePrompts, "grades", third_time_lucky)
    with pytest.raises(KeyboardInterrupt):
        judge(batch=4).grade(PAIRS)
    again = judge(batch=4)
    assert all(one.grade is not None for one in again.grade(PAIRS))
    assert calls == [4, 4, 4, 4, 4]
    assert again.spent == len(PAIRS), "what was graded before counts too"


def test_the_budget_is_one_of_pairs_and_tokens_the_first_ones_first(judge: Open) -> None:
    found = judge(max_calls=5, batch=2).grade(PAIRS)
    assert [one.asked for one in found].count(True) == 5
    more = judge(max_calls=7).grade(PAIRS)
    assert [one.asked for one in more].count(True) == 7
    few = judge(max_tokens=30, batch=1, prompt=f"{PROMPT} !").grade(PAIRS)
    assert 1 <= [one.asked for one in few].count(True) < 5


def test_the_first_block_is_graded_before_the_next(judge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_grader, "_SORTED", 1)
    found = judge(max_calls=6, batch=3).grade(PAIRS)
    assert [one.asked for one in found] == [True] * 6 + [False] * (len(PAIRS) - 6)


@pytest.mark.parametrize("engine", ["pretended", pytest.param("cluster", marks=pytest.mark.slow)])
def test_a_cluster_gives_the_same_grades_within_the_budget(
    model: Path, judge: Open, tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    shared = PretendedCluster() if engine == "pretended" else request.getfixturevalue(engine)
    expected = judge().grade(PAIRS)
    endless = Pair(" ".join(WORDS * 5), "bread")
    there = config(model, tmp_path, cache=tmp_path / "there", batch=2)
    assert Judge(there, Recorder(), engine=shared).grade([endless, *PAIRS]) == [Grade(None), *expected]
    few = config(model, tmp_path, cache=tmp_path / "few", batch=2, max_calls=5)
    found = Judge(few, Recorder(), engine=shared).grade(PAIRS)
    assert [one.asked for one in found].count(True) == 5
    assert all(one == wanted for one, wanted in zip(found, expected, strict=True) if one.asked)
    little = config(model, tmp_path, cache=tmp_path / "little", batch=1, max_tokens=30)
    spending = Judge(little, Recorder(), engine=shared)
    assert 1 <= [one.asked for one in spending.grade(PAIRS)].count(True) < 5, "what is ahead counts, too"


def test_what_will_not_be_asked_about_is_not_read(judge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Pair] = []
    own = local_grader._Reader.read

    def watched(reader: Any, settings: JudgeConfig, pair: Pair) -> list[int]:
        read.append(pair)
        return own(reader, settings, pair)

    monkeypatch.setattr(local_grader, "_SORTED", 1)
    monkeypatch.setattr(local_grader._Reader, "read", watched)
    found = judge(max_calls=3, batch=2).grade(PAIRS)
    assert [one.asked for one in found].count(True) == 3
    assert len(read) == 4, "two blocks of two"
    endless = [Pair(" ".join(WORDS * 5), str(number)) for number in range(60)]
    read.clear()
    with pytest.raises(InputError, match="prompt and query alone are longer"):
        judge(batch=2, prompt=f"{PROMPT} :").grade(endless)
    assert len(read) <= 22, "the judge gives up after 20 answers without a grade"


def test_a_long_document_is_cut_and_a_long_query_is_none_of_its_pairs(model: Path, judge: Open, tmp_path: Path) -> None:
    settings = config(model, tmp_path)
    read = local_grader._Reader(str(model))
    long = Pair("bread", " ".join(WORDS * 20))
    ids = read.read(settings, long)
    assert 50 < len(ids) <= 63, "a token is left for the grade, of the 64 that it reads"
    short = read.read(settings, long._replace(text=" ".join(WORDS[:4])))
    assert ids[:4] == short[:4]
    assert ids[-4:] == short[-4:], "what follows the document stays"
    endless = Pair(" ".join(WORDS * 5), "bread")
    first, none, last = judge().grade([PAIRS[0], endless, long])
    assert None not in (first.grade, last.grade)
    assert none == Grade(None)
    with pytest.raises(InputError, match=r"documents\.judge: prompt and query alone are longer than the 63 tokens"):
        judge(prompt=f"{PROMPT} ?").grade([endless])


def test_texts_go_into_the_prompt_as_they_are(model: Path, tmp_path: Path) -> None:
    settings = config(model, tmp_path, max_document_characters=100)
    assert prompt(settings, Pair("{text}", "{query} " + "x" * 200)) == (
        f"query : {{text}} document : {{query}} {'x' * 92} answer"
    )


def test_the_work_is_told_beforehand(model: Path, judge: Open) -> None:
    judge().grade(PAIRS[:2])
    reporter = Recorder()
    opened = judge(reporter, max_calls=500)
    opened.announce(PAIRS)
    tokens = sum(len(f"query : {pair.query} document : {pair.text} answer") // 4 for pair in PAIRS[2:])
    assert reporter.notes == [
        f"documents.judge: {model} grades 14 pairs here, 2 more are known: about {tokens} tokens; it stops at 500 "
        "pairs (max_calls)"
    ]


def test_who_may_not_ask_loads_nothing(judge: Open, model: Path, tmp_path: Path, loads: list[str]) -> None:
    graded = judge().grade(PAIRS[:2])
    known = Judge(config(model, tmp_path), Recorder(), may_ask=False)
    assert known.grade(PAIRS[:3]) == [*graded, Grade(None, asked=False)]
    assert len(loads) == 1


def test_a_vocabulary_without_digits_is_told(model: Path, tmp_path: Path) -> None:
    copy = make_decoder(tmp_path / "other", "qwen3", None)
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["many"] = tokenizer["model"]["vocab"].pop("3")
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match=r"^documents\.judge: .*other: its vocabulary has no token for each"):
        Judge(config(copy, tmp_path), Recorder()).grade(PAIRS)


def test_damaged_weights_are_told(tmp_path: Path) -> None:
    copy = make_decoder(tmp_path / "damaged", "qwen3", None)
    damaged = AutoModelForCausalLM.from_pretrained(copy)
    with torch.no_grad():
        damaged.lm_head.weight.fill_(float("nan"))
    damaged.save_pretrained(copy)
    with pytest.raises(InputError, match=r"gives logits that are not finite"):
        Judge(config(copy, tmp_path), Recorder()).grade(PAIRS)


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in ("gpt-x", "org/gpt-x"):
        with pytest.raises(InputError, match=rf"documents\.judge: {name}: no such folder.* name that in judge\.url"):
            Judge(config(Path(name), tmp_path), Recorder())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"temperature": 0.5, "format": None}, "format, temperature: no use for a model on this machine"),
        ({"url": "http://x", "batch": 4}, "batch: no use for an endpoint"),
        ({"url": "localhost:8000"}, "String should match pattern"),
    ],
)
def test_settings_that_are_of_no_use_are_told(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        JudgeConfig(model="m", **settings)
