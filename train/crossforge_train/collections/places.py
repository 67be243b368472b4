"""Where the recipes look for public collections, and how to get one that is not there."""

from __future__ import annotations

from pathlib import Path

from crossforge.errors import InputError

PLACE = Path("../shared/collections")
FETCHABLE = ("scifact", "cranfield", "medquad", "jaquad")
NOT_FETCHABLE = ("stackfaq", "chorus-electronics")
WHY_NOT = "no library loads this collection; bring it in BEIR layout"


def missing_folder(folder: Path) -> InputError:
    """The error for a folder that is not there, with the way to get it if a recipe of this project looks there."""
    way_out = ""
    if folder.resolve().parent == PLACE.resolve():
        if folder.name in FETCHABLE:
            way_out = f"; `crossforge fetch {folder.name}` writes it"
        elif folder.name in NOT_FETCHABLE:
            way_out = f"; {WHY_NOT}"
    return InputError(f"{folder}: no such folder{way_out}")
