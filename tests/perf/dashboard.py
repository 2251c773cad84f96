"""`python -m tests.perf.dashboard`: the panels of the dashboard, drawn from a short bench. `make dashboard-picture`.

Operator and API are scraped every second while VMs start and get NICs in every way there is. The queries are those of
`deploy/monitoring/dashboard.json`, answered by Prometheus' own engine. A panel without data says so.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from tests.perf.migrations import without_controllers
from tests.perf.plot import Line, Mark, Plot, render
from tests.perf.scenarios import Shape, burst, idle_hotplugs, plug_one_by_one, starts, vm_names
from tests.perf.subresources import virtctl_session
from tests.perf.world import NAMESPACE, VIRTUAL_MACHINES, Cluster, World, cluster, connected, make_network

from nicplug_sandbox import build, controlplane
from nicplug_sandbox.api_process import ApiProcess, add_api, stop_api
from nicplug_sandbox.go_programs import PROMQL
from nicplug_sandbox.node.api import JSON_PATCH

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "monitoring" / "dashboard.json"
PICTURE = ROOT / "docs" / "images" / "dashboard.svg"
SHAPE = Shape(vms=40, idle_hotplugs=40, pause_seconds=0.15, rest_seconds=5)
# The window of rates: Grafana takes four scrapes.
_RATE_SECONDS = 4
_STEP_SECONDS = 2
# What says the same as another panel, or nothing in a cluster in which nothing is wrong.
_LEFT_OUT = frozenset(
    {
        "Operations that stand still",
        "Drift, broken watches, dropped events",
        "Large writes that wait, dynamic networks controllers, their watches",
        "Under way, access reviews remembered",
    }
)


@dataclass(slots=True)
class Recorder:
    """Scrapes both processes every second, in a thread: the bench must not wait for it.

    Attributes:
        marks: what the bench begins with, and when.
        load: of the machine before it: figures of a busy one are larger than those of nicplug.
    """

    targets: Mapping[str, Any]
    scrapes: list[dict[str, Any]] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Recorder":
        self._thread = threading.Thread(target=self._run, name="scrapes", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10)

    def mark(self, text: str) -> None:
        """Something begins now."""
        self.marks.append((time.time(), text))
        click.echo(f"dashboard: {text}", err=True)

    def _run(self) -> None:
        while not self._ended.wait(1.0 - time.time() % 1.0):
            for pod, process in self.targets.items():
                now, (status, text) = time.time(), process.get("/metrics")
                if status == 200:
                    labels = {"namespace": "nicplug-system", "pod": pod}
                    self.scrapes.append({"milliseconds": round(now * 1000), "labels": labels, "text": text})


async def _play(found: Cluster, recorder: Recorder) -> None:
    """NICs in every way: one at a time, all at once, by virtctl, by migration, and some that cannot come."""
    names = vm_names(SHAPE.vms)
    server = controlplane.status(directory=found.directory).server
    async with connected(found) as world, virtctl_session(found, server=server) as virtctl:
        recorder.mark(f"{SHAPE.vms} VMs start")
        await starts(world, SHAPE, is_spread=True)
        recorder.mark(f"{SHAPE.idle_hotplugs} NICs, one after the other")
        await idle_hotplugs(world, SHAPE)
        recorder.mark(f"{SHAPE.vms} NICs at once")
        await burst(world, SHAPE)
        recorder.mark("20 NICs by virtctl addinterface, and 3 whose network does not exist")
        await make_network(world.api, name="asked")
        for name in names[20:]:
            await virtctl.add(name, "asked", "asked")
            await asyncio.sleep(0.1)
        for name in names[-3:]:
            await _plug_missing(world, name)
        await without_controllers(world.api)
        recorder.mark("20 NICs by migration: no node has a dynamic networks controller")
        moved = Shape(vms=SHAPE.vms, idle_hotplugs=20, pause_seconds=0.1)
        await plug_one_by_one(world, moved, nic="moved")
        await asyncio.sleep(3)


async def _plug_missing(world: World, vm: str) -> None:
    template = "/spec/template/spec"
    patch = [
        {"op": "add", "path": f"{template}/networks/-", "value": {"name": "gone", "multus": {"networkName": "gone"}}},
        {"op": "add", "path": f"{template}/domain/devices/interfaces/-", "value": {"name": "gone", "bridge": {}}},
    ]
    await world.api.patch(VIRTUAL_MACHINES, patch, name=vm, namespace=NAMESPACE, content_type=JSON_PATCH)


def measure() -> Recorder:
    """Start everything, play, end everything.

    Raises:
        SandboxError: something did not start.
        TimeoutError: a NIC did not come.
    """
    with tempfile.TemporaryDirectory(prefix="nicplug-dashboard-") as temporary:
        directory = Path(temporary)
        with cluster(directory=directory, nodes=SHAPE.nodes, say=lambda text: click.echo(text, err=True)) as found:
            api: ApiProcess = add_api(directory=directory, admin=found.admin)
            try:
                with Recorder({"nicplug-operator": found.operator, "nicplug-api": api}) as recorder:
                    asyncio.run(_play(found, recorder))
                return recorder
            finally:
                stop_api(api)


def panels() -> list[dict[str, Any]]:
    """The panels that are drawn."""
    known = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in known if panel["type"] == "timeseries" and panel["title"] not in _LEFT_OUT]


def answer(recorder: Recorder, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
    """What Prometheus would answer, by query."""
    moments = [scrape["milliseconds"] for scrape in recorder.scrapes]
    request = {
        "scrapes": recorder.scrapes,
        "queries": [query.replace("$__rate_interval", f"{_RATE_SECONDS}s") for query in queries],
        "start": min(moments),
        "end": max(moments),
        "step": _STEP_SECONDS * 1000,
    }
    engine = build.binary(PROMQL, progress=lambda text: click.echo(text, err=True))
    done = subprocess.run([str(engine)], input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise click.ClickException(done.stderr.strip())
    found: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def draw(recorder: Recorder) -> str:
    """The picture."""
    shown = panels()
    queries = [target["expr"] for panel in shown for target in panel["targets"]]
    answers = iter(answer(recorder, queries))
    start = min(scrape["milliseconds"] for scrape in recorder.scrapes) / 1000
    end = max(scrape["milliseconds"] for scrape in recorder.scrapes) / 1000
    plots = [
        Plot(
            title=panel["title"],
            unit=panel["fieldConfig"]["defaults"]["unit"],
            lines=_by_size(
                _line(series, target["legendFormat"], start=start)
                for target in panel["targets"]
                for series in next(answers)
            ),
        )
        for panel in shown
    ]
    marks = [Mark(seconds=max(0.0, moment - start), text=text) for moment, text in recorder.marks]
    machine = f"{os.cpu_count()} cores, load average {recorder.load:.1f} before it"
    title = f"nicplug: panels of the dashboard, from a bench ({machine})"
    return render(plots, title=title, seconds=end - start, marks=marks)


def _by_size(lines: Iterable[Line]) -> list[Line]:
    """The largest first: not all of them have a place in the legend."""
    return sorted(lines, key=lambda line: -max((value for _, value in line.points), default=0.0))


def _line(series: Mapping[str, Any], legend: str, *, start: float) -> Line:
    text = legend
    for name, value in series["labels"].items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return Line(legend=text, points=[(moment / 1000 - start, value) for moment, value in series["points"]])


@click.command()
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), default=PICTURE, help="Where to write it.")
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), help="Write the scrapes there, as JSON.")
@click.option(
    "--scrapes", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Draw those that were kept."
)
def main(save: Path, keep: Path | None, scrapes: Path | None) -> None:
    """Measure, and draw the panels."""
    recorder = Recorder({}, **json.loads(scrapes.read_text())) if scrapes is not None else measure()
    if keep is not None:
        keep.write_text(json.dumps({"scrapes": recorder.scrapes, "marks": recorder.marks, "load": recorder.load}))
    save.parent.mkdir(parents=True, exist_ok=True)
    save.write_text(draw(recorder))
    click.echo(f"wrote {save}: {len(recorder.scrapes)} scrapes, {save.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
