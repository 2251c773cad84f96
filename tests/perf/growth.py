"""Does the cost of an event stay the same when there are more VMs? Measured at several sizes, shown and plotted.

Each size has a sandbox and an operator of its own, so that a larger one inherits nothing from a smaller one.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from tests.perf.milestones import Milestone
from tests.perf.results import count_writes, summary
from tests.perf.scenarios import Phase

SIZES = (100, 200, 400, 800)
IDLE_HOTPLUGS = 60
_BAR = 40
# Rich's pictures load a font from the network; the viewer's own monospace will do.
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What an event costs among so many VMs; CPU is that of the whole phase, pauses included, by its events."""

    vms: int
    annotation_p50_ms: float
    guest_p50_ms: float
    operator_ms_per_hotplug: float
    apiserver_ms_per_hotplug: float
    operator_ms_per_start: float
    writes_per_hotplug: float
    writes_per_start: float
    rss_mib: float


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
    )


def _cpu_ms(phase: Phase, process: str) -> float:
    return round(phase.usage[process].cpu_seconds * 1000 / phase.operations, 1)


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
    """Write table and plot as an SVG that loads nothing."""
    recorder = Console(width=110, record=True, file=io.StringIO(), force_terminal=True)
    for part in _parts(points):
        recorder.print(part, highlight=False)
        recorder.print()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = recorder.export_svg(title="make bench: growth", unique_id="nicplug-growth")
    path.write_text(_FONT_FACE.sub("", picture))


def _parts(points: Sequence[Point]) -> Iterator[RenderableType]:
    yield table(points)
    yield worst(points)
    yield plot(points)
