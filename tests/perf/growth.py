"""Does the cost of an event stay the same when there are more VMs? Measured at several sizes, shown and plotted.

Each size has a sandbox and an operator of its own, so that a larger one inherits nothing from a smaller one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from tests.perf.milestones import Milestone
from tests.perf.plot import Axis, Line, Plot, render
from tests.perf.resources import others_percent
from tests.perf.results import count_writes, summary
from tests.perf.scenarios import Phase

SIZES = (100, 200, 400, 800)
IDLE_HOTPLUGS = 60
_BAR = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What an event costs among so many VMs; CPU is that of the whole phase, pauses included, by its events.

    Attributes:
        writes_rejected: of the starts and the hot-plugs together; None in results that do not have it.
        others_percent: of the machine's CPU, the most in a phase; None likewise.
    """

    vms: int
    annotation_p50_ms: float
    guest_p50_ms: float
    operator_ms_per_hotplug: float
    apiserver_ms_per_hotplug: float
    operator_ms_per_start: float
    writes_per_hotplug: float
    writes_per_start: float
    rss_mib: float
    writes_rejected: int | None = None
    others_percent: float | None = None


@dataclass(frozen=True, slots=True)
class _Measure:
    name: str
    of: Callable[[Point], float]
    is_per_event: bool = True


_MEASURES = (
    _Measure("idle hot-plug: VM spec to pod annotation, p50 ms", lambda point: point.annotation_p50_ms),
    _Measure("idle hot-plug: VM spec to the guest, p50 ms", lambda point: point.guest_p50_ms),
    _Measure("CPU of the operator per hot-plug, ms", lambda point: point.operator_ms_per_hotplug),
    _Measure("CPU of kube-apiserver per hot-plug, ms", lambda point: point.apiserver_ms_per_hotplug),
    _Measure("CPU of the operator per start, ms", lambda point: point.operator_ms_per_start),
    _Measure("writes per hot-plug", lambda point: point.writes_per_hotplug),
    _Measure("writes per start", lambda point: point.writes_per_start),
    _Measure("RSS of the operator, MiB (not per event)", lambda point: point.rss_mib, is_per_event=False),
)


_PLOTS: tuple[tuple[str, str, Mapping[str, Callable[[Point], float]]], ...] = (
    (
        "Single hot-plug, from the VM's spec, p50",
        "ms",
        {
            "to the pod annotation": lambda point: point.annotation_p50_ms,
            "to the guest": lambda point: point.guest_p50_ms,
        },
    ),
    (
        "CPU per event",
        "ms",
        {
            "operator, a hot-plug": lambda point: point.operator_ms_per_hotplug,
            "operator, a start": lambda point: point.operator_ms_per_start,
            "kube-apiserver, a hot-plug": lambda point: point.apiserver_ms_per_hotplug,
        },
    ),
    (
        "Writes per event",
        "short",
        {"a hot-plug": lambda point: point.writes_per_hotplug, "a start": lambda point: point.writes_per_start},
    ),
    ("Memory of the operator, RSS", "MiB", {"operator": lambda point: point.rss_mib}),
)


def point(*, vms: int, phases: Mapping[str, Phase]) -> Point:
    """The figures of one size, from its starts and its single hot-plugs."""
    starts, idle = phases["starts"], phases["idle"]

    def latency(milestone: Milestone) -> float:
        return summary([one.seen[milestone] - one.answered for one in idle.hotplugs])["p50"]

    return Point(
        vms=vms,
        annotation_p50_ms=latency(Milestone.ANNOTATION),
        guest_p50_ms=latency(Milestone.IN_GUEST),
        operator_ms_per_hotplug=_cpu_ms(idle, "operator"),
        apiserver_ms_per_hotplug=_cpu_ms(idle, "kube-apiserver"),
        operator_ms_per_start=_cpu_ms(starts, "operator"),
        writes_per_hotplug=count_writes(idle).per_operation,
        writes_per_start=count_writes(starts).per_operation,
        rss_mib=idle.usage["operator"].rss_mib,
        writes_rejected=sum(count_writes(phase).rejected for phase in phases.values()),
        others_percent=max((share for share in map(_others, phases.values()) if share is not None), default=None),
    )


def _cpu_ms(phase: Phase, process: str) -> float:
    return round(phase.usage[process].cpu_seconds * 1000 / phase.operations, 1)


def _others(phase: Phase) -> float | None:
    return others_percent({name: usage.cpu_seconds for name, usage in phase.usage.items()})


def as_json(points: Sequence[Point]) -> list[dict[str, Any]]:
    """For programs: one object per size."""
    return [asdict(one) for one in points]


def table(points: Sequence[Point]) -> Table:
    """Every figure, and beside it how many times the figure of the smallest size it is."""
    shown = Table(title="Growth (times the first)", title_justify="left", box=None, pad_edge=False, header_style="bold")
    shown.add_column("COST")
    for one in points:
        shown.add_column(f"{one.vms} VMs", justify="right")
    for measure in _MEASURES:
        shown.add_row(measure.name, *(f"{measure.of(one):g} ({_ratio(measure, one, points):.2f})" for one in points))
    rejected = ("-" if one.writes_rejected is None else str(one.writes_rejected) for one in points)
    shown.add_row("writes rejected (not per event)", *rejected)
    return shown


def worst(points: Sequence[Point]) -> str:
    """A sentence: which cost per event has grown most from the smallest to the largest size."""
    ratios = {measure.name: _ratio(measure, points[-1], points) for measure in _MEASURES if measure.is_per_event}
    name = max(ratios, key=lambda key: ratios[key])
    return (
        f"From {points[0].vms} to {points[-1].vms} VMs ({points[-1].vms / points[0].vms:.0f} times as many) "
        f"the cost per event that grew most grew {ratios[name]:.2f} times: {name}."
    )


def plot(points: Sequence[Point]) -> Table:
    """Bars of every measure by size: equal bars are a flat cost."""
    shown = Table(title="Growth, plotted", title_justify="left", box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        shown.add_column()
    longest = max(_ratio(measure, one, points) for measure in _MEASURES for one in points)
    for measure in _MEASURES:
        shown.add_row(f"[bold]{measure.name}[/]", "", "")
        for one in points:
            ratio = _ratio(measure, one, points)
            shown.add_row(f"  {one.vms} VMs", f"{measure.of(one):g}", "█" * max(1, round(_BAR * ratio / longest)))
    return shown


def _ratio(measure: _Measure, one: Point, points: Sequence[Point]) -> float:
    first = measure.of(points[0])
    return measure.of(one) / first if first else 1.0


def show(points: Sequence[Point], *, console: Console) -> None:
    """Print table, sentence and plot."""
    for part in _parts(points):
        console.print()
        console.print(part, highlight=False)


def save_picture(points: Sequence[Point], *, path: Path) -> None:
    """Write the plots over the number of VMs as SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture(points))


def picture(points: Sequence[Point]) -> str:
    """The plots as one SVG: a flat line is a cost that does not depend on how many VMs there are."""
    sizes = [one.vms for one in points]
    axis = Axis(end=max(sizes), unit="VMs", ticks=sizes)
    plots = [
        Plot(
            title=title,
            unit=unit,
            across=axis,
            lines=[Line(legend=name, points=[(one.vms, of(one)) for one in points]) for name, of in lines.items()],
        )
        for title, unit, lines in _PLOTS
    ]
    return render(plots, title="nicplug: what an event costs, by VMs (make bench)", notes=[worst(points)], columns=2)


def _parts(points: Sequence[Point]) -> Iterator[RenderableType]:
    yield table(points)
    yield worst(points)
    yield plot(points)
