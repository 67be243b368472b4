"""Which files of a hub's data set were fetched, so that they are found again without the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from crossforge.errors import InputError
from crossforge.files import read_json, write_json
from crossforge_train.collections.readers.labelled import content_id


class KeptFiles:
    """What was fetched of one configuration; it is noted in the cache of the `datasets` library.

    Args:
        place: a hub id.
        config: the configuration; None: its only or default one.
        revision: the revision that a config names; None: the newest.
    """

    def __init__(self, place: str, config: str | None, revision: str | None) -> None:
        import datasets

        key = content_id("f", json.dumps([place, config, revision]))
        self._path = Path(datasets.config.HF_DATASETS_CACHE) / "crossforge" / f"{key}.json"

    def write(self, files: Mapping[str, Sequence[Path]]) -> Mapping[str, Sequence[Path]]:
        """Note the files of each split, and give them back."""
        write_json(self._path, {split: [str(path) for path in paths] for split, paths in files.items()})
        return files

    def read(self) -> Mapping[str, Sequence[Path]] | None:
        """The files of each split; None if they were not fetched, or are gone."""
        with suppress(InputError):
            files = {split: [Path(path) for path in paths] for split, paths in read_json(self._path).items()}
            return files if all(path.is_file() for paths in files.values() for path in paths) else None
        return None
