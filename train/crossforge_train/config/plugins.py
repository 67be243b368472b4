"""Where a config names plug-ins: as the value of a key, or as keys of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError, model_validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticKnownError, core_schema

from crossforge.plugins import Registry
from crossforge_train.config.section import Section


class OneOf:
    """Annotates a key that holds the name of a plug-in.

    Args:
        registry: the plug-ins.
        also: other values that the key may have, such as "auto".
    """

    def __init__(self, registry: Registry[Any], *also: str) -> None:
        self.registry = registry
        self.also = also

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic's hook: a string that is one of the names."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, name: str) -> str:
        if name in self.also or name in self.registry:
            return name
        # Worded like a key with a fixed choice of values, which this is to who writes a config.
        *first, last = (f"'{known}'" for known in (*self.also, *self.registry.plugins()))
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(first)} or {last}"})


class OpenSection(Section):
    """A section whose keys include the names of plug-ins: third parties', and crossforge's own that have no field."""

    model_config = ConfigDict(extra="allow")
    plugins: ClassVar[Registry[Any]]
    no_keys: ClassVar[frozenset[str]] = frozenset()  # plug-ins that are no keys here

    @classmethod
    def known_keys(cls) -> list[str]:
        """See `Section`."""
        return [*super().known_keys(), *cls.plugin_keys()]

    @classmethod
    def value_type(cls, key: str) -> Any:
        """See `Section`."""
        return cls.plugin_type(key) if key in cls.plugin_keys() else super().value_type(key)

    @classmethod
    def plugin_keys(cls) -> list[str]:
        """The names of plug-ins that are keys without a field; one that is called like a field is left out."""
        return [name for name in cls.plugins.plugins() if name not in cls.model_fields and name not in cls.no_keys]

    @classmethod
    def plugin_type(cls, name: str) -> Any:
        """The type of what stands under the name of a plug-in; anything, unless a section says more."""
        return Any

    @model_validator(mode="before")
    @classmethod
    def _validate_plugins(cls, values: Any) -> Any:
        others = values.keys() - cls.model_fields.keys() if isinstance(values, Mapping) else set[str]()
        if not others:
            return values
        known = cls.plugin_keys()
        if unknown := [key for key in values if key in others and key not in known]:
            problems = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=values[key]) for key in unknown]
            raise ValidationError.from_exception_data(cls.__name__, problems)
        # A mapping, so that an error's location begins with the name.
        checked: dict[str, Any] = {}
        for name in others:
            settings: Any = dict[str, cls.plugin_type(name)]  # type: ignore[misc]
            checked.update(TypeAdapter(settings).validate_python({name: values[name]}))
        return {**values, **checked}
