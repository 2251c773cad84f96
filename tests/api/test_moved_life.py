"""One whole migration as the node agents and a migration controller write it, and what the VMI's operator makes of it.

The test plays all of them. No migration object exists: what is done with one is not the subject here.
"""

import copy
from typing import Any

import pytest
from tests.api import objects
from tests.api.objects import NETWORK_STATUS, Json
from tests.api.world import POD, VM, VMI, World

GATE = "kubevirt.io/virtual-machine-unpaused"
UID = "44444444-dddd-4000-8000-000000000004"
NOW = "2026-01-01T00:00:00Z"


class Move:
    """A VM's move from the pod that it has to one on node02."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.source = world.pod_of(name)["metadata"]["name"]
        self.target = f"{self.source}-target"

    def make_target(self) -> None:
        """Made from the present spec, scheduled, attached, running."""
        body = copy.deepcopy(self.world.get(POD, self.source))
        body["spec"].pop("nodeName")
        meta = body["metadata"]
        labels = {**meta["labels"], "kubevirt.io/migrationJobUID": UID}
        annotations = {objects.NETWORKS: meta["annotations"].get(objects.NETWORKS, "[]")}
        body["metadata"] = {
            "name": self.target,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": meta["ownerReferences"],
        }
        status = body.pop("status")
        self.world.server.create(POD, body)
        self.world.server.bind(self.target, node="node02")
        self.world.server.modify(POD, self.target, _attach)
        closed = {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": NOW}
        status["conditions"] = [closed]
        self.world.server.modify(POD, self.target, lambda pod: pod.update(status=status), status=True)

    def report(self, **members: Any) -> None:
        """Members of migrationState."""

        def change(body: Json) -> None:
            body["status"]["migrationState"] = {**body["status"].get("migrationState", {}), **members}

        self.world.server.modify(VMI, self.name, change, status=True)

    def hand_off(self) -> None:
        """The migration controller's last word; it has made the target, and says so."""

        def record(body: Json) -> None:
            uid = self.world.get(POD, self.target)["metadata"]["uid"]
            row = {"name": self.target, "uid": uid, "migrationUid": UID}
            body["status"]["launcherPods"] = [*body["status"]["launcherPods"], row]
            body["status"]["activePods"] = {**body["status"]["activePods"], uid: "node02"}

        self.world.server.modify(VMI, self.name, record, status=True)
        self.report(
            migrationUid=UID,
            sourceNode="node01",
            sourcePod=self.source,
            targetNode="node02",
            targetPod=self.target,
        )

    def open_target(self) -> None:
        """The kubelet: the gate is open, the pod is Ready."""

        def change(body: Json) -> None:
            rows = [row for row in body["status"]["conditions"] if row["type"] != "Ready"]
            body["status"]["conditions"] = [*rows, {"type": "Ready", "status": "True", "lastTransitionTime": NOW}]

        self.world.server.modify(POD, self.target, change, status=True)

    def cut_over(self) -> None:
        """The target's node agent: label first, then node and rows, then the end."""
        self.world.server.modify(
            VMI, self.name, lambda body: body["metadata"]["labels"].update({"kubevirt.io/nodeName": "node02"})
        )

        def change(body: Json) -> None:
            body["status"]["nodeName"] = "node02"
            body["status"].pop("launcherContainerImageVersion", None)
            body["status"]["migrationState"]["endTimestamp"] = NOW

        self.world.server.modify(VMI, self.name, change, status=True)
        self.report(completed=True)

    def end(self, pod: str) -> None:
        """Its virt-launcher ends."""

        def change(body: Json) -> None:
            body["status"]["phase"] = "Succeeded"
            state = {"terminated": {"exitCode": 0, "finishedAt": NOW}}
            body["status"]["containerStatuses"] = [{"name": "compute", "ready": False, "state": state}]

        self.world.server.modify(POD, pod, change, status=True)

    def gate(self) -> str:
        """Whether the target is open."""
        rows = self.world.get(POD, self.target)["status"].get("conditions", [])
        return str(next((row["status"] for row in rows if row["type"] == GATE), ""))

    def active_pods(self) -> list[str]:
        """Nodes of the pods that the VMI lists."""
        return sorted(self.world.get(VMI, self.name)["status"].get("activePods", {}).values())

    def printable(self) -> str:
        """What people read on the VM."""
        return str(self.world.get(VM, self.name)["status"].get("printableStatus"))


def _attach(body: Json) -> None:
    body["metadata"]["annotations"][NETWORK_STATUS] = objects.network_status(objects.requested(body))


def _written_conditions(world: World, type_: str) -> set[str]:
    """Every status of that condition that the operator wrote on VMIs."""
    patches = [request.body for request in world.work() if request.resource == VMI and request.subresource == "status"]
    lists = [item["value"] for body in patches for item in body if item.get("path") == "/status/conditions"]
    return {row["status"] for rows in lists for row in rows or [] if row["type"] == type_}


@pytest.fixture
async def move(world: World) -> Move:
    """A VM with one NIC, about to be moved."""
    await world.operator()
    name = await world.running(objects.vm("a"))
    await world.plugged(VM, name, "blue")
    await world.quiet()
    return Move(world, name)


async def test_a_whole_migration_is_followed_without_a_flicker(world: World, move: Move) -> None:
    name, rows = move.name, world.get(VMI, move.name)["status"]["interfaces"]
    move.make_target()
    await world.at_rest()
    assert move.active_pods() == ["node01"], "nobody has recorded the target yet"
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2")
    move.report(startTimestamp=NOW, mode="PreCopy")
    await world.until(lambda: move.printable() == "Migrating")
    assert move.gate() == ""
    move.report(targetNodeDomainReadyTimestamp=NOW)
    await world.until(lambda: move.gate() == "True")
    move.cut_over()
    await world.until(lambda: move.printable() == "Running")
    move.open_target()
    move.end(move.source)
    await world.at_rest()
    world.server.delete(POD, move.source)
    await world.until(lambda: move.active_pods() == ["node02"])
    await world.at_rest()
    assert world.phase(name) == "Running"
    assert world.get(VMI, name)["status"]["interfaces"] == rows
    assert world.get(VMI, name)["status"]["launcherContainerImageVersion"]
    assert "False" not in _written_conditions(world, "Ready") | _written_conditions(world, "InterfacesReady")
    assert not [line for line in world.written() if line.startswith(("create", "delete"))]
    await world.plugged(VM, name, "red")
    assert world.pod_of(name)["metadata"]["name"] == move.target


async def test_a_target_that_dies_changes_nothing(world: World, move: Move) -> None:
    move.make_target()
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2", startTimestamp=NOW)
    move.end(move.target)
    world.server.delete(POD, move.target)
    move.report(failed=True, completed=True, endTimestamp=NOW, failureReason="Broken pipe")
    await world.until(lambda: move.active_pods() == ["node01"] and move.printable() == "Running")
    await world.at_rest()
    assert world.phase(move.name) == "Running"
    assert "False" not in _written_conditions(world, "Ready")
    await world.plugged(VM, move.name, "red")


async def test_a_vmi_whose_source_is_gone_during_the_copy_fails_with_its_target(world: World, move: Move) -> None:
    """Not before: the guest may have arrived there. Then its VM starts it anew."""
    uid = world.get(VMI, move.name)["metadata"]["uid"]
    move.make_target()
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2", startTimestamp=NOW)
    world.server.delete(POD, move.source, grace_seconds=0)
    await world.until(lambda: world.condition(move.name, "Ready") == "False")
    await world.at_rest()
    assert world.phase(move.name) == "Running"
    move.end(move.target)
    world.server.delete(POD, move.target, grace_seconds=0)
    await world.until(lambda: _uid(world, move.name) not in ("", uid) and world.has_pod(move.name))
    assert world.server.get(POD, move.target) is None


async def test_a_guest_that_has_arrived_outlives_its_source(world: World, move: Move) -> None:
    move.make_target()
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2", startTimestamp=NOW, targetNodeDomainReadyTimestamp=NOW)
    await world.until(lambda: move.gate() == "True")
    world.server.delete(POD, move.source, grace_seconds=0)
    await world.until(lambda: move.active_pods() == ["node02"])
    move.open_target()
    move.cut_over()
    await world.at_rest()
    assert world.phase(move.name) == "Running"
    assert "False" not in _written_conditions(world, "Ready")


async def test_a_vm_that_is_stopped_on_the_way_leaves_no_pod(world: World, move: Move) -> None:
    move.make_target()
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2", startTimestamp=NOW)
    world.server.modify(VM, move.name, lambda body: body["spec"].update(runStrategy="Halted"))
    await world.until(lambda: all("deletionTimestamp" in pod["metadata"] for pod in world.server.items(POD)))
    for pod in (move.source, move.target):
        if world.server.get(POD, pod) is not None:
            world.server.delete(POD, pod, grace_seconds=0)
    await world.until(lambda: world.server.get(VMI, move.name) is None)
    await world.until(lambda: move.printable() == "Stopped")
    assert world.server.items(POD) == []


async def test_a_moved_guest_s_pod_that_loses_its_labels_is_found_again(world: World, move: Move) -> None:
    move.make_target()
    move.hand_off()
    move.report(targetNodeAddress="10.0.0.2", startTimestamp=NOW, targetNodeDomainReadyTimestamp=NOW)
    move.cut_over()
    move.end(move.source)
    world.server.delete(POD, move.source)
    await world.until(lambda: move.active_pods() == ["node02"])
    world.server.modify(POD, move.target, lambda body: body["metadata"].pop("labels"))
    await world.until(lambda: world.get(POD, move.target)["metadata"].get("labels", {}).get("kubevirt.io"))
    await world.at_rest()
    labels = world.get(POD, move.target)["metadata"]["labels"]
    assert labels["kubevirt.io/created-by"] == world.get(VMI, move.name)["metadata"]["uid"]
    assert world.phase(move.name) == "Running"


def _uid(world: World, name: str) -> str:
    vmi = world.server.get(VMI, name)
    return str(vmi["metadata"]["uid"]) if vmi is not None else ""
