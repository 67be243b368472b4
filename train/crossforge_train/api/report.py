"""`Report` for Python users: the outcome of an evaluation, with views as data frame, HTML and notebook output."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossforge.files import require_no_uri
from crossforge_train.evaluation import outcome
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.report.files import write_report
from crossforge_train.report.page import page
from crossforge_train.report.tables import guard_line, table_header, table_rows, verdict_lines, warning_lines

if TYPE_CHECKING:
    from pandas import DataFrame


class Report(outcome.Report):
    """The outcome of an evaluation: `verdict` is WIN, TIE or REGRESSION, `splits` holds the figures."""

    @classmethod
    def of(cls, found: outcome.Report) -> Report:
        """Wrap an outcome to add the views for Python users."""
        return cls(**vars(found))

    def to_frame(self) -> DataFrame:
        """The report as a data frame with one row per system and test split.

        Returns:
            Columns `split`, `system`, the mean of each measure, `low` and `high` (95% interval of the metric's mean).
            For systems compared with the split's baseline, also `difference`, `difference_low` and `difference_high`
            (of the metric's mean, with its 95% interval), `p` and `verdict`.
        """
        import pandas as pd

        return pd.DataFrame([row for split in self.splits for row in _rows(split)])

    def to_html(self) -> str:
        """The whole report as a self-contained HTML page."""
        return page(self)

    def save(self, folder: str | Path) -> Path:
        """Write `report.html`, `report.json` and `report.md` into a folder; returns the folder."""
        require_no_uri(Path(folder), "a report")
        write_report(Path(folder), self)
        return Path(folder)

    def _repr_html_(self) -> str:
        """HTML for notebooks: the verdict, and one table per test split."""
        parts = [f"<h3>{escape(self.title)}: {escape(self.verdict)}</h3>"]
        for split in self.splits:
            lines = [*verdict_lines(split, self.metric), *warning_lines(split, self.metric)]
            parts += [
                f"<h4>{escape(split.split)}</h4>",
                *(f"<p>{escape(line)}</p>" for line in lines),
                "<table><thead>",
                _html_row("th", table_header(split, self.metric)),
                "</thead><tbody>",
                *(_html_row("td", row) for row in table_rows(split, self.metric)),
                "</tbody></table>",
            ]
        if self.guard:
            parts.append(f"<p>{escape(guard_line(self.guard))}</p>")
        return "".join(parts)


def _rows(split: SplitReport) -> list[dict[str, Any]]:
    compared = {found.system: found for found in split.comparisons if found.baseline == split.baseline}
    rows = []
    for system in split.systems:
        row: dict[str, Any] = {"split": split.split, "system": system.name, **system.means}
        row["low"], row["high"] = system.interval
        if found := compared.get(system.name):
            row |= {
                "difference": found.difference,
                "difference_low": found.interval[0],
                "difference_high": found.interval[1],
                "p": found.p_value,
                "verdict": found.verdict,
            }
        rows.append(row)
    return rows


def _html_row(tag: str, cells: list[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
