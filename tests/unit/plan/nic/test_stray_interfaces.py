"""An interface that a launcher pod has and no NIC of the VMI: detached with retries, and nobody else's is touched."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    EVERY_NAMESPACE,
    POD_INTERFACES,
    POD_NAME,
    Json,
    Nic,
    a_pod,
    a_vmi,
    absent,
    element,
    failed,
    kubevirt,
    later,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import completions, status_of

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks_annotation import parse_annotation
from nicplug.plan.actions import PatchNetworksAnnotation
from nicplug.plan.nic.observed import stray_interfaces
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

BLUE, GREEN, RED = (POD_INTERFACES[name] for name in ("blue", "green", "red"))
OWN_NAMESPACE = AttachmentAccess(shared=frozenset())
NETWORKS = "k8s.v1.cni.cncf.io/networks"


def entry(interface: str, network: str = "default/green-net") -> Json:
    """An entry of network-status."""
    return {"name": network, "interface": interface}


class World:
    """A running VMI whose spec lost NIC green as its pod was being asked for it; so the pod has green's interface."""

    def __init__(self, *more: Nic, asked: tuple[str, ...] = ("green",)) -> None:
        self.raw = vmi(primary(), *more, rows=[primary_row()], operations=[])
        self.pod = pod(networks=[element(name) for name in asked], attached=["green"])
        self.events: list[str] = []

    def plan(self, at: float = 0, **view: Any) -> Plan:
        """One pass; what it writes has arrived before the next."""
        known: dict[str, Any] = {"controller": CONTROLLER, "report_pending_since": later(-60)}
        plan = plan_vmi(vmi_view(self.raw, self.pod, **(known | view)), now=later(at))
        self.raw["status"] |= status_of(plan)
        self.events += [item.reason for item in plan.announcements]
        for action in plan.actions:
            if isinstance(action, PatchNetworksAnnotation):
                self.pod["metadata"]["annotations"][NETWORKS] = action.wanted
        return plan

    def detach(self) -> None:
        """The controller succeeds."""
        self.pod = pod(networks=self.pod["metadata"]["annotations"][NETWORKS])

    def asked(self) -> list[str]:
        """Pod interfaces in the annotation."""
        return [str(item["interface"]) for item in parse_annotation(self.pod["metadata"]["annotations"][NETWORKS])]

    def records(self) -> dict[str, Json]:
        """By name."""
        return {item["name"]: item for item in self.raw["status"].get("interfaceOperations") or ()}


def _asks(plan: Plan) -> int:
    return sum(isinstance(action, PatchNetworksAnnotation) for action in plan.actions)


def test_a_nic_withdrawn_while_its_pod_was_asked_for_it_is_detached_although_the_controller_failed_once() -> None:
    """Two leaders: one asked for the NIC that the other took out of the spec; then the controller failed once. Its
    element was gone, it had no record, and nobody changed the text any more, without which the controller is silent."""
    world = World()
    assert _asks(world.plan()) == 1
    assert world.asked() == []
    failures = [failed("green", removing=True, at=later(0.05))]
    passes = [at / 10 for at in range(1, 50) if _asks(world.plan(at / 10, failures=failures))]
    assert passes == [2.0]
    world.detach()
    world.plan(5, failures=failures)
    assert world.records() == {}
    assert world.plan(6, failures=failures).is_empty


def test_it_is_asked_for_ever_less_often_while_the_controller_fails() -> None:
    world, asks = World(), []
    world.plan()
    failures = [failed("green", removing=True, at=later(0.05))]
    for at in range(1, 170):
        if _asks(world.plan(at, failures=failures)):
            asks.append(at)
            failures = [failed("green", removing=True, at=later(at + 0.05))]
    assert asks == [2, 10, 40, 160]
    reported = world.records()[GREEN]
    assert (reported["operation"], reported["phase"], reported["reason"]) == ("Unplug", "Failed", "DetachFailed")
    assert reported["message"].startswith(
        f"pod {POD_NAME} has an interface {GREEN} of network default/green-net, which"
    )
    assert "failed removing interface" in reported["message"]
    assert "it ends with the pod" in reported["remedy"]
    assert world.events == ["InterfaceFailed"]


def test_a_leader_that_finds_it_asks_again_though_none_has_recorded_it() -> None:
    """Who took the element out has died before it could say so: counted from when it is noticed."""
    world = World(asked=())
    asks = [at for at in range(20) if _asks(world.plan(at))]
    assert asks == [8, 16]
    assert world.records()[GREEN]["attempts"] == 3


def test_it_is_no_nic_that_anybody_unplugged() -> None:
    """No event, and no figure in the metric of hot-unplugs."""
    world = World()
    world.plan()
    world.detach()
    plan = world.plan(1)
    assert (world.events, completions(plan)) == ([], [])


def test_it_holds_up_no_other_nic_while_it_fails() -> None:
    world = World()
    world.plan()
    world.raw["spec"]["domain"]["devices"]["interfaces"].append(nic("red")[0])
    world.raw["spec"]["networks"].append(nic("red")[1])
    world.plan(3, failures=[failed("green", removing=True, at=later(0.05))])
    assert world.asked() == [RED]


def test_it_waits_for_a_nic_that_comes_and_is_not_asked_to_go_before() -> None:
    """A removal never travels with an addition, whose network-status would get lost."""
    world = World(nic("red"))
    world.plan()
    assert world.asked() == [RED, GREEN]
    assert "lastAttemptTime" not in world.records()[GREEN]
    world.pod = pod(networks=[element("red"), element("green")], attached=["red", "green"])
    world.plan(1)
    assert world.asked() == [RED]
    assert world.records()[GREEN]["lastAttemptTime"] == "2026-01-02T03:04:06.678000Z"


def test_one_that_is_wanted_again_is_kept() -> None:
    world = World()
    world.plan()
    world.raw["spec"]["domain"]["devices"]["interfaces"].append(nic("green")[0])
    world.raw["spec"]["networks"].append(nic("green")[1])
    world.plan(1)
    assert world.asked() == [GREEN]
    assert set(world.records()) == {"green"}


def test_while_the_pod_cannot_be_asked_its_record_does_not_flip() -> None:
    """A pod that is not ready for a moment: the same failure would be announced once more."""
    world = World()
    world.plan()
    failures = [failed("green", removing=True, at=later(2.05))]
    world.plan(2.1, failures=[failed("green", removing=True, at=later(0.05))])
    world.plan(3, failures=failures)
    assert world.records()[GREEN]["phase"] == "Failed"
    text = world.pod["metadata"]["annotations"][NETWORKS]
    world.pod = pod(networks=text, attached=["green"], ready=False)
    world.plan(4, failures=failures)
    world.pod = pod(networks=text, attached=["green"])
    world.plan(5, failures=failures)
    assert world.records()[GREEN]["attempts"] == 2
    assert world.events == ["InterfaceFailed"]


UNREPORTED: Mapping[str, Json] = {
    "hot-plug is off": {"config": kubevirt(disabled=["HotplugNICs"])},
    "no controller on the node": {"controller": DynamicController(state=ControllerState.NOT_ON_NODE)},
}


@pytest.mark.parametrize("title", UNREPORTED)
def test_it_is_not_reported_where_nobody_detaches_it(title: str) -> None:
    """It ends with the pod, and nobody waits for it."""
    world = World(asked=())
    world.plan(**UNREPORTED[title])
    assert world.records() == {}


def test_what_the_api_server_refuses_is_said_and_is_no_attempt() -> None:
    world = World()
    refusal = Refusal(reason="FailedPodPatch", message="pods is forbidden")
    for at in range(60):
        world.plan(at, refusal=refusal)
    reported = world.records()[GREEN]
    assert (reported["reason"], reported["attempts"]) == ("FailedPodPatch", 0)
    assert "pods is forbidden" in reported["message"]


def test_those_of_others_cost_nothing() -> None:
    """An interface of a webhook's element, one of a namespace whose networks the VM may not use."""
    world = World(asked=())
    entries = [{"name": "cluster", "interface": "eth0", "default": True}, entry("mesh0"), entry(GREEN, "other/net")]
    world.pod = pod(networks=[], status_text=json.dumps(entries))
    world.plan(access=OWN_NAMESPACE)
    assert all(world.plan(at, access=OWN_NAMESPACE).is_empty for at in range(1, 30))
    assert world.records() == {}


CASES: Mapping[str, tuple[Json, list[Nic], list[Json], AttachmentAccess, tuple[str, ...]]] = {
    "of no NIC": (entry(GREEN), [], [], EVERY_NAMESPACE, (GREEN,)),
    "of a NIC of the spec": (entry(GREEN), [nic("green")], [], EVERY_NAMESPACE, ()),
    "of a NIC that is to go": (entry(GREEN), [absent("green")], [], EVERY_NAMESPACE, ()),
    "of a NIC of another name": (entry(GREEN), [nic("blue")], [], EVERY_NAMESPACE, (GREEN,)),
    "held by the guest": (entry(GREEN), [], [row("green", "domain")], EVERY_NAMESPACE, ()),
    "given to a guest that has not got it": (
        entry(GREEN),
        [],
        [row("green", "multus-status")],
        EVERY_NAMESPACE,
        (GREEN,),
    ),
    "of a name of Multus": (entry("net1"), [], [], EVERY_NAMESPACE, ()),
    "of a webhook's name": (entry("mesh0"), [], [], EVERY_NAMESPACE, ()),
    "of a binding plugin": (entry(f"bind{GREEN.removeprefix('pod')}"), [], [], EVERY_NAMESPACE, ()),
    "of a name that is nearly hashed": (entry(f"{GREEN}0"), [], [], EVERY_NAMESPACE, ()),
    "the pod's own": (entry(GREEN) | {"default": True}, [], [], EVERY_NAMESPACE, ()),
    "of a shared namespace": (entry(GREEN, "default/net"), [], [], AttachmentAccess(), (GREEN,)),
    "of a namespace that the VM may not use": (entry(GREEN, "other/net"), [], [], OWN_NAMESPACE, ()),
    "of a network that is not named": (entry(GREEN, ""), [], [], EVERY_NAMESPACE, ()),
    "called as a NIC of the spec": (entry(GREEN), [nic(GREEN)], [], EVERY_NAMESPACE, ()),
}


@pytest.mark.parametrize("title", CASES)
def test_which_interface_of_a_pod_is_stray(title: str) -> None:
    listed, nics, rows, access, wanted = CASES[title]
    raw = pod(networks=[], status_text=json.dumps([listed]))
    assert stray_interfaces(a_vmi(vmi(primary(), *nics, rows=rows)), a_pod(raw), access=access) == wanted


@pytest.mark.parametrize("text", ["", "not JSON"])
def test_nothing_is_stray_while_network_status_is_silent(text: str) -> None:
    raw = pod(networks=[element("green")], status_text=text)
    assert not stray_interfaces(a_vmi(vmi(primary())), a_pod(raw), access=EVERY_NAMESPACE)


def test_a_long_forged_status_does_not_fill_the_vmi() -> None:
    entries = [entry(f"pod{number:011x}") for number in range(1000)]
    raw = pod(networks=[], status_text=json.dumps(entries))
    assert len(stray_interfaces(a_vmi(vmi(primary())), a_pod(raw), access=EVERY_NAMESPACE)) == 8


def test_a_record_of_it_is_continued_by_the_next_leader() -> None:
    """Counted from the record: it does not begin anew."""
    world = World(asked=())
    tried = operation(
        GREEN, type_="Unplug", phase="Failed", reason="DetachFailed", attempts=3, lastError="no such device"
    )
    world.raw["status"]["interfaceOperations"] = [
        tried | {"lastAttemptTime": tried["startTime"], "observedGeneration": world.raw["metadata"]["generation"]}
    ]
    assert not any(_asks(world.plan(at)) for at in range(1, 30))
    assert _asks(world.plan(30.5)) == 1
    assert world.records()[GREEN]["attempts"] == 4
