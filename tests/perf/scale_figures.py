"""What came out of `make bench-scale`: a point for each size, as a table, as plots and as a section of a page."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.perf.hand_over import CRASH, RELEASE
from tests.perf.headline import caption
from tests.perf.milestones import Hotplug, Milestone
from tests.perf.plot import Axis, Line, Plot, render
from tests.perf.resources import Usage, others_percent
from tests.perf.results import summary

Figures = dict[str, Any]
OPERATOR_PROCESS, APISERVER_PROCESS = "operator", "kube-apiserver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """One start of the operator, at whose moment a NIC was asked for; seconds from that moment.

    Attributes:
        ready: `/readyz` says yes: its caches are complete.
        annotation: the NIC is in the networks annotation of the launcher pod.
        guest: the NIC is in the guest.
        cpu: CPU seconds of the operator until then.
        writes: of the operator until it came to rest, its Lease left out: those of one hot-plug.
    """

    ready: float
    annotation: float
    guest: float
    cpu: float
    writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A while in which nothing is asked for.

    Attributes:
        writes: of all accounts of nicplug's namespace, the Lease left out.
    """

    seconds: float
    writes: int
    usage: Mapping[str, Usage]
    peak_rss_mib: float

    def cpu_percent(self, process: str) -> float:
        """Of one core."""
        return round(100 * self.usage[process].cpu_seconds / self.seconds, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that was measured among so many running VMIs.

    Attributes:
        vms_per_second: how fast the last of them were started.
        hand_overs: seconds until the NIC is in the annotation, by the way in which the leader ended.
        usage: by phase and process.
    """

    vms: int
    vms_per_second: float
    starts: Sequence[Started]
    hotplugs: Sequence[Hotplug]
    rest: Rest
    hand_overs: Mapping[str, Sequence[float]]
    usage: Mapping[str, Mapping[str, Usage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePoint:
    """The figures of one size. Those of starts and hand-overs are medians, `_max` the slowest.

    Attributes:
        start_cpu_s: CPU seconds of the operator from its start to the first NIC in the guest.
        start_writes: the most that a start wrote; one hot-plug is in it.
        rss_mib: of the operator at the end of the rest; `peak_rss_mib` the most since it was started at this size.
        rest_cpu_percent: of one core.
        others_percent: of the machine's CPU, the most in a phase; None for results that do not have it.
    """

    vms: int
    vms_per_second: float
    start_ready_s: float
    start_annotation_s: float
    start_guest_s: float
    start_guest_max_s: float
    start_cpu_s: float
    start_writes: int
    annotation_p50_ms: float
    annotation_max_ms: float
    guest_p50_ms: float
    guest_max_ms: float
    rss_mib: float
    peak_rss_mib: float
    rest_cpu_percent: float
    apiserver_rest_cpu_percent: float
    rest_writes: int
    release_s: float
    release_max_s: float
    crash_s: float
    crash_max_s: float
    others_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many VMIs ran in the end.

    Attributes:
        reason: why there were not more, or why the largest size has no figures; "" when all went well.
    """

    vms: int
    asked: int
    reason: str = ""

    def __str__(self) -> str:
        whole = f"{self.vms:,} of {self.asked:,} VMIs ran"
        return f"{whole}: {self.reason}" if self.reason else whole


def point(measured: Measured) -> ScalePoint:
    """The figures of one size."""
    starts, rest = measured.starts, measured.rest

    def median(of: Callable[[Started], float]) -> float:
        return round(statistics.median(map(of, starts)), 2)

    annotation, guest = (_latency(measured.hotplugs, one) for one in (Milestone.ANNOTATION, Milestone.IN_GUEST))
    release, crash = (measured.hand_overs[way] for way in (RELEASE, CRASH))
    return ScalePoint(
        vms=measured.vms,
        vms_per_second=round(measured.vms_per_second, 1),
        start_ready_s=median(lambda one: one.ready),
        start_annotation_s=median(lambda one: one.annotation),
        start_guest_s=median(lambda one: one.guest),
        start_guest_max_s=round(max(one.guest for one in starts), 2),
        start_cpu_s=median(lambda one: one.cpu),
        start_writes=max(one.writes for one in starts),
        annotation_p50_ms=annotation["p50"],
        annotation_max_ms=annotation["max"],
        guest_p50_ms=guest["p50"],
        guest_max_ms=guest["max"],
        rss_mib=rest.usage[OPERATOR_PROCESS].rss_mib,
        peak_rss_mib=round(rest.peak_rss_mib, 1),
        rest_cpu_percent=rest.cpu_percent(OPERATOR_PROCESS),
        apiserver_rest_cpu_percent=rest.cpu_percent(APISERVER_PROCESS),
        rest_writes=rest.writes,
        release_s=round(statistics.median(release), 2),
        release_max_s=round(max(release), 2),
        crash_s=round(statistics.median(crash), 2),
        crash_max_s=round(max(crash), 2),
        others_percent=max(_others(measured.usage), default=None),
    )


def _latency(hotplugs: Sequence[Hotplug], milestone: Milestone) -> dict[str, float]:
    return summary([one.seen[milestone] - one.answered for one in hotplugs])


def _others(usage: Mapping[str, Mapping[str, Usage]]) -> Iterator[float]:
    for phase in usage.values():
        share = others_percent({name: one.cpu_seconds for name, one in phase.items()})
        if share is not None:
            yield share


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    of: Callable[[ScalePoint], str]


_ROWS = (
    _Row("operator started: ready, s", lambda point: f"{point.start_ready_s:.2f}"),
    _Row("operator started: first NIC in the annotation, s", lambda point: f"{point.start_annotation_s:.2f}"),
    _Row(
        "operator started: first NIC in the guest, s (max)",
        lambda point: f"{point.start_guest_s:.2f} ({point.start_guest_max_s:.2f})",
    ),
    _Row("CPU of the operator until then, s", lambda point: f"{point.start_cpu_s:.2f}"),
    _Row("writes after a start, those of one hot-plug included", lambda point: f"{point.start_writes}"),
    _Row(
        "idle hot-plug: VM spec to pod annotation, p50 (max) ms",
        lambda point: f"{point.annotation_p50_ms:.1f} ({point.annotation_max_ms:.0f})",
    ),
    _Row(
        "idle hot-plug: VM spec to the guest, p50 (max) ms",
        lambda point: f"{point.guest_p50_ms:.1f} ({point.guest_max_ms:.0f})",
    ),
    _Row("RSS of the operator (peak), MiB", lambda point: f"{point.rss_mib:.0f} ({point.peak_rss_mib:.0f})"),
    _Row("CPU at rest, % of a core: operator", lambda point: f"{point.rest_cpu_percent:.2f}"),
    _Row("CPU at rest, % of a core: kube-apiserver", lambda point: f"{point.apiserver_rest_cpu_percent:.2f}"),
    _Row("writes at rest, Lease not counted", lambda point: f"{point.rest_writes}"),
    _Row("hand-over by release (max), s", lambda point: f"{point.release_s:.2f} ({point.release_max_s:.2f})"),
    _Row("hand-over by crash (max), s", lambda point: f"{point.crash_s:.2f} ({point.crash_max_s:.2f})"),
    _Row("VMs started per second, up to this size", lambda point: f"{point.vms_per_second:.1f}"),
    _Row(
        "CPU of other programs, % of the machine",
        lambda point: "-" if point.others_percent is None else f"{point.others_percent:g}",
    ),
)

_PLOTS: tuple[tuple[str, str, Mapping[str, Callable[[ScalePoint], float]]], ...] = (
    (
        "Single hot-plug, from the VM's spec, p50",
        "ms",
        {
            "to the pod annotation": lambda point: point.annotation_p50_ms,
            "to the guest": lambda point: point.guest_p50_ms,
        },
    ),
    (
        "Start of the operator, a NIC asked for",
        "s",
        {
            "ready": lambda point: point.start_ready_s,
            "NIC in the annotation": lambda point: point.start_annotation_s,
            "NIC in the guest": lambda point: point.start_guest_s,
            "its CPU until then": lambda point: point.start_cpu_s,
        },
    ),
    (
        "Hand-over to the other replica",
        "s",
        {"crash": lambda point: point.crash_s, "release": lambda point: point.release_s},
    ),
    (
        "Memory of the operator",
        "MiB",
        {"RSS": lambda point: point.rss_mib, "peak": lambda point: point.peak_rss_mib},
    ),
    (
        "CPU at rest, % of a core",
        "short",
        {
            "operator": lambda point: point.rest_cpu_percent,
            "kube-apiserver": lambda point: point.apiserver_rest_cpu_percent,
        },
    ),
    (
        "Writes of the operator",
        "short",
        {
            "start and one hot-plug": lambda point: float(point.start_writes),
            "at rest": lambda point: float(point.rest_writes),
        },
    ),
)


def points_of(found: Figures) -> list[ScalePoint]:
    """The points of a saved result."""
    return [ScalePoint(**one) for one in found["points"]]


def reached_of(found: Figures) -> Reached:
    """How far the run of a saved result came."""
    return Reached(**found["reached"])


def as_json(points: Sequence[ScalePoint], *, reached: Reached) -> Figures:
    """For programs; one object per size."""
    return {"reached": asdict(reached), "points": [asdict(one) for one in points]}


def show(found: Figures, *, console: Console) -> None:
    """Print how many VMIs there were, and the table."""
    points = points_of(found)
    console.print(f"{reached_of(found)}, on {found['nodes']} simulated nodes.", highlight=False, soft_wrap=True)
    shown = Table(title="Scale", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(_headings(points)):
        shown.add_column(heading, justify="right" if number else "left")
    for row in _rows(points):
        shown.add_row(*row)
    console.print(shown, highlight=False)


def section(found: Figures) -> str:
    """The table in Markdown, with what it was measured on."""
    points, environment = points_of(found), found["environment"]
    rows = [_headings(points), ["---", *("--:" for _ in points)], *_rows(points)]
    facts = f"{environment['cpus']} cores, Python {environment['python']}, {found['nodes']} simulated nodes"
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"`make bench-scale` on {facts}. {reached_of(found)}.\n\n{table}"


def _headings(points: Sequence[ScalePoint]) -> list[str]:
    return ["measure", *(f"{one.vms:,} VMIs" for one in points)]


def _rows(points: Sequence[ScalePoint]) -> list[list[str]]:
    return [[row.name, *(row.of(one) for one in points)] for row in _ROWS]


def picture(found: Figures) -> str:
    """The plots over the number of VMIs as one SVG: a flat line is a cost that does not depend on it."""
    points = points_of(found)
    sizes = [one.vms for one in points]
    axis = Axis(end=max(sizes), unit="VMIs", ticks=sizes)
    plots = [
        Plot(
            title=title,
            unit=unit,
            across=axis,
            lines=[Line(legend=name, points=[(one.vms, of(one)) for one in points]) for name, of in lines.items()],
        )
        for title, unit, lines in _PLOTS
    ]
    title = "nicplug among running VMIs (make bench-scale)"
    machine = caption({"scale": found}, cpus=found["environment"]["cpus"])
    return render(plots, title=title, notes=[f"{reached_of(found)}. {machine}"], columns=2)


def save_picture(found: Figures, *, path: Path) -> None:
    """Write the plots as SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture(found))
