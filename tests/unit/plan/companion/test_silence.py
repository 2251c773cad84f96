"""Whether virt-controller acts on what a VM asks for."""

from datetime import timedelta
from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    absent,
    element,
    later,
    migration,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
    vmi_view,
)

from nicplug.plan.companion.silence import PATIENCE, Silence, find_silence

BLUE = nic("blue")


def find(*nics: Nic, rows: tuple[Json, ...] = (), asked: tuple[str, ...] = (), **members: Any) -> Silence:
    """What virt-controller has not acted on, of a VMI with these NICs whose pod is asked for some."""
    records = members.pop("records", ())
    raw = vmi(primary(), *nics, rows=[primary_row(), *rows], operations=records, owner_uid=VM_UID)
    launcher = members.pop("launcher", pod(networks=list(map(element, asked))))
    facts = {"vm": vm(primary(), *nics), "spec_seen_at": later(-60), **members}
    view = vmi_view(raw, launcher, **facts)
    return find_silence(view, records=view.vmi.status.records(now=NOW))


def test_a_nic_that_the_pod_is_not_asked_for() -> None:
    found = find(BLUE)
    assert (set(found.nics), found.since) == ({"blue"}, later(-60))
    assert found.lasts(NOW)
    assert found.again_at(NOW) is None


def test_a_nic_that_the_pod_is_not_asked_to_detach() -> None:
    found = find(absent("blue"), rows=(row("blue", "multus-status"),), asked=("blue",))
    assert (set(found.nics), found.since) == ({"blue"}, later(-60))


@pytest.mark.parametrize(
    ("nics", "members"),
    [
        ((), {}),
        ((BLUE,), {"asked": ("blue",)}),
        ((BLUE,), {"rows": (row("blue", "domain"),)}),
        ((absent("blue"),), {}),
        ((nic("blue", binding="sriov"),), {}),
        ((nic("blue", binding="masquerade"),), {}),
        ((BLUE,), {"launcher": pod(ready=False)}),
    ],
    ids=["nothing", "asked", "it has a row", "to go", "SR-IOV", "no binding that is plugged", "the pod is not ready"],
)
def test_what_it_need_not_act_on(nics: tuple[Nic, ...], members: Json) -> None:
    assert find(*nics, **members) == Silence()


def test_a_nic_of_the_template_alone() -> None:
    waits = operation("blue", reason="WaitingForLauncherPod", since=later(-30))
    found = find(vm=vm(primary(), BLUE), records=(waits,))
    assert (set(found.nics), found.since) == ({"blue"}, later(-30))
    blocked = operation("blue", phase="Blocked", reason="BindingNeedsRestart", since=later(-30))
    assert find(vm=vm(primary(), BLUE), records=(blocked,)) == Silence(), "something else keeps it from the VMI"


def test_a_migration_that_it_has_not_accepted() -> None:
    stamp = later(-20).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = find(migrations=[migration("", creationTimestamp=stamp)])
    assert set(found.migrations) == {"migration-job"}
    assert found.lasts(NOW)
    assert find(migrations=[migration("Pending", creationTimestamp=stamp)]) == Silence()


def test_it_has_a_moment() -> None:
    found = find(BLUE, spec_seen_at=later(-1))
    assert not found.lasts(NOW)
    assert found.again_at(NOW) == later(-1) + PATIENCE
    assert found.lasts(NOW + timedelta(seconds=4))


def test_only_the_nics_that_it_leaves_alone_are_held_back() -> None:
    """One NIC that it did not copy from the template kept all others of the VM from being migrated."""
    found = Silence(nics={"red": later(-60)})
    assert found.holds_back({"red", "blue"}, now=NOW)
    assert not found.holds_back({"blue"}, now=NOW)
    assert Silence(migrations={"job": later(-60)}).holds_back({"blue"}, now=NOW), "it would not accept another one"
    assert not Silence(nics={"red": later(-1)}).holds_back({"red"}, now=NOW), "it may be about to"
