"""What came out of the drills: a table for people, JSON for programs, a picture with axes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.chaos.accounts import DYNAMIC, MIGRATION, Account, Hotplug, as_json
from tests.chaos.shape import Shape
from tests.perf.plot import Line, Mark, Plot, Point, render


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Everything that a run found.

    Attributes:
        violations: what does not hold beside lost and doubled NICs; sentences.
        hotplugs: every NIC that was asked for.
        refusals: seconds since the run began, and how many requests the gateway had refused or broken by then.
        starts: operator processes.
        ends: those that ended by themselves, by their last lines.
    """

    seed: int
    shape: Shape
    accounts: list[Account] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    hotplugs: list[Hotplug] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    refusals: list[Point] = field(default_factory=list)
    starts: int = 0
    ends: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Nothing is lost, nothing is doubled, nothing else is wrong."""
        return not self.violations and not any(one.lost or one.doubled for one in self.accounts)

    @property
    def total(self) -> Account:
        """The sum over all drills."""
        return Account(
            drill="total",
            started=sum(one.started for one in self.accounts),
            finished=sum(one.finished for one in self.accounts),
            in_place=sum(one.in_place for one in self.accounts),
            migrated=sum(one.migrated for one in self.accounts),
            lost=tuple(name for one in self.accounts for name in one.lost),
            doubled=tuple(name for one in self.accounts for name in one.doubled),
            longest_wait=max((one.longest_wait for one in self.accounts), default=0.0),
            longest_stall=max((one.longest_stall for one in self.accounts), default=0.0),
        )


def to_json(outcome: Outcome) -> dict[str, Any]:
    """With what decides the exit code first."""
    return {
        "holds": outcome.holds,
        "seed": outcome.seed,
        "vms": outcome.shape.vms,
        "total": as_json(outcome.total),
        "drills": [as_json(one) for one in outcome.accounts],
        "violations": outcome.violations,
        "operatorStarts": outcome.starts,
        "operatorEnds": outcome.ends,
        "seconds": outcome.seconds,
    }


_COLUMNS = ("STARTED", "FINISHED", "LOST", "DOUBLED", "IN PLACE", "MIGRATED", "WAIT", "STALL")


def show(outcome: Outcome, *, console: Console) -> None:
    """A row for each drill and one for all, then what does not hold."""
    table = Table(title=f"Failure drills, seed {outcome.seed}", title_justify="left", box=None, pad_edge=False)
    table.add_column("DRILL", no_wrap=True)
    for heading in _COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("WHAT WENT WRONG", overflow="fold")
    for one in (*outcome.accounts, outcome.total):
        table.add_row(one.drill, *_figures(one), one.evidence)
    console.print(table, highlight=False)
    console.print(
        f"\nWAIT: the longest of one NIC. STALL: the longest time for which NICs waited and none arrived. "
        f"{outcome.starts} operator processes started, {len(outcome.ends)} ended by themselves; "
        f"{outcome.shape.vms} VMs; {outcome.seconds:.0f} s.\n",
        highlight=False,
    )
    if outcome.holds:
        console.print("[green]Nothing is lost, nothing is doubled.[/]")
        return
    console.print("[red]It does not hold:[/]")
    for text in _complaints(outcome):
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)


def _figures(one: Account) -> tuple[str, ...]:
    counts = (one.started, one.finished, len(one.lost), len(one.doubled), one.in_place, one.migrated)
    return (*map(str, counts), f"{one.longest_wait:.1f} s", f"{one.longest_stall:.1f} s")


def _complaints(outcome: Outcome) -> Iterable[str]:
    for one in outcome.accounts:
        yield from (f"{one.drill}: NIC {name} is lost" for name in one.lost)
        yield from (f"{one.drill}: NIC {name} is doubled" for name in one.doubled)
    yield from outcome.violations


def picture(outcome: Outcome) -> str:
    """Over the seconds of the run, with a mark where each drill begins: an SVG."""
    marks = [
        Mark(seconds=one.window[0], text=f"{one.drill}: {outcome.titles.get(one.drill, '')}")
        for one in outcome.accounts
    ]
    paths = ((DYNAMIC, "in place"), (MIGRATION, "by migration"))
    plots = [
        Plot(title="NICs that wait", unit="short", lines=[_waiting(outcome.hotplugs, p, text) for p, text in paths]),
        Plot(title="NICs in their guests", unit="short", lines=[_done(outcome.hotplugs, p, text) for p, text in paths]),
        Plot(title="How long each waited", unit="s", lines=[_waits(outcome.hotplugs, p, text) for p, text in paths]),
        Plot(title="Requests refused or cut so far", unit="short", lines=[Line(legend="", points=outcome.refusals)]),
    ]
    total = outcome.total
    title = (
        f"Failure drills, seed {outcome.seed}: {total.started} NICs started, {total.finished} finished, "
        f"{len(total.lost)} lost, {len(total.doubled)} doubled, longest stall {total.longest_stall:.1f} s"
    )
    return render(plots, title=title, seconds=max(outcome.seconds, 1.0), marks=marks, columns=2)


def _of(hotplugs: Iterable[Hotplug], path: str) -> list[tuple[float, float]]:
    found = [(one.asked, max(one.asked, one.ready)) for one in hotplugs
             if one.path == path and one.asked is not None and one.ready is not None]  # fmt: skip
    return sorted(found)


def _waiting(hotplugs: Iterable[Hotplug], path: str, legend: str) -> Line:
    found = _of(hotplugs, path)
    moments = sorted([(asked, 1) for asked, _ in found] + [(ready, -1) for _, ready in found])
    return Line(legend=legend, points=_steps(moments))


def _done(hotplugs: Iterable[Hotplug], path: str, legend: str) -> Line:
    return Line(legend=legend, points=_steps([(ready, 1) for ready in sorted(end for _, end in _of(hotplugs, path))]))


def _waits(hotplugs: Iterable[Hotplug], path: str, legend: str) -> Line:
    """By the moment of asking, down to zero between two, so that each is a spike of its own."""
    points: list[Point] = []
    for asked, ready in _of(hotplugs, path):
        points += [(asked, 0.0), (asked, ready - asked), (asked, 0.0)]
    return Line(legend=legend, points=points)


def _steps(moments: Sequence[tuple[float, int]]) -> list[Point]:
    points, height = [(0.0, 0.0)], 0
    for moment, step in moments:
        points += [(moment, float(height)), (moment, float(height + step))]
        height += step
    return points
