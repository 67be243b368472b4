"""The built-in collection `pydocs`: the docstrings of installed Python libraries, with hand-written test questions."""

from crossforge_train.collections.pydocs.build import build_pydocs, library_versions

__all__ = ["build_pydocs", "library_versions"]
