"""Renders pages that need no other file, all in one style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

_STYLE = "style.css"


def rendered(template: str, values: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]] | None = None) -> str:
    """A page, with all text from outside escaped.

    Args:
        template: in Jinja's language; its `style` is the style of all pages.
        values: what it shows.
        filters: what it may call.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(filters or {})
    style = files(__package__).joinpath(_STYLE).read_text(encoding="utf-8")
    page: str = environment.from_string(template).render(**values, style=Markup(style))  # noqa: S704 - our own file
    return page
