"""A VMI between its two pods: a guest with `blue` on node01, whose target pod runs on node02."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.node.build import DEFAULT_ENTRY, entry, interface, node, pod, row, vmi
from tests.unit.node.world import NODE, POD, VMI, World, world

from nicplug_sandbox.node.api import Json

BLUE = "pod16477688c0e"
RED = "podb1f51a511f1"
RUNS = {"containerStatuses": [{"name": "compute", "state": {"running": {}}}]}
JOB = "job-uid"
PLUGGED = {"queueCount": 1, "linkState": "up"}
ROWS = [
    row("default", "domain", podInterfaceName="eth0", mac="02:00:00:00:00:01", **PLUGGED),
    row("blue", "domain, multus-status", podInterfaceName=BLUE, mac="02:00:00:00:00:02", **PLUGGED),
]
HANDED_OFF = {
    "migrationUid": JOB, "sourceNode": "node01", "sourcePod": "source", "targetNode": "node02", "targetPod": "target",
}  # fmt: skip
PREPARED = {"targetNodeAddress": "172.31.0.3", "targetDirectMigrationNodePorts": {"41000": 0}}
STARTED = {**PREPARED, "startTimestamp": "2026-01-01T00:00:00Z", "mode": "PreCopy"}
REPORTED = {
    **STARTED, "targetNodeDomainDetected": True, "targetNodeDomainReadyTimestamp": "2026-01-01T00:00:01Z",
}  # fmt: skip


def launcher(name: str, *entries: Json, on: str, **more: Any) -> Json:
    """A pod of the VMI that runs, with the default network and `blue`."""
    labels = {"kubevirt.io/created-by": "vm-uid"}
    if name == "target":
        labels["kubevirt.io/migrationJobUID"] = JOB
    networks = [DEFAULT_ENTRY, *(entries or (entry("blue", BLUE),))]
    values: Json = {"labels": labels, "ownerReferences": [{"uid": "vm-uid", "kind": "VirtualMachineInstance"}], **more}
    return pod(name, entries=networks, status=RUNS, spec={"nodeName": on, "restartPolicy": "Never"}, **values)


def migrating(
    *interfaces: Json,
    state: Json | None = None,
    annotations: dict[str, str] | None = None,
    label: str = "node01",
    **status: Any,
) -> Json:
    """A VMI that was handed off, with more members of its state."""
    machine = vmi(
        *(interfaces or (interface("blue"),)), annotations=annotations,
        **{"rows": ROWS, "nodeName": "node01", "migrationState": {**HANDED_OFF, **(state or {})}, **status},
    )  # fmt: skip
    machine["metadata"]["labels"] |= {
        "kubevirt.io/nodeName": label, "kubevirt.io/migrationTargetNodeName": "node02",
    }  # fmt: skip
    return machine


@asynccontextmanager
async def migration(
    machine: Json | None = None,
    *,
    faults: dict[str, dict[str, str]] | None = None,
    target: Json | None = None,
    source: Json | None = None,
    pods: Sequence[Json] = (),
    **settings: Any,
) -> AsyncIterator[World]:
    """The VMI, its pods and both nodes, with the faults of each node; the copy takes 20 ms. `pods`: others."""
    nodes = [(NODE, node(name, **(faults or {}).get(name, {}))) for name in ("node01", "node02")]
    all_pods = [*pods, source or launcher("source", on="node01"), target or launcher("target", on="node02")]
    async with world(
        *nodes, *((POD, item) for item in all_pods), (VMI, machine or migrating()), **{"copy_seconds": 0.02, **settings}
    ) as w:
        yield w


def state(w: World) -> Json:
    """`migrationState` as the API server has it."""
    return dict(w.vmi()["status"]["migrationState"])


def phase(w: World, name: str) -> str:
    """The phase of a pod."""
    return str(w.pod(name)["status"]["phase"])


def guest(w: World) -> tuple[str, list[str]]:
    """In which pod the guest runs, and its NICs."""
    found = w.roles.guests.told()["default/vm"]
    return found["pod"], [nic["name"] for nic in found["nics"]]
