"""`nicplug run` as the process that a supervisor starts: its output, its port, its end."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.api import objects
from tests.api.operator_thread import eventually
from tests.api.world import VM, World
from tests.declared_metrics import undeclared
from tests.fakes.faults import Fault

from nicplug.cache.reaper import watched_in
from nicplug.model.mode import Mode
from nicplug.obs.catalogue import FAMILIES
from nicplug.obs.families import Process as Exporter

ROOT = Path(__file__).parents[2]
# From SIGTERM to the end, and what a busy machine may add to it.
PROMISED_SECONDS = 5
ROOM_SECONDS = 3


def _is_whole(line: str) -> bool:
    """One of the log, and not one that is just being written."""
    return line.startswith("{") and line.endswith("\n")


class Process:
    """A running `nicplug run` that logs JSON lines into a file."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self.popen = popen
        self._log = log

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if _is_whole(line)]

    def said(self, event: str) -> dict[str, Any]:
        """The fields of the first line with that message; empty while there is none."""
        return next((line for line in self.lines() if line["event"] == event), {})

    @property
    def text(self) -> str:
        """Everything on stderr."""
        return self._log.read_text()

    async def port(self) -> int:
        """Where its metrics are, and its probes while it waits for the API server."""
        await eventually(lambda: self.said("nicplug starts") or self.said("nicplug waits"))
        return int((self.said("nicplug starts") or self.said("nicplug waits"))["metrics_port"])

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its own."""
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{await self.port()}{path}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; exit code and seconds until the end."""
        began = time.monotonic()
        self.popen.send_signal(number)
        code = await asyncio.to_thread(self.popen.wait, 30)
        return code, time.monotonic() - began


@contextmanager
def nicplug_run(world: World, *options: str) -> Iterator[Process]:
    """The process, killed at the end if it has not ended."""
    log = world.kubeconfig.parent / "operator.log"
    command = [sys.executable, "-m", "nicplug", "run", "--kubeconfig", str(world.kubeconfig), "--metrics-port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "NICPLUG_METRICS_ADDRESS": "127.0.0.1"}
    with log.open("wb") as stream:
        popen = subprocess.Popen(
            [*command, "--log-format", "json", *options], stderr=stream, stdout=subprocess.DEVNULL, env=environment
        )
        try:
            yield Process(popen, log)
        finally:
            popen.kill()
            popen.wait(10)


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def test_it_works_says_how_it_fares_and_ends_within_five_seconds_of_sigterm(world: World) -> None:
    with nicplug_run(world) as process:
        await eventually(lambda: process.said("caches complete"))
        await world.running(objects.vm("a"))
        assert await process.get("/healthz") == (200, "ok")
        assert await process.get("/readyz") == (200, "ok")
        status, metrics = await process.get("/metrics")
        assert (status, _samples(metrics)) == (200, _samples(metrics) | EXPECTED)
        # No label may name an object: cardinality would grow with the VMs.
        assert '"a"' not in metrics
        assert world.lease_holder()
        code, seconds = await process.end()
        assert code == 0, process.text
        assert seconds < PROMISED_SECONDS + ROOM_SECONDS
        assert world.lease_holder() == ""
        assert process.lines()[-1]["event"] == "nicplug has ended"


LABELS = {label.name for family in FAMILIES if Exporter.OPERATOR in family.processes for label in family.labels}
LABELS -= {"result"}  # no migration has ended
# Of the process, of Python, and of histograms.
LABELS_OF_THE_LIBRARY = {"le", "generation", "implementation", "major", "minor", "patchlevel", "version"}
ADDRESS = re.compile(r"(?i)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|\d+(?:\.\d+){3}|[0-9a-f]*:[0-9a-f:]*:")


async def test_a_hot_plug_is_measured(world: World) -> None:
    """Its path and why, its phases, and the record that is left of it."""
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    sample = operator.sample
    await eventually(lambda: sample("nicplug_nics", phase="Ready", reason="Attached") == 1)
    await eventually(lambda: sample("nicplug_hotplug_duration_seconds_count", operation="Plug", path="Dynamic") == 1)
    assert sample("nicplug_path_choices_total", path="Dynamic", reason="WaitingForPodInterface") == 1
    phases = {
        phase: sample("nicplug_hotplug_phase_duration_seconds_count", path="Dynamic", phase=phase)
        for phase in ("Pending", "InPod")
    }
    assert phases == {"Pending": 1, "InPod": 1}
    assert sample("nicplug_operations_stuck", phase="Pending", age="1m") == 0
    assert sample("nicplug_ready", component="operator") == 1
    await eventually(lambda: (sample("nicplug_event_loop_lag_seconds_count") or 0) > 0)


async def test_metrics_told_addresses_or_names_of_somebody_s_guest(world: World) -> None:
    """They are read without asking about rights. Text and numbers of the node side reach none of them."""
    operator = await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await eventually(
        lambda: operator.sample("nicplug_hotplug_duration_seconds_count", operation="Plug", path="Dynamic")
    )
    assert list(undeclared(operator.metrics.registry)) == []
    text = operator.metrics.render().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} <= LABELS | LABELS_OF_THE_LIBRARY
    # Nothing is served with a certificate here.
    assert {label for sample in samples for label in sample.labels} >= LABELS - {"certificate"}
    values = {value for sample in samples for value in sample.labels.values()}
    assert values.isdisjoint({name, "blue", "default", "node01"})
    assert not [value for value in values if ADDRESS.search(value)]


EXPECTED = {
    "nicplug_leader": 1.0,
    "nicplug_bugs_total": 0.0,
    'nicplug_cache_objects{kind="VirtualMachine"}': 1.0,
    'nicplug_cache_objects{kind="VirtualMachineInstance"}': 1.0,
    'nicplug_cache_objects{kind="Pod"}': 1.0,
    'nicplug_cache_objects{kind="KubeVirt"}': 1.0,
    'nicplug_queue_depth{priority="live"}': 0.0,
    'nicplug_queue_depth{priority="sweep"}': 0.0,
    'nicplug_api_requests_total{code="201",resource="pods",verb="create"}': 1.0,
    'nicplug_api_requests_total{code="201",resource="virtualmachineinstances",verb="create"}': 1.0,
}


def _samples(text: str) -> dict[str, float]:
    """The text format, by name with labels."""
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


async def test_it_is_not_ready_but_alive_while_the_api_server_is_away(world: World) -> None:
    await world.server.stop()
    with nicplug_run(world) as process:
        await eventually(lambda: process.said("waiting"))
        assert await process.get("/healthz") == (200, "ok")
        status, text = await process.get("/readyz")
        assert (status, text) == (503, "the caches are not complete yet: the API server has not shown the mode")
        code, seconds = await process.end(signal.SIGINT)
        assert code == 0, process.text
        assert seconds < PROMISED_SECONDS + ROOM_SECONDS


async def test_it_waits_on_a_port_that_is_taken(world: World) -> None:
    """And says so as it does when it need not wait."""
    await world.server.stop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with nicplug_run(world, "--metrics-port", port) as process:
            assert await asyncio.to_thread(process.popen.wait, 30) == 1
            assert f"cannot serve metrics on 127.0.0.1:{port}" in process.text


async def test_it_chooses_the_mode_when_the_api_server_comes_back(world: World) -> None:
    await world.server.stop()
    with nicplug_run(world) as process:
        await eventually(lambda: process.said("nicplug waits"))
        await world.server.start()
        await eventually(lambda: process.said("caches complete"))
        assert process.said("mode chosen")["mode"] == "standalone"
        assert await process.get("/readyz") == (200, "ok")


async def test_it_refuses_a_mode_that_does_not_fit(world: World) -> None:
    with nicplug_run(world, "--mode", "companion") as process:
        assert await asyncio.to_thread(process.popen.wait, 30) == 7
        assert "mode companion needs KubeVirt" in process.text
        assert "Use --mode standalone, or auto" in process.text


async def test_it_ends_in_time_with_writes_that_are_not_answered(world: World) -> None:
    with nicplug_run(world) as process:
        await eventually(lambda: process.said("caches complete"))
        stuck = world.server.inject(Fault(verb="create", resource="pods", times=100, delay_seconds=60))
        world.server.create(VM, objects.vm("a"))
        await eventually(lambda: stuck.times < 100)
        code, seconds = await process.end()
        assert code == 0, process.text
        assert seconds < PROMISED_SECONDS + ROOM_SECONDS


async def test_an_error_that_kopf_cannot_live_with_ends_the_process_soon_and_says_so(world: World) -> None:
    with nicplug_run(world) as process:
        await eventually(lambda: process.said("caches complete"))
        watched = {item.resource.plural for item in watched_in(Mode.STANDALONE)}
        await world.until(lambda: watched <= set(world.server.open_watches))
        # No API server answers so.
        world.server.fail(status=200, verb="list", resource=VM, times=5, body={"items": ["no object"]})
        world.server.expire_watches()
        await eventually(lambda: process.said("Kopf has failed; the process ends, to be started again"))
        assert await asyncio.to_thread(process.popen.wait, PROMISED_SECONDS + ROOM_SECONDS) == 1
        assert world.lease_holder() == ""
