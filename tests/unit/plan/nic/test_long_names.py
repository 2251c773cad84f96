"""A name in a sentence for people that is cut says so: half a name is another name."""

from collections.abc import Callable

import pytest
from tests.build import (
    NOW,
    Json,
    Nic,
    a_config,
    a_vmi,
    known_attachments,
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
from tests.unit.plan.outcome import status_of

from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import parse_interface, parse_network
from nicplug.model.requests import AddInterface, RemoveInterface
from nicplug.plan.nic.requested import object_to, object_to_mac, object_to_slots
from nicplug.plan.nic.spec_checks import refuse
from nicplug.plan.vmi.new_pod_networks import refuse_networks, refuse_unregistered_plugin
from nicplug.plan.vmi.plan_vmi import plan_vmi

LONG = "n" * 120
MAC = "02:00:00:00:00:01"
OWN_ONLY = AttachmentAccess(shared=frozenset(), rule="nadPolicy SameNamespace (the default)")


def records(raw: Json) -> str:
    """What the records of this VMI say, whose pod has the interfaces of two NICs."""
    plan = plan_vmi(vmi_view(raw, pod(attached=["blue", "pod1"]), report_pending_since=later(-9)), now=NOW)
    return "\n".join(item["message"] for item in status_of(plan)["interfaceOperations"])


def refusal(found: Nic, **members: object) -> str:
    """What is said against a NIC of a spec."""
    interface, network = found
    reported = refuse(parse_interface({**interface, **members}), parse_network(network))
    assert reported is not None
    return reported.message


def plugin(name: str) -> Nic:
    interface, network = nic("blue", binding="binding")
    return {**interface, "binding": {"name": name}}, network


def without_interface() -> Json:
    raw = vmi(primary(), rows=[primary_row()])
    raw["spec"]["networks"].append(nic(LONG)[1])
    return raw


def deleted() -> Json:
    rows = [primary_row(), row(LONG, "domain", "multus-status", pod_interface="pod1")]
    return vmi(primary(), rows=rows, operations=[operation(LONG, type_="Unplug", phase="InGuest")])


def twins() -> Json:
    rows = [primary_row(), row("blue", "domain"), row(LONG, "domain", pod_interface="pod1")]
    return vmi(primary(), nic(LONG, mac=MAC), nic("blue", mac=MAC), rows=rows)


def without_slot() -> str:
    nics = [nic(LONG), *(nic(f"n{number}") for number in range(6))]
    names = [item["name"] for item, _ in nics]
    rows = [primary_row(), *(row(name, "domain", "multus-status") for name in names)]
    found = vmi(primary(), *nics, rows=rows, operations=[operation(name, phase="Ready") for name in names])
    reported = object_to_slots(
        AddInterface(name="blue", network="lan"), vm=None, vmi=a_vmi(found), known=known_attachments(None)
    )
    assert reported is not None
    return reported.message


def unplug() -> str:
    found = vmi(primary(), nic(LONG, binding="sriov"), rows=[primary_row(), row(LONG, "domain")])
    reported = object_to(RemoveInterface(name=LONG), vm=None, vmi=a_vmi(found))
    assert reported is not None
    return reported.message


def other_network() -> str:
    found = vmi(primary(), nic("blue", attachment="n" * 300))
    reported = object_to(AddInterface(name="blue", network="lan"), vm=None, vmi=a_vmi(found))
    assert reported is not None
    return reported.message


def taken_mac() -> str:
    found = vmi(primary(), nic(LONG, mac=MAC))
    reported = object_to_mac(MAC, AddInterface(name="blue", network="lan"), vm=None, vmi=a_vmi(found))
    assert reported is not None
    return reported.message


def no_plugin() -> str:
    reported = refuse_unregistered_plugin(vmi=a_vmi(vmi(plugin(LONG), phase="")), config=a_config(kubevirt()))
    assert reported is not None
    return reported.message


def not_allowed() -> str:
    raw = vmi(primary(), nic(LONG, attachment="ops/lan"), phase="")
    reported = refuse_networks(vmi=a_vmi(raw), known=known_attachments([], access=OWN_ONLY))
    assert reported is not None
    return reported.message


TOLD: dict[str, tuple[Callable[[], str], int]] = {
    "two of a name": (lambda: records(vmi(primary(), nic(LONG), nic(LONG, attachment="other"))), 80),
    "a network without an interface": (lambda: records(without_interface()), 80),
    "deleted under the guest": (lambda: records(deleted()), 80),
    "the MAC address of another": (lambda: records(twins()), 80),
    "a plugin that cannot follow": (lambda: records(vmi(primary(), plugin(LONG))), 80),
    "a bad name": (lambda: refusal(nic("n" * 200)), 80),
    "a network of no kind": (lambda: refusal((nic(LONG)[0], {"name": LONG})), 80),
    "a bad reference": (lambda: refusal(nic("blue", attachment="n" * 300)), 120),
    "a bad number": (lambda: refusal(nic("blue"), acpiIndex=["n" * 100]), 38),
    "no slot": (without_slot, 63),
    "a NIC that stays": (unplug, 80),
    "a name on another network": (other_network, 192),
    "a MAC address that is asked for": (taken_mac, 80),
    "no such plugin": (no_plugin, 80),
    "a network that may not be used": (not_allowed, 80),
}


@pytest.mark.parametrize(("reported", "length"), TOLD.values(), ids=TOLD.keys())
def test_a_long_name_was_cut_off_without_a_mark(reported: Callable[[], str], length: int) -> None:
    text = reported()
    assert "n" * length + "..." in text
    assert "n" * (length + 1) not in text
