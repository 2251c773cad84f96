"""Many guests on a few nodes, the node side that moves them, and somebody who counts how many are moved at a time."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

from tests.api import objects
from tests.api.objects import Json
from tests.api.world import MIGRATION, POD, VMI, World
from tests.fakes.status import ApiFailure

JOB = "kubevirt.io/migrationJobUID"
_FINAL = ("Succeeded", "Failed")


def guest(world: World, name: str, *, node: str) -> None:
    """A VMI that has been running there for long, and can move."""
    made = world.server.create(VMI, objects.vmi(name))
    uid = made["metadata"]["uid"]
    owner = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "name": name,
        "uid": uid,
        "controller": True,
    }
    pod = {
        "metadata": {
            "name": f"virt-launcher-{name}-old",
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid},
            "annotations": {objects.NETWORK_STATUS: objects.network_status([])},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node, "containers": [{"name": "compute"}]},
    }
    made_pod = world.server.create(POD, pod)
    _run(world, made_pod["metadata"]["name"])

    def change(body: Json) -> None:
        body["status"] = {
            "phase": "Running",
            "nodeName": node,
            "activePods": {made_pod["metadata"]["uid"]: node},
            "interfaces": [{"name": "main", "infoSource": "domain"}],
            "conditions": [{"type": "LiveMigratable", "status": "True"}],
        }

    world.server.modify(VMI, name, lambda body: body["metadata"].update(labels={"kubevirt.io/nodeName": node}))
    world.server.modify(VMI, name, change, status=True)


def migrate(world: World, name: str, **spec: str) -> str:
    """`kubectl create` of a migration; returns its uid."""
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": f"job-{name}"},
        "spec": {"vmiName": name, **spec},
    }
    return str(world.server.create(MIGRATION, body)["metadata"]["uid"])


def phases(world: World) -> Counter[str]:
    """How many migrations are in which phase."""
    return Counter((job.get("status") or {}).get("phase", "") for job in world.server.items(MIGRATION))


def targets(world: World) -> set[str]:
    """uids of the migrations that have a target pod."""
    labels = [pod["metadata"].get("labels", {}) for pod in world.server.items(POD)]
    return {item[JOB] for item in labels if JOB in item}


async def all_ended(world: World, *, seconds: float = 60.0) -> Counter[str]:
    """Wait until no migration goes on; looked at now and then only, for looking costs as much as working."""
    deadline = time.monotonic() + seconds
    while phases(world).keys() - set(_FINAL):
        assert time.monotonic() < deadline, phases(world)
        await asyncio.sleep(0.25)
    return phases(world)


@dataclass(slots=True)
class Counted:
    """The most that there have ever been at a time, looked at after every single commit.

    Attributes:
        total: migrations with a target pod that had not ended.
        outbound: the same from one node.
        inbound: handed off to one node, and not ended.
        begun: `total` as it was with each that began, in order.
        doubled: VMIs of which two migrations had a target pod.
    """

    total: int = 0
    outbound: int = 0
    inbound: int = 0
    begun: list[int] = field(default_factory=list)
    doubled: set[str] = field(default_factory=set)
    _home: dict[str, str] = field(default_factory=dict)
    _targets: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _coming: dict[str, str] = field(default_factory=dict)

    def watch(self, world: World) -> "Counted":
        """From now on."""
        for body in world.server.items(VMI):
            self._vmi("ADDED", body)
        world.server.on_commit(VMI, self._vmi)
        world.server.on_commit(POD, self._pod)
        world.server.on_commit(MIGRATION, self._migration)
        return self

    def _vmi(self, _type: str, body: Json) -> None:
        uid, status = body["metadata"]["uid"], body.get("status") or {}
        self._home[uid] = status.get("nodeName", "")
        state = status.get("migrationState") or {}
        if state.get("completed") or state.get("failed") or not state:
            self._coming.pop(uid, None)
        else:
            self._coming[uid] = state["targetNode"]
            self.inbound = max(self.inbound, *Counter(self._coming.values()).values())

    def _pod(self, type_: str, body: Json) -> None:
        job = body["metadata"].get("labels", {}).get(JOB)
        if job is None:
            return
        if type_ == "DELETED":
            self._targets.pop(job, None)
        elif job not in self._ended and job not in self._targets:
            vmi = body["metadata"]["ownerReferences"][0]["uid"]
            self.doubled |= {vmi} if vmi in self._targets.values() else set()
            self._targets[job], self._sources[job] = vmi, self._home[vmi]
            self.begun.append(len(self._targets))
            self.total = max(self.begun)
            self.outbound = max(self.outbound, *Counter(self._sources[item] for item in self._targets).values())

    def _migration(self, type_: str, body: Json) -> None:
        if type_ == "DELETED" or (body.get("status") or {}).get("phase") in _FINAL:
            self._ended.add(body["metadata"]["uid"])
            self._targets.pop(body["metadata"]["uid"], None)


@contextlib.asynccontextmanager
async def nodes_at_work(world: World, *, to: list[str], pause: float = 0.01) -> AsyncIterator[None]:
    """Scheduler, kubelets and virt-handlers of all nodes; the scheduler takes the nodes of `to` in turn."""
    work = asyncio.create_task(_work(world, to=to, pause=pause))
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def _work(world: World, *, to: list[str], pause: float) -> None:
    turn = 0
    while True:
        await asyncio.sleep(pause)
        for pod in world.server.items(POD):
            if JOB in pod["metadata"].get("labels", {}) and not pod["spec"].get("nodeName"):
                world.server.bind(pod["metadata"]["name"], node=to[turn % len(to)])
                turn += 1
                _run(world, pod["metadata"]["name"])
        for vmi in world.server.items(VMI):
            state = (vmi.get("status") or {}).get("migrationState") or {}
            if state and not (state.get("completed") or state.get("failed")):
                _move_on(world, vmi["metadata"]["name"])


def _move_on(world: World, name: str) -> None:
    """One step of both node agents."""

    def change(body: Json) -> None:
        state = body["status"]["migrationState"]
        if "targetNodeAddress" not in state:
            state["targetNodeAddress"] = "10.0.0.1"
        elif "startTimestamp" not in state:
            state["startTimestamp"] = _now()
        else:
            body["status"]["nodeName"] = state["targetNode"]
            state.update(targetNodeDomainReadyTimestamp=_now(), endTimestamp=_now(), completed=True)

    body = world.server.modify(VMI, name, change, status=True)
    state = body["status"]["migrationState"]
    if state.get("completed"):
        try:
            world.server.modify(POD, state["sourcePod"], _end, status=True)
        except ApiFailure as failure:
            if failure.code != HTTPStatus.NOT_FOUND:  # the operator has deleted it since
                raise


def _run(world: World, pod: str) -> None:
    def attach(body: Json) -> None:
        annotations = body["metadata"].setdefault("annotations", {})
        annotations[objects.NETWORK_STATUS] = objects.network_status(objects.requested(body))

    def run(body: Json) -> None:
        body["status"] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": _now()}],
            "containerStatuses": [{"name": "compute", "ready": True, "state": {"running": {"startedAt": _now()}}}],
        }

    world.server.modify(POD, pod, attach)
    world.server.modify(POD, pod, run, status=True)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _end(body: Json) -> None:
    body["status"]["phase"] = "Succeeded"
    state = {"terminated": {"exitCode": 0, "finishedAt": _now()}}
    body["status"]["containerStatuses"] = [{"name": "compute", "ready": False, "state": state}]
