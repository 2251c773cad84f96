"""A soak's outcome for people, and for programs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.soak.run import Outcome


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything, with what decides the exit code first."""
    return {"holds": not outcome.violations, **asdict(outcome)}


def show(outcome: Outcome, *, console: Console) -> None:
    """Print the figures, then what does not hold."""
    table = Table(
        title=f"Soak of {outcome.shape.scenario}, seed {outcome.seed}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("WHAT")
    table.add_column("FIGURE", overflow="fold")
    shape = outcome.shape
    for what, figure in (
        ("operations", f"{sum(outcome.done.values())} on {shape.vms} VMs: {_list(outcome.done)}"),
        ("not possible when they came", str(len(outcome.not_possible))),
        ("faults", _list(outcome.faults)),
        ("connections cut", str(outcome.connections_cut)),
        ("migrations", _list(outcome.migrations)),
        ("migrations at once", _list(outcome.at_once)),
        ("NICs that were ready, by their path", _list(outcome.paths)),
        *([("NICs whose reports say why not", str(len(outcome.explained)))] if outcome.virt_controller_starts else []),
        ("operator processes started", str(outcome.starts)),
        ("ended by themselves", str(len(outcome.ends))),
        *([("virt-controller started", str(outcome.virt_controller_starts))] if outcome.virt_controller_starts else []),
        ("as declared after the last operation", _seconds(outcome.converged_seconds)),
        ("writes of the operator", f"{sum(outcome.writes.values())}: {_list(outcome.writes)}"),
        ("of these refused", f"{sum(outcome.rejected.values())}: {_list(outcome.rejected)}"),
        (f"writes in {shape.rest_seconds:.0f} s of rest", str(sum(outcome.rest_writes.values()))),
        ("RSS of the replicas at the end, MiB", _list(outcome.rss_mib)),
        ("events dropped by them", f"{outcome.events_dropped:g}"),
        ("warnings in their logs", _list(outcome.warnings)),
        ("whole soak", _seconds(outcome.seconds)),
    ):
        table.add_row(what, figure)
    console.print(table)
    console.print()
    if not outcome.violations:
        console.print("[green]Everything holds.[/]")
        return
    console.print(f"[red]{len(outcome.violations)} things do not hold:[/]")
    for text in outcome.violations:
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def _list(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure:g}" for name, figure in figures.items()) or "none"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
