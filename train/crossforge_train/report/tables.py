"""The numbers of a report as cells and sentences, the same on the screen, in the card and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from crossforge_train.collections.agreement import Agreement
from crossforge_train.collections.collection import CLICKS, PEOPLE, PSEUDO_QUERIES, by_whom
from crossforge_train.evaluation.budget import Budget, front
from crossforge_train.evaluation.guard import Guard
from crossforge_train.evaluation.split_report import SplitReport
from crossforge_train.evaluation.system_orders import SystemOrders
from crossforge_train.evaluation.systems import FIRST_STAGE, INCUMBENT, PERFECT
from crossforge_train.evaluation.verdict import Comparison, SystemResult
from crossforge_train.labels.agreement import in_words
from crossforge_train.report.advice import how_to_use, use_instead

# Marks the point that ships.
SHIPS = "ships"


def table_header(split: SplitReport, metric: str) -> list[str]:
    """The column titles that go with `table_rows`."""
    return ["system", f"{metric} [95%]", *_other_measures(split, metric), "difference [95%]", "p", "better / worse"]


def table_rows(split: SplitReport, metric: str) -> list[list[str]]:
    """One row per system, compared with the split's baseline, and one for the ceiling."""
    others = _other_measures(split, metric)
    ceiling = [PERFECT, number(split.ceiling[metric]), *(number(split.ceiling[name]) for name in others), "", "", ""]
    return [*(_row(split, system, metric) for system in split.systems), ceiling]


def verdict_line(found: Comparison, metric: str, queries: int) -> str:
    """The outcome of a comparison and the size of its effect, in one line."""
    difference = f"{signed(found.difference)} {interval(found.interval)}"
    share = "" if found.relative is None else f", {found.relative:+.0%}"
    return (
        f"{found.verdict} against {with_article(found.baseline)}: {metric} {difference}{share}, "
        f"p {p_value(found.p_value)}, effect size {found.effect_size:+.2f} ({queries} queries{_detectable(found)})"
    )


def _detectable(found: Comparison) -> str:
    return "" if found.detectable is None else f"; they can show differences from {number(found.detectable)}"


def verdict_lines(split: SplitReport, metric: str) -> list[str]:
    """The decisive comparisons of a split, one line each; systems are named if there are several."""
    decisive = [found for found in split.comparisons if found.decisive]
    several = len({found.system for found in decisive}) > 1
    return [(f"{found.system}: " if several else "") + verdict_line(found, metric, split.queries) for found in decisive]


def mixed_in(share: float) -> str:
    """What became of the kept checkpoint, as the end of a sentence, if a share of the starting weights is in it."""
    if share == 1:
        return ", but all of the weights that training started from were mixed in again: none of it is left"
    return f", with {share:.0%} of the weights that training started from mixed in again" if share else ""


_NOBODY = "no person judged these queries"
_PSEUDO = (
    "{people}: {others} pseudo-queries made from the documents, so this proves {little} about what people ask; collect "
    "real judgements with `crossforge judge`"
)
PSEUDO = _PSEUDO.format(people=_NOBODY, others="they are", little="nothing")
_MACHINE = (
    "{people}: {who} {did}, so this says {mostly}how far the systems agree with that; collect real judgements with "
    "`crossforge judge`"
)
# With fewer queries than this, a verdict hangs on a handful of them.
FEW_QUERIES = 50


def warning_lines(split: SplitReport, metric: str) -> list[str]:
    """Reasons to read the numbers with care, and what to use instead of what does not win; one sentence each."""
    few = (
        [f"only {split.queries} queries: the verdict hangs on a handful of them; judge more (`crossforge judge`)"]
        if split.queries < FEW_QUERIES
        else []
    )
    return [
        *use_instead(split, metric),
        *([_unjudged(split)] if split.pseudo else []),
        *few,
        *_better(split, metric),
    ]


def _unjudged(split: SplitReport) -> str:
    """What it means that people judged no more than half of the queries, by who judged the others."""
    machines = " and ".join(who for who in split.judges if who not in (PEOPLE, CLICKS, PSEUDO_QUERIES))
    ours = sum(split.judges.get(who, 0) for who in (PEOPLE, CLICKS))
    if not ours:
        return _MACHINE.format(people=_NOBODY, who=machines, did="did", mostly="") if machines else PSEUDO
    people = f"people judged only {ours:,} of these {sum(split.judges.values()):,} queries"
    if machines:
        return _MACHINE.format(people=people, who=machines, did="judged others", mostly="mostly ")
    return _PSEUDO.format(people=people, others="the others are", little="little")


def remarks(split: SplitReport) -> list[str]:
    """Who judged the queries, and how many are documents themselves or too long to be reranked."""
    own, unread = split.own_documents, split.unread
    judged = set(split.judges) - {PSEUDO_QUERIES}  # if there is nothing else, a warning says so
    return [
        *([f"judged by {by_whom(split.judges)}"] if judged else []),
        *([f"{own:,} of the queries are documents themselves, which are left out of their candidates"] if own else []),
        *(
            [f"{unread:,} of the queries leave the model no room for a document and keep the first stage's order"]
            if unread
            else []
        ),
    ]


def _better(split: SplitReport, metric: str) -> list[str]:
    """The best system that beats the subject without deciding the verdict, if there is one."""
    means = {system.name: system.means[metric] for system in split.systems}
    better = [
        found
        for found in split.comparisons
        if found.system == split.subject and not found.decisive and found.verdict == "REGRESSION"
    ]
    if not better:
        return []
    found = min(better, key=lambda comparison: comparison.difference)
    how = how_to_use(found.baseline)
    return [
        f"{found.baseline} needs no training and is better than {found.system}: {metric} "
        f"{number(means[found.baseline])} against {number(means[found.system])}, p {p_value(found.p_value)}"
        + (f"; {how}" if how else "")
    ]


_GUARDED = {
    "HELD": "it loses less than {margin:g} against the {baseline}",
    "FORGOTTEN": "it is worse than the {baseline}, and may be so by more than the {margin:g} that is accepted",
    "NOT SHOWN": "these queries cannot tell whether it loses more than {margin:g} against the {baseline}",
}


def guard_line(guard: Guard) -> str:
    """What was forgotten on the general collection, in one sentence."""
    found = _GUARDED[guard.outcome].format(margin=guard.margin, baseline=guard.baseline)
    return (
        f"{guard.outcome} on {guard.collection} ({guard.split}), which it was not trained for: {found} "
        f"({guard.metric} {number(guard.after)} against {number(guard.before)}, {signed(guard.difference)} "
        f"{interval(guard.interval)}, {guard.queries} queries{_judged(guard)})"
    )


def _judged(guard: Guard) -> str:
    return f", judged by {by_whom(guard.judges)}" if guard.judges else ""


def budget_line(budget: Budget) -> str:
    """What the front of quality against latency is made of, and what was picked from it, in one sentence."""
    found = budget.shipped
    student = f" and the student of {found.layers} layers" if found.layers else ""
    return (
        f"{found.milliseconds:.0f} ms of {budget.milliseconds:g} a query: {found.depth} candidates with "
        f"{found.backend}{student} ship, the fastest of {len(budget.points)} measured points that is as good on dev as "
        "the best within the budget"
    )


def budget_header(budget: Budget, metric: str) -> list[str]:
    """The column titles that go with `budget_rows`."""
    return [*_layers(budget, "layers"), "candidates", "passages", "backend", "ms a query", f"{metric} on dev", ""]


def budget_rows(budget: Budget) -> list[list[str]]:
    """The points than which none is both as fast and better, the fastest first; the one that ships is marked."""
    return [
        [
            *_layers(budget, "all" if point.layers is None else str(point.layers)),
            str(point.depth), str(point.passages), point.backend, f"{point.milliseconds:.0f}", number(point.quality),
            SHIPS if point == budget.shipped else "",
        ]
        for point in front(budget.points)
    ]  # fmt: skip


def _layers(budget: Budget, cell: str) -> list[str]:
    """The cell of the column that there is only if there are students."""
    return [cell] if any(point.layers for point in budget.points) else []


def agreement_line(found: Agreement) -> str:
    """How far a judge of queries agrees with people, in one sentence."""
    said = in_words(found)
    if found.left_out:
        said += f"; {found.left_out:,} of its {found.graded:,} labels are probably wrong by these pairs, and left out"
    return said[0].upper() + said[1:]


def agreement_header(found: Agreement) -> list[str]:
    """The column titles that go with `agreement_rows`."""
    return ["people / model", *found.levels]


def agreement_rows(found: Agreement) -> list[list[str]]:
    """Pairs by what people said, a row each, and by what the machine said; empty if there are none."""
    rows = zip(found.levels, found.confusion, strict=True) if found.pairs else ()
    return [[level, *(f"{count:,}" for count in counts)] for level, counts in rows]


def orders_line(found: SystemOrders, agreement: Agreement) -> str:
    """How far a judge of queries and people put systems into the same order, in one sentence."""
    if found.tau is None:
        return f"Whether people and {agreement.judge} put systems into the same order cannot be said: {found.why}"
    low_high = "" if found.interval is None else f" [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"
    return (
        f"Labels of people and of {agreement.judge} put {len(found.people)} systems into orders that agree to a "
        f"Kendall's tau of {found.tau:.2f}{low_high} on {found.queries:,} queries"
    )


def orders_header(found: SystemOrders) -> list[str]:
    """The column titles that go with `orders_rows`."""
    return ["system", f"{found.metric} by people", f"{found.metric} by the model"]


def orders_rows(found: SystemOrders) -> list[list[str]]:
    """A row for each system, the best by people's labels first; empty if none were measured."""
    ordered = sorted(found.people, key=lambda system: -found.people[system])
    return [[system, number(found.people[system]), number(found.machine[system])] for system in ordered]


def with_article(system: str) -> str:
    """A system's name within a sentence."""
    return f"the {system}" if system in (FIRST_STAGE, INCUMBENT) else system


def number(value: float | None) -> str:
    """Three decimals; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """Three decimals and the sign, plus included."""
    return f"{value:+.3f}"


def interval(bounds: Sequence[float]) -> str:
    """The two ends of an interval of differences, signed."""
    return f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]"


def p_value(value: float) -> str:
    """Three decimals, or `<0.001`."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _other_measures(split: SplitReport, metric: str) -> list[str]:
    return [measure for measure in split.systems[0].means if measure != metric]


def _row(split: SplitReport, system: SystemResult, metric: str) -> list[str]:
    low, high = system.interval
    cells = [system.name, f"{number(system.means[metric])} [{low:.3f}, {high:.3f}]"]
    cells += [number(system.means[measure]) for measure in _other_measures(split, metric)]
    pair = (system.name, split.baseline)
    found = next((found for found in split.comparisons if (found.system, found.baseline) == pair), None)
    if found is None:
        return [*cells, "", "", ""]
    return [
        *cells,
        f"{signed(found.difference)} {interval(found.interval)}",
        p_value(found.p_value),
        f"{found.wins} / {found.losses}",
    ]
