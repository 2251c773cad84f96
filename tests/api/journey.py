"""One migration as a user asks for it, and its node side: scheduler, kubelet, Multus and both virt-handlers."""

import contextlib
from typing import Any

from tests.api import objects
from tests.api.objects import NETWORK_STATUS, Json
from tests.api.world import MIGRATION, POD, VMI, World
from tests.fakes.status import ApiFailure

JOB = "kubevirt.io/migrationJobUID"
NOW = "2026-01-01T00:00:00Z"
PHASES = ("Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running")
ENDED = ("Succeeded", "Failed")


async def guest(world: World, name: str = "a", *, nics: tuple[str, ...] = ("blue",)) -> str:
    """A VMI on node01 that can move."""
    await world.running(objects.vmi(name, nics))
    condition = {"type": "LiveMigratable", "status": "True"}
    world.server.modify(VMI, name, lambda body: body["status"]["conditions"].append(condition), status=True)
    return name


class Journey:
    """A migration of a VMI, and the node side of it, which goes no further than the phase that is asked for.

    Attributes:
        uid: of the migration.
        source: the pod that the guest is in at the beginning.
    """

    def __init__(self, world: World, vmi: str, *, name: str = "job", node: str = "node02", source: str = "") -> None:
        self.world, self.vmi, self.name, self.node = world, vmi, name, node
        self.source = source or _name(world.pod_of(vmi))
        self.uid = ""
        self._upto = "Succeeded"

    def ask(self, *, annotations: dict[str, str] | None = None, **spec: Any) -> "Journey":
        """`kubectl create`."""
        body = {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {"name": self.name, "annotations": annotations or {}},
            "spec": {"vmiName": self.vmi, **spec},
        }
        self.uid = self.world.server.create(MIGRATION, body)["metadata"]["uid"]
        return self

    def cancel(self) -> None:
        """`kubectl delete`."""
        self.world.server.delete(MIGRATION, self.name)

    # -- looking -------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is still a migration."""
        return self.world.server.get(MIGRATION, self.name) is not None

    @property
    def phase(self) -> str:
        """Of the migration; "" before it was seen, and when it is gone."""
        return str(self._status.get("phase", ""))

    @property
    def progressing(self) -> Json:
        """The condition."""
        rows = self._status.get("conditions", [])
        return next((row for row in rows if row["type"] == "Progressing"), {})

    @property
    def state(self) -> Json:
        """`migrationState` of the VMI."""
        found = self.world.server.get(VMI, self.vmi) or {}
        return (found.get("status") or {}).get("migrationState") or {}

    @property
    def target(self) -> Json | None:
        """Its target pod."""
        pods = self.world.server.items(POD)
        return next((pod for pod in pods if pod["metadata"].get("labels", {}).get(JOB) == self.uid), None)

    def events(self) -> list[str]:
        """Reasons of the events about the migration, in order; one that came again is there again."""
        found = [event for event in self.world.server.items("events") if event["regarding"].get("uid") == self.uid]
        found.sort(key=lambda event: event["eventTime"])
        counts = ((event["reason"], (event.get("series") or {}).get("count", 1)) for event in found)
        return [reason for reason, count in counts for _ in range(count)]

    @property
    def _status(self) -> Json:
        return (self.world.server.get(MIGRATION, self.name) or {}).get("status") or {}

    # -- the node side -------------------------------------------------------------------------

    async def to(self, phase: str, *, seconds: float = 30) -> None:
        """Play the node side until the migration is in that phase, and go no further."""
        self._upto = phase
        await self.until(lambda: self.phase == phase, seconds=seconds)

    async def until(self, condition: Any, *, seconds: float = 30) -> None:
        """Play the node side, no further than before, until something has come about."""

        def holds() -> object:
            self.play()
            return condition()

        await self.world.until(holds, seconds=seconds)

    def play(self) -> None:
        """Whatever the node side has to do now; what is gone by then needs nothing."""
        with contextlib.suppress(ApiFailure):
            self._play(self._upto)

    def _play(self, upto: str) -> None:
        self._bury_pods()
        order = (*PHASES, *ENDED)
        step = order.index(upto)
        target, state = self.target, self.state
        if target is not None and step >= order.index("Scheduled"):
            self._start(target, with_networks=upto != "Scheduled")
        is_theirs = state.get("migrationUid") == self.uid and not state.get("completed")
        if not is_theirs or target is None:
            return
        if state.get("abortRequested"):
            self.report(failed=True, completed=True, endTimestamp=NOW, abortStatus="Succeeded", failureReason="aborted")
            return
        if step >= order.index("TargetReady") and not state.get("targetNodeAddress"):
            self.report(targetNodeAddress="10.0.0.2")
        if step >= order.index("Running") and not state.get("startTimestamp"):
            self.report(startTimestamp=NOW, mode="PreCopy")
        if upto == "Succeeded" and self.phase == "Running":
            self._cut_over()

    def report(self, **members: Any) -> None:
        """Members of migrationState."""

        def change(body: Json) -> None:
            body["status"]["migrationState"] = {**body["status"].get("migrationState", {}), **members}

        self.world.server.modify(VMI, self.vmi, change, status=True)

    def _start(self, pod: Json, *, with_networks: bool) -> None:
        """Scheduler, kubelet, Multus."""
        name = _name(pod)
        if not pod["spec"].get("nodeName"):
            self.world.server.bind(name, node=self.node)
        if with_networks and NETWORK_STATUS not in pod["metadata"].get("annotations", {}):
            self.world.server.modify(POD, name, _attach)
        if pod.get("status", {}).get("phase") != "Running":
            running = {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady"}],
                "containerStatuses": [
                    {"name": "compute", "ready": True, "state": {"running": {"startedAt": NOW}}, "image": "launcher"}
                ],
            }
            self.world.server.modify(POD, name, lambda body: body.update(status=running), status=True)

    def _cut_over(self) -> None:
        """The target's virt-handler: label, node, end."""
        self.report(targetNodeDomainReadyTimestamp=NOW)
        label = {"kubevirt.io/nodeName": self.node}
        self.world.server.modify(VMI, self.vmi, lambda body: body["metadata"]["labels"].update(label))
        moved = {"nodeName": self.node}
        self.world.server.modify(VMI, self.vmi, lambda body: body["status"].update(moved), status=True)
        self.report(endTimestamp=NOW, completed=True)

    def _bury_pods(self) -> None:
        """The kubelet: what was asked to go is gone."""
        for pod in self.world.server.items(POD):
            if "deletionTimestamp" in pod["metadata"]:
                self.world.server.delete(POD, _name(pod), grace_seconds=0)


def _name(body: Json) -> str:
    return str(body["metadata"]["name"])


def _attach(body: Json) -> None:
    body["metadata"]["annotations"][NETWORK_STATUS] = objects.network_status(objects.requested(body))
