"""The migrations of a bench for people: what they took, what explains it, what they cost, and how it looked."""

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from tests.perf.headline import caption
from tests.perf.plot import Axis, Line, Plot, Span, render
from tests.perf.report import ratio

Figures = dict[str, Any]
_BAR = 40
_BINS = 24
_PICTURE_MARGIN = 1.02


def show(found: Figures, *, baseline: Figures | None, console: Console) -> None:
    """Print everything; ratios only against a run of the same shape."""
    comparable = baseline if baseline is not None and baseline["shape"] == found["shape"] else None
    for part in _parts(found, comparable):
        console.print()
        console.print(part, highlight=False)


def save_picture(found: Figures, *, path: Path) -> None:
    """Write slots, queue and arrivals of the crowd over time, and a single migration step by step, as SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture(found))


def picture(found: Figures) -> str:
    """The plots as one SVG."""
    crowd, steps, seen = found["crowd"], found["steps"], found["over_time"]
    end = max((moment for line in seen.values() for moment, _ in line), default=1.0) * _PICTURE_MARGIN
    limit = Line(
        legend=f"limit of the cluster, {crowd['limit']}", points=[(0.0, crowd["limit"]), (end, crowd["limit"])]
    )
    slots, queue, arrived = (stairs(seen[name], end=end) for name in ("slots", "queue", "arrived"))
    plots = [
        Plot(title="Migrations with a slot", unit="short", lines=[limit, Line(legend="migrations", points=slots)]),
        Plot(title="Migrations in the queue", unit="short", lines=[Line(legend="migrations", points=queue)]),
        Plot(title="NICs in the guest", unit="short", lines=[Line(legend="NICs", points=arrived)]),
        Plot(
            title=f"One migration alone, p50 of {found['single']['nics']}",
            unit="ms",
            across=Axis(end=max((one["p50"] for one in steps.values()), default=1.0), unit="ms"),
            spans=[Span(legend=name, begin=begin, end=end) for name, begin, end in _consecutive(steps)],
        ),
    ]
    note = f"{crowd['nics']} NICs asked for at once, each by a migration whose copy takes {crowd['copy_seconds']:g} s"
    notes = [note, caption({"migrations": found}, cpus=os.cpu_count())]
    return render(plots, title="nicplug: NICs by migration (make bench)", seconds=end, notes=notes, columns=2)


def stairs(steps: Sequence[Sequence[float]], *, end: float) -> list[tuple[float, float]]:
    """The corners of a step function, up to `end`."""
    corners: list[tuple[float, float]] = []
    for moment, count in steps:
        if corners:
            corners.append((moment, corners[-1][1]))
        corners.append((moment, count))
    return [*corners, (end, corners[-1][1])] if corners else []


def _consecutive(steps: dict[str, dict[str, float]]) -> Iterator[tuple[str, float, float]]:
    """Until each step: from the one before to its own moment; in ms."""
    begin = 0.0
    for name, figures in steps.items():
        end = max(begin, figures["p50"])
        yield f"until {name}", begin, end
        begin = end


def _parts(found: Figures, baseline: Figures | None) -> Iterator[RenderableType]:
    yield latencies(found, baseline)
    yield explanation(found["crowd"])
    yield limits(found)
    yield writes(found, baseline)
    yield plot_steps(found["steps"])
    yield plot_running(found)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def latencies(found: Figures, baseline: Figures | None) -> Table:
    """From the answered PATCH of the VM to each milestone."""
    shape = found["shape"]
    title = f"NICs by migration, copy {shape['copy_seconds']:g} s, ms from the answered PATCH of the VM"
    table = _table(title, "TO", "P50", "P95", "P99", "MAX", "P50 VS BASELINE")
    for name, rows in found["milliseconds"].items():
        for milestone, figures in rows.items():
            before = baseline["milliseconds"][name].get(milestone, {}).get("p50") if baseline else None
            cells = (f"{figures[key]:.0f}" for key in ("p50", "p95", "p99", "max"))
            table.add_row(f"{name}: {milestone}", *cells, ratio(figures["p50"], before))
    return table


def explanation(crowd: Figures) -> Table:
    """The total beside limit x copy."""
    rounds, limit, copy = crowd["rounds"], crowd["limit"], crowd["copy_seconds"]
    table = _table(f"{crowd['nics']} VMs at once, explained by limit x copy", "WHAT", "HOW", "SECONDS")
    for what, overhead, seconds in (
        ("copies alone", "", crowd["copies_alone"]),
        ("with the overhead of one at a time", f" + {crowd['overhead_alone']:g}", crowd["expected_alone"]),
        ("with the overhead in the crowd", f" + {crowd['overhead_together']:g}", crowd["expected_together"]),
    ):
        how = f"ceil({crowd['nics']}/{limit}) x ({copy:g}{overhead} s) = {rounds} x {copy:g}{overhead}"
        table.add_row(what, how, f"{seconds:.1f}")
    arrival = crowd["arrival_together"] - crowd["arrival_alone"]
    table.add_row("of this overhead", "waiting for the node that the scheduler chose", f"{rounds * arrival:.1f}")
    used = f"first request to the last end; {crowd['slots_used']:g} of {limit} slots in use on average"
    table.add_row("[bold]measured[/]", used, f"[bold]{crowd['seconds']:.1f}[/]")
    return table


def limits(found: Figures) -> Table:
    """What was at once, by the API alone, beside what is allowed; and whether anything failed or came twice."""
    bounds = found["crowd"]["limits"]
    table = _table("Migrations, by watches of the API", "WHAT", "ALLOWED", "SINGLE", "CROWD")
    rows: tuple[tuple[str, str, Any], ...] = (
        ("NICs asked for", "nics", "-"),
        ("migrations", "migrations", "-"),
        ("succeeded", "succeeded", "-"),
        ("failed", "failed", 0),
        ("unfinished", "unfinished", 0),
        ("doubled", "doubled", 0),
        ("at once, cluster", "peak_cluster", bounds["cluster"]),
        ("at once, from one node", "peak_outbound", bounds["outbound"]),
        ("at once, to one node", "peak_inbound", bounds["inbound"]),
        ("slot taken up, mean s", "slot_seconds", "-"),
    )
    for what, key, allowed in rows:
        table.add_row(what, str(allowed), *(_checked(found[name][key], allowed) for name in ("single", "crowd")))
    return table


def _checked(value: float, allowed: Any) -> str:
    return f"[red]{value:g}[/]" if allowed != "-" and value > allowed else f"{value:g}"


def writes(found: Figures, baseline: Figures | None) -> Table:
    """What the operator wrote for one migration, hot-plug included."""
    names = tuple(found["writes"])
    title = "Writes of the operator per NIC by migration, from the audit log, Lease not counted (times the baseline)"
    table = _table(title, "VERB RESOURCE CODE", *names)
    kinds = {kind: None for one in found["writes"].values() for kind in one["by_kind"]}
    for kind in kinds:
        table.add_row(kind, *(_per_nic(found, baseline, name, kind) for name in names))
    for key, label in (("total", "all"), ("events", "of these events"), ("rejected", "rejected")):
        table.add_row(f"[bold]{label}[/]", *(_per_nic(found, baseline, name, key) for name in names))
    return table


def _per_nic(found: Figures, baseline: Figures | None, name: str, key: str) -> str:
    value = _write_count(found, name, key)
    before = _write_count(baseline, name, key) if baseline else None
    return f"{value:.2f}" + (f" ({ratio(value, before)})" if before is not None else "")


def _write_count(found: Figures, name: str, key: str) -> float:
    counts, nics = found["writes"][name], found[name]["nics"]
    count: int = counts[key] if key in counts else counts["by_kind"].get(key, 0)
    return count / int(nics)


def plot_steps(steps: dict[str, dict[str, float]]) -> Table:
    """Where the time of a single migration goes: each bar begins where the one before ends."""
    table = Table(title="A single migration step by step, p50 ms", title_justify="left", box=None, show_header=False)
    longest = max((figures["p50"] for figures in steps.values()), default=0.0)
    for name, begin, end in _consecutive(steps):
        skipped, filled = (round(_BAR * part / longest) if longest else 0 for part in (begin, end - begin))
        table.add_row(name, f"{end:.0f}", " " * skipped + "█" * max(1, filled))
    return table


def plot_running(found: Figures) -> Table:
    """How many migrations ran over the time of the crowd."""
    limit = found["crowd"]["limit"]
    title = f"Migrations at once in the crowd (limit {limit}), mean of each piece of time"
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    for begin, mean in binned(found["running"]["crowd"], bins=_BINS):
        table.add_row(f"{begin:.1f} s", f"{mean:.1f}", "█" * round(_BAR * mean / limit))
    return table


def binned(running: Sequence[Sequence[float]], *, bins: int) -> list[tuple[float, float]]:
    """Mean of a step function in equal pieces of its time: `(seconds from its start, mean)` of each.

    Args:
        running: pairs of a moment and the value from then on; the last value is that of the end.
    """
    if len(running) < 2:
        return []
    start, end = running[0][0], running[-1][0]
    width = (end - start) / bins
    steps = list(itertools.pairwise(running))
    pieces = []
    for number in range(bins if width else 0):
        low = start + number * width
        area = sum(value * max(0.0, min(low + width, after) - max(low, at)) for (at, value), (after, _) in steps)
        pieces.append((low - start, area / width))
    return pieces
