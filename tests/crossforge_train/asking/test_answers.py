"""Answers in a file: what was stored is found again, whatever signs it holds."""

from pathlib import Path

import pytest

from crossforge_train.asking.answers import AnswerFile


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\n", "\r\n"])
def test_signs_that_end_lines_end_no_answer(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add({"one": f"before{sign}behind", "two": sign})
    found = AnswerFile(path)
    assert (found["one"], found["two"]) == (f"before{sign}behind", sign)


def test_a_truncated_line_loses_its_own_answer_alone(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    AnswerFile(path).add({"one": 1, "two": 2})
    path.write_text(path.read_text()[:-2])
    AnswerFile(path).add({"three": 3})
    found = AnswerFile(path)
    assert [key in found for key in ("one", "two", "three")] == [True, False, True]
