"""Migrations that the operator carries out; the test plays scheduler, kubelet and node agents up to a phase."""

from dataclasses import dataclass
from typing import Any

from tests.api import objects
from tests.api.objects import Json
from tests.api.world import MIGRATION, NOW, POD, VM, VMI, World

# Where one can be for long: in between the operator goes on by itself.
PHASES = ("Pending", "Scheduling", "PreparingTarget", "TargetReady", "Running")
SOURCE, TARGET = "node01", "node02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """One VM on its way.

    Attributes:
        name: of the VM, its VMI and its migration.
        source: name of the pod that has the guest.
    """

    world: World
    name: str
    vmi_uid: str
    migration_uid: str
    source: str

    def migration(self) -> Json:
        """The migration; empty when it is gone."""
        return self.world.server.get(MIGRATION, self.name) or {}

    def phase(self) -> str:
        """Of the migration; "" before the first, and when it is gone."""
        return str(self.migration().get("status", {}).get("phase", ""))

    def reason(self) -> str:
        """Why it is where it is."""
        rows = self.migration().get("status", {}).get("conditions", [])
        return str(next((row.get("reason", "") for row in rows if row["type"] == "Progressing"), ""))

    def targets(self) -> list[str]:
        """Names of its target pods."""
        found = self.world.server.items(POD)
        label = "kubevirt.io/migrationJobUID"
        return [
            pod["metadata"]["name"]
            for pod in found
            if (pod["metadata"].get("labels") or {}).get(label) == self.migration_uid
        ]

    def vmi(self) -> Json:
        """The VMI that is moved; empty when it is gone, whoever has its name now."""
        found = self.world.server.get(VMI, self.name) or {}
        return found if found.get("metadata", {}).get("uid") == self.vmi_uid else {}

    def state(self) -> Json:
        """Its migrationState."""
        state: Json = self.vmi().get("status", {}).get("migrationState") or {}
        return state

    def report(self, **members: Any) -> None:
        """What a node agent writes into migrationState."""

        def change(body: Json) -> None:
            body["status"]["migrationState"] = {**body["status"].get("migrationState", {}), **members}

        self.world.server.modify(VMI, self.name, change, status=True)

    def run_target(self) -> None:
        """Scheduler, Multus and kubelet: on a node, attached, running; its gate is shut."""
        (name,) = self.targets()
        self.world.server.bind(name, node=TARGET)
        self.world.server.modify(POD, name, _attach)
        self.world.server.modify(POD, name, lambda body: body.update(status=_running()), status=True)


async def reach(world: World, name: str, phase: str) -> Moving:
    """A running VM and its migration, which stays in that phase until somebody does something."""
    await world.running(objects.vm(name))
    condition = {"type": "LiveMigratable", "status": "True"}
    world.server.modify(VMI, name, lambda body: body["status"]["conditions"].append(condition), status=True)
    body: Json = {"metadata": {"name": name}, "spec": {"vmiName": name}}
    if phase == "Pending":  # no node is like that
        body["spec"]["addedNodeSelector"] = {"nowhere": "yes"}
    source, uid = world.pod_of(name)["metadata"]["name"], world.get(VMI, name)["metadata"]["uid"]
    made = world.server.create(MIGRATION, body)
    moving = Moving(world=world, name=name, vmi_uid=uid, migration_uid=made["metadata"]["uid"], source=source)
    for following in PHASES[: PHASES.index(phase) + 1]:
        if following == "PreparingTarget":
            moving.run_target()
        if following == "TargetReady":
            moving.report(targetNodeAddress="10.0.0.2")
        if following == "Running":
            moving.report(startTimestamp=NOW, mode="PreCopy")
        await world.until(lambda: phase_is(moving, following))  # noqa: B023
    return moving


def phase_is(moving: Moving, phase: str) -> bool:
    """It is there, or was on its way to it."""
    reached = moving.phase()
    return reached in PHASES and PHASES.index(reached) >= PHASES.index(phase)


def end_pods(world: World) -> None:
    """The kubelets: what is being deleted ends."""
    for pod in world.server.items(POD):
        if "deletionTimestamp" in pod["metadata"]:
            world.server.delete(POD, pod["metadata"]["name"], grace_seconds=0)


def printable(world: World, name: str) -> str:
    """What people read on the VM; "" when it is gone."""
    vm = world.server.get(VM, name) or {}
    return str(vm.get("status", {}).get("printableStatus", ""))


def _attach(body: Json) -> None:
    annotations = body["metadata"].setdefault("annotations", {})
    annotations[objects.NETWORK_STATUS] = objects.network_status(objects.requested(body))


def _running() -> Json:
    return {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": NOW}
        ],
        "containerStatuses": [
            {"name": "compute", "ready": True, "state": {"running": {"startedAt": NOW}}, "image": "launcher"}
        ],
    }
