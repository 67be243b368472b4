"""Registries of plug-ins: a name, where the code is, one description. Nothing is imported until it is used.

A third-party package registers its own through Python entry points: the group is `crossforge.losses` for losses and so
on, the name is what a config says, and the value is `package.module:attribute`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from crossforge.errors import InputError, first_line

Value = TypeVar("Value")


@dataclass(frozen=True)
class Plugin:
    """Where a plug-in is.

    Attributes:
        path: `package.module:attribute`.
        description: one line for help, errors and documentation.
        version: of a third party's plug-in the package and its version; None for what comes with crossforge.
    """

    path: str
    description: str
    version: str | None = None


class Registry(Generic[Value]):
    """The plug-ins of one kind.

    Args:
        kind: what they are, in the plural: "losses". Entry points are looked up under `crossforge.KIND`.
        noun: what error messages call one of them: "loss".
        built_in: name -> the plug-ins that come with crossforge.
    """

    def __init__(self, kind: str, noun: str, built_in: Mapping[str, Plugin]) -> None:
        self.kind = kind
        self.noun = noun
        self.built_in = dict(built_in)

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self.third_party

    @property
    def group(self) -> str:
        """The group of entry points in which third parties register theirs."""
        return f"crossforge.{self.kind}"

    @cached_property
    def third_party(self) -> Mapping[str, Plugin]:
        """What installed packages register, by name. A built-in is never replaced."""
        found: dict[str, Plugin] = {}
        for point in entry_points(group=self.group):
            if point.name not in self.built_in:
                version = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
                found.setdefault(point.name, Plugin(point.value, f"from {version}", version))
        return found

    def plugins(self) -> dict[str, Plugin]:
        """All of them by name, those of third parties last."""
        return {**self.built_in, **self.third_party}

    def require(self, name: str, *also: str) -> str:
        """The name, if there is such a plug-in.

        Args:
            name: what was asked for.
            also: other names that are allowed where it stands, such as "auto".

        Raises:
            InputError: there is none; the nearest name is given.
        """
        if name in also or name in self:
            return name
        known = [*also, *self.plugins()]
        close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"have {', '.join(known)}"
        raise InputError(f"no {self.noun} {name!r}; {hint}")

    def load(self, name: str) -> Value:
        """Import a plug-in.

        Raises:
            InputError: there is none of that name, or a third party's cannot be imported.
        """
        if name in self.built_in:
            return cast(Value, _imported(self.built_in[name].path))
        found = self.third_party[self.require(name)]
        try:
            return cast(Value, _imported(found.path))
        except Exception as error:  # whatever the module of somebody else raises
            raise InputError(
                f"{self.noun} {name}: {found.path} of {found.version} cannot be imported ({first_line(error)})"
            ) from error

    def version(self, name: str) -> dict[str, str]:
        """Name -> the package that registered it and its version, for fingerprints; empty for a built-in."""
        found = None if name in self.built_in else self.third_party.get(name)
        return {f"{self.noun} {name}": str(found.version)} if found else {}


def _imported(path: str) -> object:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
