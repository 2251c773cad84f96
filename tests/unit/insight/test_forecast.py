"""What a changed manifest does to NICs that it leaves out."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from tests.build import NOW, VM_UID, absent, kubevirt, nic, primary, revision, row, vm, vmi

from nicplug.cache.caches import CachedKind, Caches
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import Outcome, VmForecast, forecast

Json = dict[str, Any]
NICS = (primary(), nic("red"))
TEMPLATE = vm(*NICS)
FROM_TEMPLATE = {"nicplug.io/template-interfaces": '["default","red"]'}


def evidence(*, running: Json | None, policy: str = "Explicit") -> Evidence:
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"removalPolicy": policy}))
    found = Evidence(
        target=Target(namespace="default", name="vmi-fedora"), caches=caches, clock=lambda: NOW, asked=None
    )
    found.put(CachedKind.VM, TEMPLATE)
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


def interface_with(raw: Json, **members: Any) -> Json:
    """The VM or VMI with members of the NIC red set, and without those that are None."""
    changed = copy.deepcopy(raw)
    spec = changed["spec"].get("template", changed)["spec"]
    [red] = [item for item in spec["domain"]["devices"]["interfaces"] if item["name"] == "red"]
    red |= members
    for name in [name for name, value in members.items() if value is None]:
        del red[name]
    return changed


def started(template: Json = TEMPLATE, running: Json | None = None) -> Evidence:
    """A VM that runs, with the revision that it was started from."""
    found = evidence(running=with_start(running or guest()))
    found.caches.observe(CachedKind.REVISION, revision(template))
    return found


def with_start(running: Json) -> Json:
    name = revision(TEMPLATE)["metadata"]["name"]
    return {**running, "status": {**running["status"], "virtualMachineRevisionName": name}}


def waiting(told: VmForecast) -> list[tuple[str, str, Outcome, str, bool]]:
    return [(nic.name, nic.operation, nic.outcome, nic.reason, nic.is_affected) for nic in told.nics]


@pytest.mark.parametrize(
    ("members", "fields"),
    [
        ({"model": "e1000"}, 'interface "red" model'),
        ({"bridge": None, "masquerade": {}}, 'interface "red" bridge, interface "red" masquerade'),
        ({"bootOrder": 1}, 'interface "red" bootOrder'),
        ({"macAddress": "02:00:00:00:00:01"}, 'interface "red" macAddress'),
    ],
    ids=["model", "binding", "boot order", "MAC address"],
)
def test_a_changed_nic_that_needs_a_restart_was_not_foreseen(members: Json, fields: str) -> None:
    told = forecast(started(), changed=interface_with(TEMPLATE, **members), now=NOW)
    assert waiting(told) == [("red", "Change", Outcome.NEEDS_RESTART, "RestartRequired", True)]
    [red] = told.nics
    assert red.message == (
        f"changed in the template ({fields}); the running guest stays as it is until the next restart"
    )
    assert (red.network, red.binding, red.path) == ("default/red-net", "bridge", "Restart")
    assert (told.arrives, told.restart_fields) == (False, ())


def test_what_waited_before_is_not_the_changes_doing() -> None:
    """The template has another model already."""
    changed, found = interface_with(TEMPLATE, model="e1000"), started()
    found.put(CachedKind.VM, changed)
    told = forecast(found, changed=changed, now=NOW)
    assert waiting(told) == [("red", "Change", Outcome.NEEDS_RESTART, "RestartRequired", False)]
    assert told.arrives
    assert not forecast(found, changed=interface_with(changed, bootOrder=1), now=NOW).arrives


def test_a_nic_whose_own_record_needs_a_restart_is_told_once() -> None:
    told = forecast(started(), changed=vm(primary()), now=NOW)
    assert waiting(told) == [("red", "Unplug", Outcome.NEEDS_RESTART, "RestartRequired", True)]


def test_a_nic_that_left_the_template_before_is_still_an_unplug() -> None:
    found = started()
    found.put(CachedKind.VM, vm(primary()))
    told = forecast(found, changed=None, now=NOW)
    assert waiting(told) == [("red", "Unplug", Outcome.NEEDS_RESTART, "RestartRequired", True)]


def test_what_waits_for_a_restart_hides_nothing_that_happens_at_once() -> None:
    told = forecast(started(), changed=interface_with(TEMPLATE, model="e1000"), now=NOW)
    [red] = told.nics
    first = replace(red, operation="SetLink", outcome=Outcome.IN_PLACE)
    assert replace(told, nics=(first, red)).by_name == {"red": first}


def test_fields_beside_nics_are_told_and_keep_no_nic() -> None:
    changed = copy.deepcopy(TEMPLATE)
    changed["spec"]["template"]["spec"]["domain"]["memory"] = {"guest": "8Gi"}
    told = forecast(started(), changed=changed, now=NOW)
    assert (told.nics, told.arrives) == ((), True)
    [field] = told.restart_fields
    assert "memory" in field


def test_a_pod_network_that_the_template_gains_needs_a_restart() -> None:
    template, running = vm(nic("red")), vmi(nic("red"), rows=[row("red", "domain")], owner_uid=VM_UID)
    found = started(template, running)
    found.put(CachedKind.VM, template)
    told = forecast(found, changed=vm(primary(), nic("red")), now=NOW)
    assert waiting(told) == [("default", "Plug", Outcome.NEEDS_RESTART, "BindingNeedsRestart", True)]
    assert told.restart_fields == ()


@pytest.mark.parametrize("changed", [None, True], ids=["no change", "a change beside it"])
def test_a_request_that_waits_was_said_to_have_left_the_template(changed: bool | None) -> None:
    """Of what the VM controller does with it, only the half that concerns the VMI was foreseen."""
    found, options = started(), {"name": "blue", "networkAttachmentDefinitionName": "lan"}
    asking = copy.deepcopy(TEMPLATE) | {"status": {"interfaceRequests": [{"addInterfaceOptions": options}]}}
    found.put(CachedKind.VM, asking)
    told = forecast(found, changed=interface_with(asking, model="e1000") if changed else None, now=NOW)
    blue = next(nic for nic in told.nics if nic.name == "blue")
    assert (blue.operation, blue.outcome) != ("Unplug", Outcome.NEEDS_RESTART)
    assert "deleted from the VM's template" not in blue.message
    assert [nic.name for nic in told.nics] == (["blue", "red"] if changed else ["blue"])


def test_without_the_revision_nothing_is_said_of_a_restart() -> None:
    told = forecast(evidence(running=guest()), changed=interface_with(TEMPLATE, model="e1000"), now=NOW)
    assert (told.nics, told.restart_fields) == ((), ())
