"""A NIC in the guest whose launcher pod has lost the interface behind it: asked for as one that never came."""

import json
from typing import Any

import pytest
from tests.build import (
    POD_UID,
    TARGET_NODE,
    Json,
    Nic,
    element,
    failed,
    later,
    migration,
    migration_state,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import completions, status_of

from nicplug.model.networks_annotation import parse_annotation
from nicplug.plan.actions import PatchNetworksAnnotation
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

READY = operation("blue", phase="Ready", reason="Attached", since=later(-900), lastAttemptTime=later(-900))


class World:
    """One running VMI whose guest has NIC blue."""

    def __init__(self, *more: Nic, asked: tuple[str, ...] = ("blue",), attached: tuple[str, ...] = ()) -> None:
        rows = [primary_row(), row("blue", "domain", "multus-status")]
        self.raw = vmi(primary(), nic("blue"), *more, rows=rows, operations=[READY])
        self.pod = pod(networks=[element(name) for name in asked], attached=attached)

    def plan(self, at: float = 0, **view: Any) -> Plan:
        """One pass; what it writes has arrived before the next."""
        plan = plan_vmi(vmi_view(self.raw, self.pod, report_pending_since=later(-60), **view), now=later(at))
        self.raw["status"] |= status_of(plan)
        for action in plan.actions:
            if isinstance(action, PatchNetworksAnnotation):
                self.pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] = action.wanted
        return plan

    def asked(self) -> list[str]:
        """Pod interfaces in the annotation."""
        text = self.pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"]
        return [str(item["interface"]) for item in parse_annotation(text)]

    def record(self, name: str = "blue") -> Json:
        """Its record."""
        found: Json = next(item for item in self.raw["status"]["interfaceOperations"] if item["name"] == name)
        return found


def _asks(plan: Plan) -> int:
    return sum(isinstance(action, PatchNetworksAnnotation) for action in plan.actions)


def _interface(name: str) -> str:
    return str(element(name)["interface"])


def test_what_somebody_took_out_is_asked_for_at_once_and_counted_again() -> None:
    world = World(asked=())
    assert _asks(world.plan()) == 1
    assert world.asked() == [_interface("blue")]
    assert (world.record()["reason"], world.record()["attempts"]) == ("PodInterfaceLost", 1)


def test_it_is_asked_for_again_ever_less_often() -> None:
    """The controller tries four times within 35 ms, and never again until the text changes."""
    world, asks = World(asked=()), []
    world.plan()
    broken = {"failures": [failed("blue", at=later(0.5))]}
    for tenths in range(10, 2000):
        if _asks(world.plan(tenths / 10, **broken)):
            asks.append(tenths / 10)
            broken = {"failures": [failed("blue", at=later(tenths / 10 + 0.05))]}
    assert asks == [2.0, 10.0, 40.0, 160.0]
    assert world.record()["lastError"]
    assert "failed adding interface" in world.record()["message"]


def test_it_holds_up_no_other_nic_while_it_fails() -> None:
    """The controller stops at the first element that fails."""
    world = World(asked=())
    world.plan()
    world.raw["spec"]["domain"]["devices"]["interfaces"].append(nic("red")[0])
    world.raw["spec"]["networks"].append(nic("red")[1])
    world.plan(3, failures=[failed("blue", at=later(1))])
    assert world.asked() == [_interface("red")]


def test_of_two_each_is_asked_for_by_itself() -> None:
    """What the controller adds before one that fails it takes back, and network-status keeps it: of a NIC that the
    guest has already nobody would find out, as no node agent plugs it any more."""
    world = two_lost()
    world.plan()
    assert world.asked() == [_interface("blue")]
    assert world.record("red")["reason"] == "PodInterfaceLost"
    world.pod = pod(networks=[element("blue")], attached=["blue"])
    world.plan(0.1)
    assert world.asked() == [_interface("blue"), _interface("red")]


@pytest.mark.parametrize("says", [True, False], ids=["says so", "is silent"])
def test_of_two_the_one_that_fails_leaves_the_other_its_turn(*, says: bool) -> None:
    world = two_lost()
    world.plan()
    failures = [failed("blue", at=later(0.05))] if says else []
    for seconds in range(1, 60):
        world.plan(seconds, failures=failures)
        if world.asked() == [_interface("red")]:
            break
    assert world.record("red")["attempts"] == 1


def test_a_new_one_that_fails_leaves_it_its_turn() -> None:
    """Lost in the two seconds in which the new one has its own."""
    world = World(nic("red"), attached=("blue",))
    world.plan()
    failures = [failed("red", at=later(0.05))]
    world.pod = pod(networks=[element("red")])
    world.plan(0.5, failures=failures)
    assert world.asked() == [_interface("red")]
    assert world.record()["message"].split(". ")[1].startswith("The pod is asked for it again when it is its turn")
    world.plan(3, failures=failures)
    assert world.asked() == [_interface("blue")]
    assert world.record()["attempts"] == 1


SILENT = {
    "the pod is not ready": lambda: pod(networks=[element("blue")], ready=False),
    "network-status is not there": lambda: without_network_status(pod(networks=[element("blue")])),
    "network-status has an entry without a name": lambda: pod(networks=[element("blue")], attached=[""]),
}


@pytest.mark.parametrize("title", SILENT)
def test_it_is_not_back_while_nobody_can_tell(title: str) -> None:
    """A container that is started again and again: its NIC arrived each time, and was asked for without a pause."""
    world = World(asked=())
    world.plan()
    reported = world.record()
    for seconds in range(1, 8, 2):
        world.pod = SILENT[title]()
        silent = world.plan(seconds / 10)
        world.pod = pod(networks=[element("blue")])
        speaks = world.plan((seconds + 1) / 10)
        assert (silent.announcements, speaks.announcements, _asks(speaks)) == ((), (), 0)
        assert (world.record()["reason"], world.record()["attempts"]) == (reported["reason"], reported["attempts"])
    assert _asks(world.plan(9)) == 1


def test_a_pod_that_names_its_interfaces_in_another_way_has_lost_none() -> None:
    """Of the pod that the guest has left (KubeVirt before 1.0) the row says net1."""
    world = World()
    rows = [primary_row(), row("blue", "domain", "multus-status", pod_interface="net1")]
    world.raw["status"] |= {"interfaces": rows, "interfaceOperations": []}
    arrive(world)
    for seconds in range(3):
        plan = world.plan(seconds, migrations=[migration("Succeeded")])
        assert (plan.announcements, world.raw["status"]["interfaceOperations"]) == ((), [])


def two_lost() -> World:
    """The pod has lost the interfaces of both NICs of the guest."""
    world = World(nic("red"), asked=())
    world.raw["status"]["interfaces"].append(row("red", "domain", "multus-status"))
    return world


def without_network_status(raw: Json) -> Json:
    """Multus has not written it, or somebody has removed it."""
    del raw["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"]
    return raw


def arrive(world: World) -> None:
    """The guest is on a target pod, which has all of its NICs."""
    world.pod = target_pod(networks=[element("blue")], attached=["blue"])
    world.raw["metadata"]["labels"] = {"kubevirt.io/nodeName": TARGET_NODE}
    world.raw["status"]["nodeName"] = TARGET_NODE
    done: Json = {"completed": True, "endTimestamp": "2026-01-02T03:04:00Z"}
    world.raw["status"]["migrationState"] = migration_state(target=world.pod, **done)


def test_it_is_reported_once() -> None:
    world = World(asked=())
    assert [item.reason for item in world.plan().announcements] == ["InterfaceFailed"]
    assert world.plan(1).announcements == ()


def test_one_that_comes_back_is_ready_and_says_what_happened_to_it() -> None:
    """No arrival, and nothing for the metric: the guest had it all the time, connected or not."""
    world = World(asked=())
    world.plan()
    world.pod = pod(networks=[element("blue")], attached=["blue"])
    plan = world.plan(1)
    assert (world.record()["phase"], world.record()["reason"]) == ("Ready", "PodInterfaceRestored")
    assert ([item.reason for item in plan.announcements], completions(plan)) == (["InterfaceRestored"], [])
    later_plan = world.plan(2)
    assert (later_plan.actions, later_plan.announcements) == ((), ())


@pytest.mark.parametrize("rewords", [True, False], ids=["reworded", "of an earlier version"])
def test_which_pod_has_lost_it_is_not_read_from_the_message(*, rewords: bool) -> None:
    """An earlier version did not record it: that is the pod of the guest, then."""
    world = World(asked=())
    world.plan()
    if rewords:
        world.raw["status"]["interfaceOperations"][0] |= {"message": "x", "remedy": "x"}
    else:
        del world.raw["status"]["interfaceOperations"][0]["lostByPod"]
    world.pod = pod(networks=[element("blue")], ready=False)
    world.plan(1)
    assert (world.record()["reason"], world.record()["lostByPod"]) == ("PodInterfaceLost", POD_UID)
    world.pod = pod(networks=[element("blue")], attached=["blue"])
    world.plan(2)
    assert (world.record()["reason"], world.record()["lostByPod"]) == ("PodInterfaceRestored", POD_UID)


def test_a_guest_that_has_moved_since_has_nothing_to_tell_of_the_pod_that_it_left() -> None:
    world = World(asked=())
    world.plan()
    world.pod = pod(networks=[element("blue")], attached=["blue"])
    world.plan(1)
    arrive(world)
    plan = world.plan(2, migrations=[migration("Succeeded")])
    assert (world.record()["phase"], world.record()["reason"]) == ("Ready", "Attached")
    assert [item for item in plan.announcements if item.reason == "InterfacePlugged"] == []


def test_while_it_moves_to_a_pod_that_has_it_nobody_needs_to_migrate_it() -> None:
    world = World(asked=())
    world.plan()
    target = target_pod(networks=[element("blue")], attached=["blue"])
    view = vmi_view(world.raw, world.pod, target, migrations=[migration("Running")], report_pending_since=later(-60))
    (record,) = status_of(plan_vmi(view, now=later(1)))["interfaceOperations"]
    assert record["message"].endswith("; migration-job migrates the VM to a pod that has it")


def test_a_changed_network_is_served_though_somebody_took_the_element_out() -> None:
    """Network-status still has the old one: it was taken for the new one, and nobody said anything."""
    world = World(asked=())
    text = json.dumps([element_status("pod16477688c0e", "default/red-net")])
    world.pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = text
    world.raw["status"]["conditions"] = [{"type": "LiveMigratable", "status": "True"}]
    world.plan()
    assert (world.record()["operation"], world.record()["reason"]) == ("ChangeNetwork", "NetworkChangeNeedsMigration")
    assert "has network default/red-net, the spec asks for default/blue-net" in world.record()["message"]


def element_status(interface: str, network: str) -> Json:
    """An entry of network-status."""
    return {"name": network, "interface": interface, "default": False}


def test_an_element_of_an_interface_that_the_pod_has_is_not_touched() -> None:
    world = World(attached=("blue",))
    assert _asks(world.plan()) == 0
