"""`learning-curve.html`: one page that needs no other file."""

from __future__ import annotations

from importlib.resources import files

from crossforge_train.learning_curve.outcome import LearningCurve
from crossforge_train.learning_curve.plot import learning_plot
from crossforge_train.learning_curve.words import (
    RULES,
    curve_lines,
    failures,
    forecast_header,
    forecast_rows,
    judges_line,
    points_header,
    points_rows,
    summary_line,
)
from crossforge_train.report.rendering import rendered

_TEMPLATE = "page.html.j2"


def page(found: LearningCurve) -> str:
    """The learning curve as HTML, with all text from outside escaped."""
    from markupsafe import Markup

    values = {
        "found": found,
        "summary": summary_line(found),
        "judges": judges_line(found),
        "lines": curve_lines(found),
        "failures": failures(found),
        "plot": Markup(learning_plot(found)),  # noqa: S704 - made by us
        "tables": [
            (f"{found.metric} on dev", points_header(found), points_rows(found)),
            ("What more labels are expected to bring", forecast_header(found), forecast_rows(found)),
        ],
        "rules": RULES,
    }
    return rendered(files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"), values)
