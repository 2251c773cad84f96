"""The devices that a launcher pod asks its node for: those of its networks, for the first pod as for a target pod."""

from typing import Any

import pytest
from tests.build import (
    NOW,
    Json,
    Nic,
    absent,
    later,
    migration,
    migration_view,
    nad,
    nic,
    pod,
    primary,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create, Delete, PatchStatus
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

FAST, BRIDGE = "example.com/fast", "bridge.network.kubevirt.io/br1"
NADS_KNOWN_FOR_LONG = later(-9)


def device_nad(name: str, device: str = FAST, **members: Any) -> Json:
    """A definition that says what device its pods need."""
    body = nad(name, **members)
    body["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": device}
    return body


def _plan(*nics: Nic, nads: list[Json] | None, spec_seen_at: Any = NADS_KNOWN_FOR_LONG, **members: Any) -> Plan:
    return plan_vmi(vmi_view(vmi(*nics, phase="", **members), nads=nads, spec_seen_at=spec_seen_at), now=NOW)


def _first_pod(*nics: Nic, nads: list[Json] | None) -> Json:
    (create,) = _plan(*nics, nads=nads).actions
    assert isinstance(create, Create)
    body: Json = thaw(create.body)
    return body


def _devices(body: Json) -> Json:
    """Of the compute container; requests and limits must agree about them."""
    resources = body["spec"]["containers"][0]["resources"]
    asked, limited = ({name: n for name, n in part.items() if "/" in name} for part in resources.values())
    assert asked == limited
    return asked


ASKED: dict[str, tuple[list[Nic], list[Json], Json]] = {
    "SR-IOV": ([nic("fast", binding="sriov")], [device_nad("fast-net")], {FAST: "1"}),
    "a bridge that its marker offers": ([nic("blue")], [device_nad("blue-net", BRIDGE)], {BRIDGE: "1"}),
    "two of one network": (
        [nic("a", binding="sriov", attachment="fast-net"), nic("b", binding="sriov", attachment="fast-net")],
        [device_nad("fast-net")],
        {FAST: "2"},
    ),
    "two devices": (
        [nic("fast", binding="sriov"), nic("blue")],
        [device_nad("fast-net"), device_nad("blue-net", BRIDGE)],
        {FAST: "1", BRIDGE: "1"},
    ),
    "one of two is to be gone": (
        [absent("fast"), nic("blue")],
        [device_nad("fast-net"), device_nad("blue-net")],
        {FAST: "1"},
    ),
}


@pytest.mark.parametrize("title", ASKED)
def test_the_first_pod_asks_for_the_devices_of_its_networks(title: str) -> None:
    """A VM with an SR-IOV NIC was started on a node without the device, and reported its NIC ready."""
    nics, nads, devices = ASKED[title]
    assert _devices(_first_pod(primary(), *nics, nads=nads)) == devices


def test_beside_what_the_guest_takes() -> None:
    resources = _first_pod(primary(), nic("fast", binding="sriov"), nads=[device_nad("fast-net")])["spec"]["containers"]
    assert resources[0]["resources"]["requests"]["cpu"] == "100m"


ASKED_FOR_NOTHING: dict[str, tuple[list[Nic], list[Json] | None]] = {
    "no annotation": ([nic("fast", binding="sriov")], [nad("fast-net")]),
    "an entry that no pod may get": ([nic("fast", mac="01:00:5e:00:00:01")], [device_nad("fast-net")]),
    "a definition that is broken: the NIC comes later": ([nic("fast")], [device_nad("fast-net", config="{")]),
    "a definition that is missing: the NIC comes later": ([nic("fast")], []),
    "definitions cannot be read": ([nic("fast", binding="sriov")], None),
    "no NIC of it": ([nic("blue")], [device_nad("fast-net"), nad("blue-net")]),
}


@pytest.mark.parametrize("title", ASKED_FOR_NOTHING)
def test_no_device_is_asked_for(title: str) -> None:
    nics, nads = ASKED_FOR_NOTHING[title]
    resources = _first_pod(primary(), *nics, nads=nads)["spec"]["containers"][0]["resources"]
    assert [name for part in resources.values() for name in part if "/" in name] == []


def test_first_pod_and_target_pod_differ_in_nothing_but_what_they_must() -> None:
    nics = (primary(), nic("fast", binding="sriov"), nic("blue"))
    nads = [device_nad("fast-net"), device_nad("blue-net", BRIDGE)]
    first = _first_pod(*nics, nads=nads)
    plan = plan_migration(migration_view(migration("Pending"), vmi(*nics), pod(), nads=nads), now=NOW)
    (create,) = [action for action in plan.actions if isinstance(action, Create)]
    target = thaw(create.body)
    target["spec"].pop("affinity")
    target["metadata"]["annotations"].pop("kubevirt.io/migrationJobName")
    target["metadata"]["labels"].pop("kubevirt.io/migrationJobUID")
    target["metadata"]["name"] = first["metadata"]["name"]
    assert target == first
    assert _devices(target) == {FAST: "1", BRIDGE: "1"}


CORRECTED = {"corrected": [device_nad("fast-net", "example.com/other")], "deleted": [], "not readable now": None}


@pytest.mark.parametrize("title", CORRECTED)
def test_a_pod_that_waits_for_a_node_stays_whatever_becomes_of_the_definition(title: str) -> None:
    nics = (primary(), nic("fast", binding="sriov"))
    made = _first_pod(*nics, nads=[device_nad("fast-net")])
    waiting = pod(name=made["metadata"]["name"], phase="Pending", ready=False, node="")
    waiting["metadata"]["annotations"] = made["metadata"]["annotations"]
    plan = plan_vmi(
        vmi_view(vmi(*nics, phase="Scheduling"), waiting, nads=CORRECTED[title], report_pending_since=later(-9)),
        now=NOW,
    )
    assert not [action for action in plan.actions if isinstance(action, Delete)]
    assert not [action for action in plan.actions if isinstance(action, PatchStatus) and '"Pending"' in action.wanted]


class TestADefinitionThatIsMissing:
    """An SR-IOV NIC cannot follow in place, and a pod that exists cannot be given its device."""

    NICS = (primary(), nic("fast", binding="sriov"))

    def test_is_waited_for_as_it_may_have_been_created_together_with_the_vm(self) -> None:
        plan = _plan(*self.NICS, nads=[], spec_seen_at=later(-1))
        assert (plan.actions, plan.again_at) == ((), later(1))

    def test_keeps_the_pod_from_being_made_and_is_reported_with_one_event(self) -> None:
        plan = _plan(*self.NICS, nads=[])
        assert not [action for action in plan.actions if isinstance(action, Create)]
        status = status_of(plan)
        (row,) = [item for item in status["conditions"] if item["type"] == "Synchronized"]
        assert (row["status"], row["reason"], status["phase"]) == ("False", "FailedCreate", "Pending")
        assert row["message"].startswith("failed to locate network attachment definition default/fast-net: create it")
        assert [(item.reason, item.severity) for item in plan.announcements] == [("FailedCreate", "Warning")]
        again = vmi(*self.NICS, phase="Pending")
        again["status"] |= status
        assert plan_vmi(vmi_view(again, nads=[], spec_seen_at=NADS_KNOWN_FOR_LONG), now=NOW).is_empty

    def test_starts_the_vm_with_its_device_when_it_comes(self) -> None:
        refused = vmi(*self.NICS, phase="Pending")
        refused["status"] |= status_of(_plan(*self.NICS, nads=[]))
        view = vmi_view(refused, nads=[device_nad("fast-net")], spec_seen_at=NADS_KNOWN_FOR_LONG)
        (create,) = plan_vmi(view, now=NOW).actions
        assert isinstance(create, Create)
        assert _devices(thaw(create.body)) == {FAST: "1"}

    def test_of_a_nic_that_can_be_plugged_is_no_obstacle(self) -> None:
        (create,) = _plan(primary(), nic("blue"), nads=[]).actions
        assert isinstance(create, Create)
