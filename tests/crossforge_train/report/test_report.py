"""The report: written, read back, as a card and as a page that needs no network."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import Page, make_documents

from crossforge.errors import InputError
from crossforge.runs import read_run
from crossforge_train.collections.beir import read_beir
from crossforge_train.evaluation.metrics import mean, measure_rankings, trec_order
from crossforge_train.evaluation.outcome import Report
from crossforge_train.report.files import read_report, write_report
from crossforge_train.report.markdown import markdown
from crossforge_train.report.page import page
from crossforge_train.run_folder import RunFolder


@pytest.fixture(scope="module")
def report(toy_run: Path) -> Report:
    return read_report(toy_run / "evaluate")


def test_a_report_comes_back_as_it_was_written(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report


def test_a_report_of_another_shape_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"metric": "nDCG@10", "splits": []}')
    with pytest.raises(
        InputError, match=r"report\.json: not a report that this version reads; delete .* and evaluate again$"
    ):
        read_report(tmp_path)


def test_the_page_fetches_and_runs_nothing(report: Report) -> None:
    html = page(report)
    found = Page(html)
    assert all(reference.startswith("#") for reference in found.references)
    assert "script" not in found.elements
    assert "@import" not in html
    assert "url(http" not in html.replace(" ", "")


def test_the_page_has_every_plot_in_the_colours_of_the_page(report: Report) -> None:
    html = page(report)
    assert Page(html).elements["svg"] == 6  # gains, depth, reliability, scores, latency, training
    assert not [number for number in range(0xF1, 0xF8) if f"#0000{number:02x}" in html]
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_texts_from_outside_are_escaped(report: Report) -> None:
    (split,) = report.splits
    name, query = "$x$ <b>&", "<script>alert(1)</script>"
    systems = [*split.systems[:2], replace(split.systems[2], name=name), *split.systems[3:]]
    example = replace(split.best[0] if split.best else _example(), query=query)
    html = page(replace(report, title=query, splits=[replace(split, systems=systems, best=[example])]))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "$x$ &lt;b&gt;&amp;" in html


def _example() -> object:
    from crossforge_train.evaluation.examples import Example

    return Example("q", "query", 0.1, [], [])


def test_the_card_quotes_no_document_and_no_query(report: Report, toy_collection: Path) -> None:
    text = markdown(report)
    assert report.verdict in text
    assert not [found for found in make_documents() if found["text"] in text]
    assert not [query for query in read_beir(toy_collection).queries.values() if query in text]


def test_the_runs_give_the_figures_of_the_table_again(report: Report, toy_run: Path) -> None:
    (split,) = report.splits
    qrels = RunFolder(toy_run).collected.collection().qrels("test")
    assert len(split.systems) == 9
    for system in split.systems:
        file = toy_run / "evaluate" / "runs" / f"test.{system.name.replace(',', '').replace(' ', '-')}.trec"
        values = measure_rankings(list(system.means), qrels, trec_order(read_run(file)))
        assert len(values) == 3
        assert {name: mean(found) for name, found in values.items()} == pytest.approx(dict(system.means))


def test_the_curve_ends_where_the_table_stands_and_below_the_ceiling(report: Report) -> None:
    (split,) = report.splits
    curve = split.details.depth_curve
    means = {system.name: system.means["nDCG@10"] for system in split.systems}
    assert curve.values["reranker alone"][-1] == pytest.approx(means["reranker alone"])
    assert curve.values["first stage"] == pytest.approx([means["first stage"]] * len(curve.depths))
    assert curve.values["perfect reranker"][-1] == pytest.approx(split.ceiling["nDCG@10"])
    for values in curve.values.values():
        assert all(value <= best + 1e-9 for value, best in zip(values, curve.values["perfect reranker"], strict=True))


def test_gains_and_causes_add_up(report: Report) -> None:
    (split,) = report.splits
    decisive = split.comparisons[0]
    assert len(split.gains) == split.queries
    assert sum(split.gains) / split.queries == pytest.approx(decisive.difference)
    assert sum(gain > 0 for gain in split.gains) == decisive.wins
    diagnosis = split.details.diagnosis
    assert sum(diagnosis.causes.values()) == 24  # one relevant document a query
    assert len(diagnosis.lost) == 24 - diagnosis.causes["found"]


def test_what_has_to_be_judged_stays_in_the_run(toy_run: Path, toy_package: Path) -> None:
    rows = (toy_run / "evaluate" / "unjudged.test.tsv").read_text().splitlines()
    assert rows[0].split("\t") == ["query_id", "doc_id", "query", "title", "text", "probability", "rank"]
    assert not list((toy_package / "evaluation").glob("unjudged*"))
    assert (toy_package / "evaluation" / "report.html").is_file()
