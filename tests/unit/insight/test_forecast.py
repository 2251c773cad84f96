"""What a changed manifest does to NICs that it leaves out."""

from typing import Any

import pytest
from tests.build import NOW, VM_UID, absent, kubevirt, nic, primary, row, vm, vmi

from nicplug.cache.caches import CachedKind, Caches
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import Outcome, VmForecast, forecast

Json = dict[str, Any]
NICS = (primary(), nic("red"))
FROM_TEMPLATE = {"nicplug.io/template-interfaces": '["default","red"]'}


def evidence(*, running: Json | None, policy: str = "Explicit") -> Evidence:
    caches = Caches(clock=lambda: NOW)
    template = vm(*NICS)
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"removalPolicy": policy}))
    found = Evidence(
        target=Target(namespace="default", name="vmi-fedora"), caches=caches, clock=lambda: NOW, asked=None
    )
    found.put(CachedKind.VM, template)
    if running is not None:
        found.put(CachedKind.VMI, running)
    return found


def guest() -> Json:
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    return vmi(*NICS, rows=rows, owner_uid=VM_UID, annotations=dict(FROM_TEMPLATE))


def without_red(found: Evidence) -> VmForecast:
    return forecast(found, changed=vm(primary()), now=NOW)


def test_a_manifest_without_a_nic_of_the_template_was_said_to_change_nothing() -> None:
    told = without_red(evidence(running=guest()))
    [red] = told.nics
    assert (red.name, red.operation, red.outcome, red.reason) == (
        "red",
        "Unplug",
        Outcome.NEEDS_RESTART,
        "RestartRequired",
    )
    assert red.message == (
        "removed from the template; it stays in the running guest until the next restart (removal policy Explicit)"
    )
    assert (red.network, red.binding) == ("default/red-net", "bridge")
    assert not told.arrives


def test_policy_declarative_unplugs_what_a_manifest_leaves_out() -> None:
    found = evidence(running=guest(), policy="Declarative")
    [red] = without_red(found).nics
    assert (red.name, red.operation) == ("red", "Unplug")
    assert red.outcome is not Outcome.NEEDS_RESTART


def test_a_stopped_vm_starts_without_a_nic_that_a_manifest_leaves_out() -> None:
    told = without_red(evidence(running=None))
    red = next(item for item in told.nics if item.name == "red")
    assert (red.outcome, red.message) == (Outcome.AT_START, "removed from the template; the VM starts without it")
    assert told.arrives


@pytest.mark.parametrize("changed", [None, vm(*NICS)], ids=["no change", "the same manifest"])
def test_a_nic_that_stays_in_the_template_is_not_removed(changed: Json | None) -> None:
    assert forecast(evidence(running=guest()), changed=changed, now=NOW).nics == ()


def test_a_nic_that_the_instance_alone_has_is_not_removed_by_the_template() -> None:
    running = vmi(*NICS, nic("blue"), rows=[row("default", "domain"), row("red", "domain"), row("blue", "domain")])
    running["metadata"]["ownerReferences"] = guest()["metadata"]["ownerReferences"]
    assert [item.name for item in without_red(evidence(running=running)).nics] == ["red"]


@pytest.mark.parametrize("running", [vmi(primary(), owner_uid=VM_UID), vmi(primary(), absent("red"), owner_uid=VM_UID)])
def test_a_nic_that_the_guest_does_not_keep_is_not_said_to_stay(running: Json) -> None:
    assert not [item for item in without_red(evidence(running=running)).nics if item.reason == "RestartRequired"]
