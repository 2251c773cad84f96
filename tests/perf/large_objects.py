"""What the largest objects that the API server stores cost: memory with 200 of them, and the time of one event.

Anyone who may write VMs in one namespace can have as many of them as he likes (docs/adr/0018).
"""

import contextlib
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import build, many_nics
from tests.api.objects import failure_event
from tests.integration.user import NAD, VM, Json, Refused, User
from tests.large import DEEP_SHAPES, LARGEST, ON_A_SERVER, SHAPES, text_of
from tests.perf import resources
from tests.perf.audit import tally
from tests.perf.resources import peak_rss_mib
from tests.perf.world import NAMESPACE, Cluster, Say, audit_log, cluster

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.object_text import ObjectText
from nicplug_sandbox import operator_process

COUNT = 200
_SETTLE_SECONDS = 3.0
_ATTEMPTS = 6


def vm_text(name: str, *, shape: str, size: int = LARGEST, seed: int = 0) -> str:
    """A halted VM with one NIC and a large member in its template."""
    small = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "runStrategy": "Halted",
            "template": {
                "spec": {
                    "domain": {"devices": {"interfaces": [{"name": "default", "masquerade": {}}]}, "x": "LARGE"},
                    "networks": [{"name": "default", "pod": {}}],
                }
            },
        },
    }
    return json.dumps(small, separators=(",", ":")).replace('"LARGE"', text_of(shape, size, seed=seed))


def nad(name: str, *, size: int = LARGEST) -> Json:
    """A network attachment definition with a large configuration."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name},
        "spec": {"config": json.dumps({"type": "bridge", "x": "y" * size})},
    }


def fill(admin: Path, *, count: int, shapes: Sequence[str] = tuple(ON_A_SERVER), nads: int = 0) -> None:
    """Create the objects.

    Raises:
        TimeoutError: the API server does not take one.
    """
    user = User(kubeconfig=admin, namespace=NAMESPACE)
    user.create("namespaces", {"metadata": {"name": NAMESPACE}})
    for number in range(count):
        shape = shapes[number % len(shapes)]
        text = vm_text(f"large-{number}", shape=shape, size=ON_A_SERVER[shape], seed=number)
        create(user, VM, json.loads(text))
    for number in range(nads):
        create(user, NAD, nad(f"large-{number}"))


def create(user: User, plural: str, body: Json) -> None:
    """Until it is there: on a busy machine a large one may take longer than a request of a user waits."""
    name = body["metadata"]["name"]
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(Refused):
            user.create(plural, body)
            return
        if user.get(plural, name) is not None:
            return
    raise TimeoutError(f"{plural} {name} could not be created")


def rss_with_large_objects(
    found: Cluster, *, say: Say, count: int = COUNT, shapes: Sequence[str] = tuple(ON_A_SERVER), nads: int = 0
) -> dict[str, float]:
    """Peak memory of the operator in MiB: while they are created, and of one that starts when they exist."""
    before = peak_rss_mib(found.operator.process)
    say(f"creating {count} large objects")
    fill(found.admin, count=count, shapes=shapes, nads=nads)
    time.sleep(_SETTLE_SECONDS)
    created = peak_rss_mib(found.operator.process)
    operator_process.stop_operator(found.operator)
    started = time.monotonic()
    again = operator_process.start_operator(
        directory=found.directory, kubeconfig=found.operator.kubeconfig, name="operator-again", ready_seconds=120
    )
    try:
        operator_process.wait_until_leading(again)
        leads = time.monotonic() - started
        time.sleep(_SETTLE_SECONDS)
        restarted = peak_rss_mib(again.process)
    finally:
        operator_process.stop_operator(again)
    say(f"{count} large objects: peak RSS {created:.0f} MiB, after a restart {restarted:.0f} MiB")
    return {"empty": before, "created": created, "restarted": restarted, "restart_seconds": leads}


Take = Callable[[Caches, Json], object]


@dataclass(frozen=True, slots=True)
class _Event:
    plural: str
    take: Take
    line: bytes


def _observe(kind: CachedKind) -> Take:
    return lambda caches, line: caches.observe(kind, line["object"])


def _take_definition(caches: Caches, line: Json) -> None:
    caches.attachments.change(line["type"], line["object"])


def _take_failure(caches: Caches, line: Json) -> None:
    caches.pod_failures.change(line["type"], line["object"])


def largest_events() -> Iterator[tuple[str, _Event]]:
    """A watch line for each shape, at the places where it costs most; of a revision only where it costs more."""
    for shape in (*SHAPES, *DEEP_SHAPES, "entries"):
        raw = json.loads(vm_text("v", shape="compressible", size=1))
        raw["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 1}
        for place in (("domain", "x"), ("x",), ("domain", "devices", "interfaces")):
            where = ("spec", "template", "spec", *place)
            name = f"{shape} in {'.'.join(place)}"
            yield name, _event("virtualmachines", _observe(CachedKind.VM), raw, where, shape)
        raw["data"] = {"spec": raw.pop("spec")}
        where = ("data", "spec", "template", "spec", "domain", "devices", "interfaces" if shape == "entries" else "x")
        yield f"{shape} in a revision", _event("controllerrevisions", _observe(CachedKind.REVISION), raw, where, shape)
        yield from _events_of_small_kinds(shape)
    status, _ = many_nics.instance_with_failures(many_nics.NICS, "no such bridge \N{BRIDGE AT NIGHT}")
    status["spec"]["domain"]["x"] = json.loads(text_of("dicts", LARGEST - 200_000))
    text = json.dumps(status)
    yield "255 records beside dicts", _line("virtualmachineinstances", _observe(CachedKind.VMI), text)


def _events_of_small_kinds(shape: str) -> Iterator[tuple[str, _Event]]:
    """Of the other kinds that a tenant writes; the Event is about a launcher pod, or nobody would read it."""
    launcher, definition = build.pod(), build.nad("lan")
    about = {"apiVersion": "v1", "kind": "Event", **failure_event(launcher, "podb1f51a511f1")}
    about["metadata"] |= {"namespace": build.NAMESPACE, "uid": "e", "resourceVersion": "7"}
    place: tuple[str, ...]
    for place in (("metadata", "labels"), ("spec", "containers"), ("status", "conditions")):
        name = f"{shape} in {'.'.join(place)} of a pod"
        yield name, _event("pods", _observe(CachedKind.POD), launcher, place, shape)
    for place in (("spec", "config"), ("spec", "x")):
        name = f"{shape} in {'.'.join(place)} of a network attachment definition"
        yield name, _event("network-attachment-definitions", _take_definition, definition, place, shape)
    for place in (("message",), ("involvedObject", "x"), ("metadata", "labels")):
        yield f"{shape} in {'.'.join(place)} of an Event", _event("events", _take_failure, about, place, shape)


def _event(plural: str, take: Take, raw: Json, place: Sequence[str], shape: str) -> _Event:
    copied = json.loads(json.dumps(raw))
    parent: Any = copied
    for member in place[:-1]:
        parent = parent[member]
    parent[place[-1]] = "LARGE"
    text = json.dumps(copied, separators=(",", ":"), sort_keys=True).replace('"LARGE"', text_of(shape, LARGEST))
    return _line(plural, take, text)


def _line(plural: str, take: Take, text: str) -> _Event:
    return _Event(plural, take, f'{{"type":"MODIFIED","object":{text}}}'.encode())


def event_milliseconds() -> dict[str, float]:
    """CPU from the bytes of a watch line to the record in the store, for each shape; the median of five."""
    return {name: statistics.median(_milliseconds(event) for _ in range(5)) for name, event in largest_events()}


def _milliseconds(event: _Event) -> float:
    caches = Caches(clock=lambda: datetime.now(UTC))
    caches.observe(CachedKind.POD, build.pod())
    text = ObjectText(event.plural)
    gc.collect()
    started = time.process_time()
    line = text.slim_line(event.line)
    event.take(caches, json.loads(line.decode()))  # as Kopf reads it
    return (time.process_time() - started) * 1000


def run(*, directory: Path, say: Say, count: int = COUNT, shapes: Sequence[str] = tuple(ON_A_SERVER)) -> dict[str, Any]:
    """Measure all of it in a sandbox of its own."""
    before = resources.snapshot(())
    events = event_milliseconds()
    usage = resources.as_json({"events": resources.spent(before, resources.snapshot(()))})
    with cluster(directory=directory, nodes=1, say=say) as found:
        rss = rss_with_large_objects(found, say=say, count=count, shapes=shapes)
    sizes = {shape: ON_A_SERVER[shape] for shape in shapes}
    return {
        "shape": {"objects": count, "bytes": sizes},
        "rss_mib": rss,
        "event_ms": events,
        "usage": usage,
        "all_writes": tally(audit_log(directory)),
    }
