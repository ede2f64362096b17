"""The results as text: Markdown tables, and their place in the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import GOALS, Goal, Held, Results, Summary

BEGIN_MARK = "<!-- results: written by `make bench` from here -->"
END_MARK = "<!-- results: to here -->"
NOT_MEASURED = "–"


def format_number(value: float | None) -> str:
    """Three significant digits or all whole ones, with a dash for what was not measured."""
    if value is None:
        return NOT_MEASURED
    size = abs(value)
    if value == int(value) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def results_table(results: Results) -> str:
    """One row per figure, one column per server; what must be zero comes last."""
    kinds = results.kinds()
    in_order = sorted(results.samples, key=lambda figure: figure.summary is Summary.WORST)
    rows = [[figure.heading, *(format_number(results.value(figure, kind)) for kind in kinds)] for figure in in_order]
    return _table(["", *(kind.heading for kind in kinds)], rows)


def goals_table(results: Results) -> str:
    """Goal, measured, reached: for those goals whose parts were all measured."""
    rows: list[list[str]] = []
    for goal in GOALS:
        measured = goal.measured(results)
        if measured is not None:
            rows.append([_describe(goal), format_number(measured), "yes" if goal.is_reached(measured) else "**no**"])
    return _table(["Goal", "Measured", "Reached"], rows) if rows else ""


def _describe(goal: Goal) -> str:
    bound = f"at {'most' if goal.is_most else 'least'} {goal.limit:g}"
    if goal.peer is None:
        return f"{goal.figure.heading}: {bound}"
    which = f" with {Held.STREAM.plural}" if goal.peer_figure is not None else ""
    return f"{goal.figure.title}: {bound} × {goal.peer.heading}{which}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def replace_between_marks(text: str, body: str) -> str:
    """``text`` with everything between the two marks replaced.

    Raises:
        ValueError: the marks are not there exactly once, in order.
    """
    if text.count(BEGIN_MARK) != 1 or text.count(END_MARK) != 1 or text.index(BEGIN_MARK) > text.index(END_MARK):
        raise ValueError(f"expected {BEGIN_MARK!r} and then {END_MARK!r}, once each")
    before, _, rest = text.partition(BEGIN_MARK)
    after = rest.partition(END_MARK)[2]
    return f"{before}{BEGIN_MARK}\n{body.strip()}\n{END_MARK}{after}"
