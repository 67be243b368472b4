"""Folders in a store: a folder of this machine, and a bucket of an S3 server."""

from pathlib import Path

import pytest
from object_stores import CREDENTIALS, IN_A_FOLDER_AND_A_BUCKET

from crossforge.errors import InputError
from crossforge_train.object_store import IncompleteError, Place, digests, open_place


def advance() -> None:
    """Shows nothing."""


@pytest.fixture
def place(store: str) -> Place:
    return open_place(store, "name")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of all kinds."""
    (tmp_path / "here" / "below").mkdir(parents=True)
    contents = {"empty": b"", "below/large.bin": bytes(range(256)) * 50_000, "below/ü b#%?.txt": b"x"}
    for name, content in contents.items():
        (tmp_path / "here" / name).write_bytes(content)
    return tmp_path / "here"


@IN_A_FOLDER_AND_A_BUCKET
def test_a_folder_comes_back_as_it_was(place: Place, folder: Path, tmp_path: Path) -> None:
    assert place.names() == set()
    found = digests(folder)
    assert set(found) == {"empty", "below/large.bin", "below/ü b#%?.txt"}
    place.send(folder, "stage", found, advance)
    assert place.names() == {"stage"}
    place.fetch("stage", tmp_path / "back", found, advance)
    assert digests(tmp_path / "back") == found


@IN_A_FOLDER_AND_A_BUCKET
def test_a_file_that_is_missing_or_other_is_not_taken(place: Place, folder: Path, tmp_path: Path) -> None:
    place.send(folder, "stage", ["empty"], advance)
    for wanted in ({"empty": "0" * 64}, {"missing": "0" * 64}):
        with pytest.raises(IncompleteError, match=r"name/stage: incomplete"):
            place.fetch("stage", tmp_path / "back", wanted, advance)


@pytest.mark.parametrize("name", ["../outside", "/outside", "below/../../outside", "..\\outside"])
def test_no_file_is_written_outside_the_folder(place: Place, folder: Path, tmp_path: Path, name: str) -> None:
    place.send(folder, "stage", ["empty"], advance)
    with pytest.raises(IncompleteError):
        place.fetch("stage", tmp_path / "back", {name: digests(folder)["empty"]}, advance)
    assert not (tmp_path / "outside").exists()


@IN_A_FOLDER_AND_A_BUCKET
def test_json_is_read_if_it_was_written_to_its_end(place: Place, tmp_path: Path) -> None:
    assert place.read_json("stages/one.json") is None
    place.write_json("stages/one.json", {"a": "ü\ud800"})
    assert place.read_json("stages/one.json") == {"a": "ü\ud800"}
    (tmp_path / "half").write_text('{"a": ')
    place.send(tmp_path, "stages", ["half"], advance)
    assert place.read_json("stages/half") is None


def test_nothing_is_deleted_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    place = open_place(f"file://{tmp_path}/store", "run")
    place.write_json("one.json", 1)
    place.delete(["../../precious", str(tmp_path / "precious")])
    assert (tmp_path / "precious").is_file()


@IN_A_FOLDER_AND_A_BUCKET
def test_what_is_deleted_is_gone_and_may_be_gone_already(place: Place) -> None:
    place.write_json("one.json", 1)
    place.delete(["one.json", "two.json"])
    assert place.read_json("one.json") is None


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3:///folder", "Missing bucket name"),
        ("s3://bucket/a b", "syntax error"),
        ("s3://bucket/folder?password=x", "password"),
        ("file://host/folder", "Unsupported hostname"),
    ],
)
def test_a_uri_that_nobody_can_read_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"^{uri.partition('?')[0]}.*{reason}.*or leave out `store`$") as caught:
        open_place(uri, "name")
    assert "\n" not in str(caught.value)


@pytest.fixture
def with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def test_a_bucket_that_is_not_there_is_told(s3: str, with_credentials: None) -> None:
    with pytest.raises(InputError, match=r"^s3://elsewhere/name: the store cannot be used .*NO_SUCH_BUCKET"):
        open_place(f"s3://elsewhere?{s3}", "name").write_json("run.json", 1)


def test_credentials_that_nobody_knows_are_told(s3: str, with_credentials: None) -> None:
    from moto.core import set_initial_no_auth_action_count

    place = open_place(f"s3://bucket?{s3}", "name")
    with pytest.raises(
        InputError, match=r"^s3://bucket/name: .*ACCESS_DENIED.* the credentials in the environment allow"
    ):
        set_initial_no_auth_action_count(0)(place.read_json)("run.json")
    with pytest.raises(InputError, match=r"^s3://bucket/name: .*The AWS Access Key Id you provided does not exist"):
        set_initial_no_auth_action_count(0)(place.write_json)("run.json", 1)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(InputError, match=r"store/name: the store cannot be used \(.*Not a directory"):
        open_place(f"file://{tmp_path}/store", "name").write_json("run.json", 1)
