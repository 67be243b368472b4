"""Registries of plug-ins: a name, where the code is, one description. Nothing is imported until it is used.

A package of a third party adds its own through Python entry points: the group is `crossforge.losses` for losses and so
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

from crossforge.errors import InputError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Plugin:
    """Where a plug-in is.

    Attributes:
        path: `package.module:attribute`.
        description: one line for help, errors and documentation.
    """

    path: str
    description: str


class Registry(Generic[Value]):
    """The plug-ins of one kind.

    Args:
        kind: what they are, in the plural: "losses". Entry points are looked up under `crossforge.KIND`.
        noun: what one of them is called in error messages: "loss".
        built_in: name -> the plug-ins that come with crossforge.
    """

    def __init__(self, kind: str, noun: str, built_in: Mapping[str, Plugin]) -> None:
        self.kind = kind
        self.noun = noun
        self.built_in = dict(built_in)

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._others

    @property
    def group(self) -> str:
        """The group of entry points in which third parties register theirs."""
        return f"crossforge.{self.kind}"

    def plugins(self) -> dict[str, Plugin]:
        """All of them by name, those of third parties last."""
        return {**self.built_in, **self._others}

    def require(self, name: str) -> str:
        """The name, if there is such a plug-in.

        Raises:
            InputError: there is none; the nearest name is given.
        """
        if name in self:
            return name
        known = list(self.plugins())
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"have {', '.join(known)}"
        raise InputError(f"no {self.noun} {name!r}; {hint}")

    def load(self, name: str) -> Value:
        """Import a plug-in.

        Raises:
            InputError: there is none of that name, or one of a third party cannot be imported.
        """
        if name in self.built_in:
            return cast(Value, _imported(self.built_in[name].path))
        path = self._others[self.require(name)].path
        try:
            return cast(Value, _imported(path))
        except (ImportError, AttributeError) as error:
            raise InputError(f"{self.noun} {name}: the plug-in {path} cannot be imported ({error})") from None

    @cached_property
    def _others(self) -> dict[str, Plugin]:
        """What installed packages register. A name that is taken stays what it is: nobody replaces a built-in."""
        return {
            found.name: Plugin(found.value, f"from the package {found.dist.name}" if found.dist else "from elsewhere")
            for found in entry_points(group=self.group)
            if found.name not in self.built_in
        }


def _imported(path: str) -> object:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)
