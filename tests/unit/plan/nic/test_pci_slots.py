"""Which NICs the guest has a PCI slot for, and what is said and done of the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.build import (
    NOW,
    POD_INTERFACES,
    Json,
    Nic,
    a_migration,
    absent,
    element,
    later,
    migration,
    migration_state,
    nad,
    network_status,
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

from nicplug.model.frozen_json import thaw
from nicplug.model.pci import PciBudget
from nicplug.model.vmi import parse_vmi
from nicplug.plan.actions import PatchNetworksAnnotation, PatchStatus
from nicplug.plan.nic.pci_slots import PciSlots, count_slots
from nicplug.plan.vmi.plan_vmi import plan_vmi

# The guest of the builders has 1 GiB and no disks: with one NIC at its birth, 4 slots are certain and 8 possible.
LIVE_MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
NAMES = ("red", "blue", "green", "foo", "boo", "doo", "goo", "woo", "iface1")


def guest(names: Sequence[str]) -> list[Json]:
    """Rows of a guest that has the primary NIC and these."""
    return [primary_row(), *(row(name, "domain", "multus-status") for name in names)]


def plugged(names: Sequence[str]) -> list[Json]:
    """Their records."""
    return [operation(name, phase="Ready", reason="Attached") for name in names]


def slots(raw: Json) -> PciSlots:
    found = parse_vmi(raw)
    return count_slots(found, records=found.status.records_as_written)


def crowded(count: int, *more: Any, operations: Sequence[Json] = (), **members: Any) -> Json:
    """A VMI whose guest has had so many NICs plugged in; `more` are those that it lacks."""
    names = NAMES[:count]
    nics = [primary(), *map(nic, names), *more]
    return vmi(*nics, rows=guest(names), operations=[*plugged(names), *operations], **members)


def test_the_slots_of_a_guest_that_was_just_born() -> None:
    assert slots(vmi(rows=guest([]))).budget == PciBudget(total=4, used=1, reserved=0)


def test_nics_that_are_on_their_way_have_slots_reserved() -> None:
    budget = slots(crowded(1, nic("blue"), nic("green"))).budget
    assert budget == PciBudget(total=4, used=2, reserved=2)
    assert budget.to_row() == {"total": 4, "used": 2, "reserved": 2, "free": 0}


def test_what_the_guest_was_born_with_is_not_what_was_plugged_later() -> None:
    assert slots(vmi(primary(), nic("red"), rows=guest(["red"]))).budget == PciBudget(total=5, used=2, reserved=0)
    assert slots(crowded(1)).budget == PciBudget(total=4, used=2, reserved=0)


def test_what_was_counted_once_holds() -> None:
    """Of a guest that has lost a NIC that it was born with, nobody could count the slots any more."""
    raw = vmi(rows=guest([]))
    raw["status"]["pciBudget"] = {"total": 6, "used": 3, "reserved": 0, "free": 3}
    assert slots(raw).budget == PciBudget(total=6, used=1, reserved=0)


def test_a_node_agent_that_tells_of_the_nics_one_by_one() -> None:
    raw = vmi(primary(), *map(nic, NAMES[:5]), rows=guest(NAMES[:1]))
    first = slots(raw).budget
    assert first is not None
    assert first.total == 5
    raw["status"] |= {"pciBudget": first.to_row(), "interfaces": guest(NAMES[:5])}
    assert slots(raw).budget == PciBudget(total=9, used=6, reserved=0)


def test_a_guest_that_has_more_nics_than_slots_has_more_slots() -> None:
    raw = crowded(6)
    raw["status"]["pciBudget"] = {"total": 4}
    assert slots(raw).budget == PciBudget(total=7, used=7, reserved=0)


@pytest.mark.parametrize("total", [-1, True, "6", None, 4.5], ids=str)
def test_a_forged_count_is_counted_again(total: Any) -> None:
    raw = crowded(1)
    raw["status"]["pciBudget"] = {"total": total}
    assert slots(raw).budget == PciBudget(total=4, used=2, reserved=0)


def test_before_the_node_agent_has_reported_the_guest_nothing_is_counted() -> None:
    assert slots(vmi(primary(), nic("red"))) == PciSlots()


def test_a_guest_without_nics_is_counted() -> None:
    raw = vmi(rows=[])
    del raw["spec"]["domain"]["devices"]["interfaces"]
    assert slots(raw).budget == PciBudget(total=3, used=0, reserved=0)


def test_another_machine_has_no_budget_and_refuses_nothing() -> None:
    raw = crowded(8, nic("iface1"))
    raw["spec"]["architecture"] = "s390x"
    assert slots(raw) == PciSlots()


def test_beyond_what_is_certain_a_nic_is_tried() -> None:
    found = slots(crowded(3, nic("foo")))
    assert found.refused == frozenset()
    assert found.doubt("foo") == "; only 4 PCI slots for NICs are certain, and this NIC needs one more"
    assert found.doubt("red") == ""


def test_beyond_what_is_possible_a_nic_is_refused() -> None:
    found = slots(crowded(7, nic("woo"), nic("iface1")))
    assert found.refused == {"woo", "iface1"}
    assert found.refusal("woo").startswith("the guest has at most 8 PCI slots for NICs, 8 taken (")
    assert found.budget == PciBudget(total=8, used=8, reserved=0)


def test_who_is_on_the_way_keeps_the_last_slot() -> None:
    """Also from one that stands before it in the spec."""
    first = slots(crowded(6, nic("woo"), nic("iface1")))
    assert first.refused == {"iface1"}
    assert first.refusal("iface1").endswith("7 taken (default, red, blue, green, foo, boo, doo) and 1 on its way (woo)")
    later_on = [operation("iface1")]
    assert slots(crowded(6, nic("woo"), nic("iface1"), operations=later_on)).refused == {"woo"}


def test_a_pod_that_has_the_interface_comes_before_all() -> None:
    raw = crowded(6, nic("woo"), nic("iface1"), operations=[operation("woo")])
    raw["status"]["interfaces"].append(row("iface1", "multus-status"))
    assert slots(raw).refused == {"woo"}


def test_a_nic_without_an_attachment_definition_takes_nobody_s_slot() -> None:
    refused = operation("iface1", path="Restart", phase="Blocked", reason="NoPciSlot")
    raw = crowded(6, nic("woo"), nic("iface1"), operations=[refused])
    definitions = [nad(f"{name}-net") for name in NAMES if name != "woo"]
    status, asked = patches(raw, pod(attached=NAMES[:6]), nads=definitions)
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"]}
    assert reported["woo"] == "NetworkAttachmentDefinitionMissing"
    assert asked is not None
    assert '"iface1-net"' in asked.wanted


def test_more_nics_without_an_attachment_definition_than_slots_are_reported_once() -> None:
    """Their order followed what they were told, and what they were told followed their order: for ever."""
    raw = crowded(2, *(nic(name) for name in ("a", "b", "c", "d", "e", "f", "g", "h")))
    launcher, definitions = pod(attached=NAMES[:2]), [nad(f"{name}-net") for name in NAMES[:2]]
    status, _ = patches(raw, launcher, nads=definitions)
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"] if item["name"] not in NAMES}
    assert set(reported.values()) == {"NetworkAttachmentDefinitionMissing"}
    raw["status"] |= status
    again, _ = patches(raw, launcher, nads=definitions)
    assert "interfaceOperations" not in again


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.lists(st.booleans(), min_size=9, max_size=9))
def test_who_is_blocked_and_who_has_no_slot_does_not_alternate(exists: list[bool], was_refused: list[bool]) -> None:
    names = [f"nic{number}" for number in range(len(exists))]
    reasons = ("NetworkAttachmentDefinitionMissing", "NoPciSlot")
    records = [
        operation(name, path="None", phase="Blocked", reason=reasons[was])
        for name, was in zip(names, was_refused, strict=False)
    ]
    raw = vmi(primary(), *map(nic, names), rows=[primary_row()], operations=records)
    definitions = [nad(f"{name}-net") for name, there in zip(names, exists, strict=True) if there]
    for _ in range(2):
        raw["status"] |= patches(raw, pod(), nads=definitions)[0]
    assert "interfaceOperations" not in patches(raw, pod(), nads=definitions)[0]


def test_who_needs_no_slot_is_not_counted() -> None:
    old = nic("woo")
    old[0]["model"] = "e1000"
    assert slots(crowded(7, old, nic("iface1", binding="masquerade"), absent("x"))).refused == frozenset()


WHERE = st.sampled_from(["guest", "pod", "asked", "blocked", "new"])


@given(st.lists(WHERE, max_size=12), st.none() | st.integers(0, 12))
def test_slots_are_given_out_once_and_stay_with_whom_they_were_given_to(where: list[str], total: int | None) -> None:
    names = [f"nic{number}" for number in range(len(where))]
    raw = vmi(primary(), *map(nic, names), rows=[primary_row()])
    for name, place in zip(names, where, strict=True):
        if place in ("guest", "pod"):
            raw["status"]["interfaces"].append(row(name, *(["domain"] if place == "guest" else []), "multus-status"))
        if place == "blocked":
            raw["status"].setdefault("interfaceOperations", []).append(operation(name, phase="Blocked", reason="x"))
        elif place in ("pod", "asked"):
            raw["status"].setdefault("interfaceOperations", []).append(operation(name))
    raw["status"] |= {"pciBudget": {"total": total}} if total is not None else {}
    found = slots(raw)
    assert found.budget is not None
    lacking = [name for name, place in zip(names, where, strict=True) if place != "guest"]
    assert found.refused | found.unsure <= set(lacking)
    assert found.budget.used == 1 + len(where) - len(lacking)
    assert found.budget.used + found.budget.reserved <= max(found.most, found.budget.used)
    assert found.budget.reserved == len(lacking) - len(found.refused)
    assert found.budget.total >= found.budget.used
    reported = [
        operation(name, phase="Blocked", reason="NoPciSlot") if name in found.refused else operation(name)
        for name in lacking
    ]
    raw["status"] |= {"pciBudget": found.budget.to_row(), "interfaceOperations": reported}
    assert slots(raw).refused == found.refused


# What comes of it.


def patches(raw: Json, *pods: Json, **members: Any) -> tuple[Json, PatchNetworksAnnotation | None]:
    """What is written to the status, and what the pod is asked for."""
    view = replace(vmi_view(raw, *pods, **members), report_pending_since=later(-5))
    plan = plan_vmi(view, now=NOW)
    status: Json = next((thaw(item.wanted) for item in plan.actions if isinstance(item, PatchStatus)), {})
    asked = next((item for item in plan.actions if isinstance(item, PatchNetworksAnnotation)), None)
    return status, asked


def test_the_pod_is_not_asked_for_a_nic_without_a_slot_and_the_record_says_why() -> None:
    status, asked = patches(crowded(7, nic("woo")), pod(attached=NAMES[:7]))
    record = next(item for item in status["interfaceOperations"] if item["name"] == "woo")
    assert (record["path"], record["phase"], record["reason"]) == ("Restart", "Blocked", "NoPciSlot")
    assert record["message"].endswith("goo), and only a restart brings more")
    assert record["remedy"] == "Unplug a NIC, or restart the VM"
    assert asked is None or '"woo-net"' not in asked.wanted
    assert status["pciBudget"] == {"total": 8, "used": 8, "reserved": 0, "free": 0}


def test_a_nic_that_leaves_gives_its_slot_to_the_one_that_waits() -> None:
    refused = operation("woo", path="Restart", phase="Blocked", reason="NoPciSlot")
    raw = crowded(6, absent("goo"), nic("woo"), operations=[refused])
    held = {"total": 8, "used": 8, "reserved": 0, "free": 0}
    raw["status"] |= {"pciBudget": held, "interfaces": [*guest(NAMES[:6]), row("goo", "domain", "multus-status")]}
    _, asked = patches(raw, pod(attached=NAMES[:7]))
    assert asked is None or '"woo-net"' not in asked.wanted
    raw["status"]["interfaces"] = [*guest(NAMES[:6]), row("goo", "multus-status")]
    _, asked = patches(raw, pod(attached=NAMES[:7]))
    assert asked is not None
    assert '"woo-net"' in asked.wanted


def test_the_pod_has_it_and_the_guest_may_have_no_slot_for_it() -> None:
    raw = crowded(3, nic("foo"), operations=[operation("foo")])
    raw["status"]["interfaces"].append(row("foo", "multus-status"))
    status, _ = patches(raw, pod(attached=NAMES[:4]))
    record = next(item for item in status["interfaceOperations"] if item["name"] == "foo")
    assert (record["phase"], record["reason"]) == ("InPod", "WaitingForGuest")
    assert record["message"].endswith("; only 4 PCI slots for NICs are certain, and this NIC needs one more")


def test_a_target_pod_brought_it_and_the_guest_has_no_slot() -> None:
    raw = crowded(7, nic("woo"), operations=[operation("woo")])
    raw["status"]["interfaces"].append(row("woo", "multus-status"))
    status, _ = patches(raw, pod(attached=NAMES[:8]))
    record = next(item for item in status["interfaceOperations"] if item["name"] == "woo")
    assert (record["path"], record["phase"], record["reason"]) == ("Restart", "Blocked", "NoPciSlot")


def test_while_the_vm_moves_the_guest_still_has_no_slot_for_it() -> None:
    """It is not said to be served right after the migration: that brings no slot."""
    refused = operation("woo", path="Restart", phase="Blocked", reason="NoPciSlot")
    raw = crowded(7, nic("woo"), operations=[refused], moving=migration_state())
    target = target_pod(networks=[element(name) for name in NAMES[:7]])
    moving = replace(vmi_view(raw, pod(attached=NAMES[:7]), target), migrations=(a_migration(migration("Running")),))
    plan = plan_vmi(replace(moving, report_pending_since=later(-5)), now=NOW)
    status: Json = next((thaw(item.wanted) for item in plan.actions if isinstance(item, PatchStatus)), {})
    records = {item["name"]: item for item in status.get("interfaceOperations", [])}
    assert records["woo"]["reason"] == "NoPciSlot"


def test_a_number_alone_is_not_worth_a_write() -> None:
    raw = vmi(rows=guest([]))
    status, _ = patches(raw, pod())
    assert status["pciBudget"] == {"total": 4, "used": 1, "reserved": 0, "free": 3}
    raw["status"] |= status
    assert patches(raw, pod()) == ({}, None)
    raw["status"]["pciBudget"] = {"total": 4, "used": 2, "reserved": 0, "free": 2}
    assert patches(raw, pod()) == ({}, None)


def test_nics_that_can_never_attach_hold_no_slot_of_a_good_one() -> None:
    """Six NICs whose names are not valid, and then a good one, which said NoPciSlot."""
    bad = [nic(f"b.{number}") for number in range(1, 7)]
    raw = crowded(2, *bad, nic("good", attachment="iface1-net"))
    status, asked = patches(raw, pod(attached=NAMES[:2]))
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"] if item["name"] not in NAMES}
    assert reported.pop("good") == "WaitingForPodInterface"
    assert set(reported.values()) == {"InvalidName"}
    assert asked is not None
    assert '"iface1-net"' in asked.wanted
    assert status["pciBudget"] == {"total": 4, "used": 3, "reserved": 1, "free": 0}


@pytest.mark.parametrize(
    "bad",
    [
        nic("bad", mac="03:00:00:00:00:01"),
        nic("bad", attachment="Not A Name"),
        nic("bad", attachment=""),
    ],
    ids=["multicast MAC", "no reference", "nothing"],
)
def test_a_nic_that_no_pod_is_asked_for_takes_nobody_s_slot(bad: Nic) -> None:
    raw = crowded(5, nic("goo"), bad, nic("woo"))
    assert slots(raw).refused == frozenset()
    status, asked = patches(raw, pod(attached=NAMES[:5]))
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"]}
    assert reported["woo"] == "WaitingForPodInterface"
    assert reported["bad"] not in ("NoPciSlot", "WaitingForPodInterface")
    assert asked is not None
    assert '"woo-net"' in asked.wanted


def test_an_sriov_nic_that_only_a_restart_brings_takes_nobody_s_slot() -> None:
    raw = crowded(6, nic("iface1", binding="sriov"), nic("woo"))
    status, asked = patches(raw, pod(attached=NAMES[:6]))
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"]}
    assert (reported["iface1"], reported["woo"]) == ("NotLiveMigratable", "WaitingForPodInterface")
    assert asked is not None
    movable = crowded(6, nic("iface1", binding="sriov"), nic("woo"), conditions=[LIVE_MIGRATABLE])
    status, _ = patches(movable, pod(attached=NAMES[:6]))
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"]}
    assert reported["woo"] == "NoPciSlot"


def test_a_nic_whose_pod_interface_name_is_taken_takes_nobody_s_slot() -> None:
    raw = crowded(6, nic("iface1"), nic("woo"))
    names = [*NAMES[:6], "iface1"]
    launcher = pod(
        networks=[element(name) for name in NAMES[:6]],
        status_text=network_status(*(POD_INTERFACES[name] for name in names)).replace("iface1-net", "another"),
    )
    status, asked = patches(raw, launcher)
    reported = {item["name"]: item["reason"] for item in status["interfaceOperations"]}
    assert reported["iface1"] == "PodInterfaceNameTaken"
    assert reported["woo"] == "WaitingForPodInterface"
    assert asked is not None
    assert '"woo-net"' in asked.wanted


def test_no_slot_names_the_nics_that_have_them() -> None:
    found = slots(crowded(6, nic("woo"), nic("iface1")))
    assert found.refusal("iface1") == (
        "the guest has at most 8 PCI slots for NICs, 7 taken (default, red, blue, green, foo, boo, doo) and 1 on its "
        "way (woo)"
    )
    assert (
        slots(crowded(8, nic("iface1")))
        .refusal("iface1")
        .endswith("9 taken (" + ", ".join(["default", *NAMES[:7]]) + " and 1 more)")
    )
