"""Nothing is ever half-written, and every complaint names its line."""

import codecs
import gzip
import hashlib
import os
from pathlib import Path

import pytest
from support import marked

from crossforge.errors import InputError
from crossforge.files import (
    read_json,
    read_jsonl,
    remove,
    require_writable,
    sha256,
    write_json,
    write_jsonl,
    written_atomically,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_finished(tmp_path):
    with written_atomically(tmp_path / "a" / "new.txt") as beside:
        beside.write_text("content")
        assert not (tmp_path / "a" / "new.txt").exists()
    assert (tmp_path / "a" / "new.txt").read_text() == "content"
    assert names(tmp_path / "a") == ["new.txt"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "f").write_text("old")
    with pytest.raises(KeyboardInterrupt), written_atomically(tmp_path / "f") as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "f").read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "stale").touch()
    with written_atomically(tmp_path / "d") as beside:
        beside.mkdir()
        (beside / "fresh").touch()
    assert names(tmp_path / "d") == ["fresh"]
    assert names(tmp_path) == ["d"]


def test_an_exception_leaves_the_old_folder(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    with pytest.raises(ValueError, match="stop"), written_atomically(tmp_path / "d") as beside:
        beside.mkdir()
        (beside / "half").touch()
        raise ValueError("stop")
    assert names(tmp_path / "d") == ["old"]
    assert names(tmp_path) == ["d"]


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path):
    (tmp_path / "old").write_text("old")
    for path, folder in ((tmp_path / "old", False), (tmp_path / "new" / "run", False), (tmp_path, True)):
        require_writable(path, "a run", folder=folder)
    assert names(tmp_path) == ["old"]


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        ("", False, "{}: is a folder; name a file for a run"),
        ("old", True, "{}: is a file; name a folder for a run"),
        ("old/run", False, "{}: a run cannot be written there (Not a directory)"),
        ("/proc/nowhere/run", False, "{}: a run cannot be written there ("),
        ("s3:/bucket/run", False, "s3:/bucket/run: a run needs a path on a file system"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, name, folder, message):
    (tmp_path / "old").write_text("old")
    path = Path(name) if name.startswith("s3:") else tmp_path / name
    with pytest.raises(InputError) as caught:
        require_writable(path, "a run", folder=folder)
    assert str(caught.value).startswith(message.format(path))
    assert names(tmp_path) == ["old"]


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    old, fresh, growing = (tmp_path / f".f.{name}.writing" for name in ("old", "fresh", "growing"))
    for path in (old, growing):
        path.mkdir()
        (path / "part").touch()
    fresh.touch()
    for path in (old / "part", old, growing):  # to add to a file in a folder leaves the folder's time as it is
        os.utime(path, (0, 0))
    with written_atomically(tmp_path / "f") as beside:
        beside.write_text("new")
    assert names(tmp_path) == sorted([fresh.name, growing.name, "f"])
    assert (tmp_path / "f").read_text() == "new"


def test_two_writers_of_a_file_do_not_see_each_other(tmp_path):
    with written_atomically(tmp_path / "f") as first:
        first.write_text("first, ")
        with written_atomically(tmp_path / "f") as second:
            second.write_text("seco")
            with first.open("a") as lines:
                lines.write("whole")
            assert names(tmp_path) == sorted([first.name, second.name])
            second.write_text("second, whole")
        assert (tmp_path / "f").read_text() == "second, whole"
    assert (tmp_path / "f").read_text() == "first, whole"
    assert names(tmp_path) == ["f"]


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "v.json", {"a": "ä"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "v.json", {"a": object()})
    assert read_json(tmp_path / "v.json") == {"a": "ä"}
    assert names(tmp_path) == ["v.json"]


def test_rows_that_break_off_leave_the_old_file(tmp_path):
    def rows():
        yield {"n": 1}
        raise ValueError("stop")

    write_jsonl(tmp_path / "r.jsonl", [{"n": 0}])
    with pytest.raises(ValueError, match="stop"):
        write_jsonl(tmp_path / "r.jsonl", rows())
    assert list(read_jsonl(tmp_path / "r.jsonl")) == [(1, {"n": 0})]
    assert names(tmp_path) == ["r.jsonl"]


def test_rows_come_back_with_line_breaks_and_other_scripts(tmp_path):
    rows = [{"text": "a\nb\u2028c\r"}, {"text": "猫 🥖"}, {}]
    write_jsonl(tmp_path / "r.jsonl", rows)
    assert [row for _, row in read_jsonl(tmp_path / "r.jsonl")] == rows


@pytest.mark.parametrize("text", ["\ud800", "\ude00\ud83d"])
def test_lone_surrogates_can_be_written(tmp_path, text):
    write_jsonl(tmp_path / "r.jsonl", [{"text": f"a {text} b"}])
    ((_, row),) = read_jsonl(tmp_path / "r.jsonl")
    assert row["text"].startswith("a ")
    assert row["text"].endswith(" b")


@pytest.mark.parametrize("line, complaint", [("{", "not valid JSON"), ("[]", "found list"), ("3", "found int")])
def test_a_bad_line_is_named(tmp_path, line, complaint):
    (tmp_path / "r.jsonl").write_text(f'{{"n": 1}}\n\n{line}\n')
    with pytest.raises(InputError, match=rf"r\.jsonl, line 3: .*{complaint}") as caught:
        list(read_jsonl(tmp_path / "r.jsonl"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value, complaint",
    [("[" * 20_000 + "]" * 20_000, "nested too deeply"), ("9" * 5_000, "a number has too many digits")],
    ids=["deep", "long"],
)
def test_json_that_python_cannot_hold_is_named(tmp_path, value, complaint):
    (tmp_path / "r.jsonl").write_text(f'{{"a": {value}}}\n')
    with pytest.raises(InputError, match=rf"r\.jsonl, line 1: not valid JSON \({complaint}\)"):
        list(read_jsonl(tmp_path / "r.jsonl"))
    with pytest.raises(InputError, match=rf"r\.jsonl: not valid JSON \({complaint}\)"):
        read_json(tmp_path / "r.jsonl")


def test_good_lines_before_a_bad_one_are_given_out(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"n": 1}\n{')
    assert next(read_jsonl(tmp_path / "r.jsonl")) == (1, {"n": 1})


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "r.jsonl").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match=r"r\.jsonl, line 1: not UTF-8"):
        list(read_jsonl(tmp_path / "r.jsonl"))
    with pytest.raises(InputError, match=r"r\.jsonl, line 1: not UTF-8"):
        read_json(tmp_path / "r.jsonl")


def test_a_missing_file_is_named(tmp_path):
    for read in (lambda path: list(read_jsonl(path)), read_json):
        with pytest.raises(InputError, match=r"none\.json: no such file"):
            read(tmp_path / "none.json")


def test_a_link_is_removed_and_not_what_it_points_at(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove(tmp_path / "link")
    remove(tmp_path / "never-there")
    assert names(tmp_path) == ["kept"]


def test_the_digest_is_that_of_all_bytes(tmp_path):
    content = b"x" * (1 << 20) + b"y"
    (tmp_path / "f").write_bytes(content)
    assert sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_a_byte_order_mark_is_none_of_the_content(tmp_path, name):
    (tmp_path / name).write_text('{"text": "a"}\n')
    assert list(read_jsonl(marked(tmp_path / name))) == [(1, {"text": "a"})]


def test_a_byte_order_mark_does_not_spoil_json(tmp_path):
    write_json(tmp_path / "v.json", {"a": 1})
    assert read_json(marked(tmp_path / "v.json")) == {"a": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf16_is_told_as_such(tmp_path, encoding):
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = mark + 'ä {"a": 1}\n'.encode(encoding)
    (tmp_path / "r.jsonl").write_bytes(content)
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(content))
    for name in ("r.jsonl", "r.jsonl.gz"):
        with pytest.raises(InputError, match=f"{name}: UTF-16 text; save it as UTF-8"):
            list(read_jsonl(tmp_path / name))


def test_the_line_that_is_not_utf8_is_named_however_far_down(tmp_path):
    (tmp_path / "r.jsonl").write_bytes(b'{"text": "fine"}\n' * 5000 + 'x{"text": "ä"}'.encode("latin-1"))
    with pytest.raises(InputError, match=r"r\.jsonl, line 5001: not UTF-8 text \(.* at byte 12\)"):
        list(read_jsonl(tmp_path / "r.jsonl"))
