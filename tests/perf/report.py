"""Tables for people: budgets first, then what they are made of."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf.budgets import Verdict, judge
from tests.perf.flame import Profile, Share
from tests.perf.headline import headline

Result = dict[str, Any]


def show(result: Result, *, baseline: Result | None, console: Console) -> None:
    """Print a whole result."""
    show_headline(result, console=console)
    shape, environment = result["shape"], result["environment"]
    comparable = baseline is not None and baseline["shape"] == shape
    facts = ", ".join(f"{name} {value}" for name, value in environment.items())
    console.print(f"{shape['vms']} VMs on {shape['nodes']} simulated nodes; {facts}", highlight=False)
    if baseline is not None and not comparable:
        console.print("The baseline is of another shape: no ratios.", highlight=False)
    ratios = baseline if comparable else None
    for table in (
        _budgets(result, ratios),
        _latencies(result),
        _steps(result),
        _seconds(result, ratios),
        _writes(result),
        _rejected(result),
        _usage(result),
    ):
        if table.row_count:
            console.print()
            console.print(table)


def show_headline(result: Result, *, console: Console) -> None:
    """Print on one line, however long, whether the machine was quiet and which budgets are not met."""
    console.print(headline(result), highlight=False, markup=False, soft_wrap=True)


def show_budgets(result: Result, *, baseline: Result, console: Console) -> None:
    """Print the headline, and of the budgets those that were measured."""
    show_headline(result, console=console)
    table = _budgets(result, baseline, only_measured=True)
    for found in (table, _rejected(result)):
        if found.row_count:
            console.print(found)


def budgets_as_json(result: Result) -> list[dict[str, Any]]:
    """For programs: every budget with its figure, None where it was not measured."""
    return [
        {"name": verdict.budget.name, "limit": verdict.budget.limit, "peer": verdict.budget.peer,
         "unit": verdict.budget.unit, "measured": verdict.measured, "met": verdict.is_met}
        for verdict in judge(result)
    ]  # fmt: skip


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _budgets(result: Result, baseline: Result | None, *, only_measured: bool = False) -> Table:
    table = _table("Budgets", "MEASURE", "PEER", "BUDGET", "MEASURED", "MET", "VS BASELINE")
    before = {verdict.budget.name: verdict for verdict in judge(baseline)} if baseline else {}
    for verdict in judge(result):
        if only_measured and verdict.measured is None:
            continue
        budget = verdict.budget
        old = before.get(budget.name)
        table.add_row(
            f"{budget.name} ({budget.unit})" if budget.unit else budget.name,
            "-" if budget.peer is None else f"{budget.peer:g}",
            f"{budget.limit:g}",
            "-" if verdict.measured is None else f"{verdict.measured:g}",
            _met(verdict),
            ratio(verdict.measured, old.measured if old else None),
        )
    return table


def _met(verdict: Verdict) -> str:
    match verdict.is_met:
        case None:
            return "not measured"
        case True:
            return "[green]yes[/]"
        case False:
            return "[red]no[/]"


def ratio(measured: float | None, before: float | None) -> str:
    """How many times the figure of the baseline it is; "-" without one."""
    if measured is None or before is None:
        return "-"
    if before == 0:
        return "=" if measured == 0 else f"0 to {measured:g}"
    return f"{measured / before:.2f}"


def _latencies(result: Result) -> Table:
    table = _table("Latencies in ms", "FROM THE ANSWERED PATCH OF THE VM TO", "P50", "P95", "P99", "MAX")
    for phase, rows in result["milliseconds"].items():
        for name, figures in rows.items():
            table.add_row(f"{phase}: {name}", *(f"{figures[key]:.1f}" for key in ("p50", "p95", "p99", "max")))
    return table


def _steps(result: Result) -> Table:
    table = _table("A hot-plug step by step, p50 (p99) in ms by the API server's clock", "WRITE", "REACTION", "SERVED")
    for phase, steps in result["steps"].items():
        for name, step in steps.items():
            cells = (f"{step[key]['p50']:.1f} ({step[key]['p99']:.1f})" for key in ("reaction", "served"))
            table.add_row(f"{phase}: {name}", *cells)
    return table


def _seconds(result: Result, baseline: Result | None) -> Table:
    table = _table("Seconds from the first request to the last arrival", "WHAT", "SECONDS", "VS BASELINE")
    for name, value in result["seconds"].items():
        old = baseline["seconds"].get(name) if baseline else None
        table.add_row(name, f"{value:.2f}", ratio(value, old))
    return table


def _writes(result: Result) -> Table:
    table = _table(
        "Writes of the operator, from the audit log, Lease not counted", "VERB RESOURCE CODE", *result["writes"]
    )
    kinds = {kind: None for writes in result["writes"].values() for kind in writes["by_kind"]}
    for kind in kinds:
        table.add_row(kind, *(str(writes["by_kind"].get(kind, "")) for writes in result["writes"].values()))
    for name, label in (("total", "all"), ("rejected", "rejected"), ("per_operation", "per operation")):
        table.add_row(f"[bold]{label}[/]", *(f"{writes[name]:g}" for writes in result["writes"].values()))
    return table


def _rejected(result: Result) -> Table:
    """Of each part that has a sandbox of its own, and counts no kinds of writes."""
    table = _table("Writes of nicplug, by part", "PART", "WRITES", "REJECTED")
    for name, part in result.items():
        if isinstance(part, dict) and (writes := part.get("all_writes")):
            table.add_row(name, str(writes["total"]), str(writes["rejected"]))
    return table


def _usage(result: Result) -> Table:
    table = _table("CPU seconds, and MiB of memory at the end", "PROCESS", *result["usage"])
    names = {name: None for usage in result["usage"].values() for name in usage}
    for name in names:
        table.add_row(name, *(_figures(usage.get(name)) for usage in result["usage"].values()))
    return table


def _figures(usage: Mapping[str, float] | None) -> str:
    return f"{usage['cpu_seconds']:.2f} s {usage['rss_mib']:5.0f}" if usage else ""


def show_profile(name: str, profile: Profile, *, console: Console) -> None:
    """Print where the operator's CPU time of one phase went."""
    table = _table(f"Profile of the operator: {name} ({profile.samples} samples)", "WHERE", "SHARE", "")
    for heading, shares in (
        ("caused by", profile.areas),
        ("inclusive", profile.functions),
        ("own time", profile.lines),
    ):
        table.add_row(f"[bold]{heading}[/]", "", "")
        for row in _rows(shares):
            table.add_row(*row)
    console.print()
    console.print(table)


def _rows(shares: tuple[Share, ...]) -> Iterator[tuple[str, str, str]]:
    for share in shares:
        yield f"  {share.name}", f"{share.share:.1%}", "█" * round(share.share * 40)
