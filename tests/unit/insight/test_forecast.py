"""What a changed manifest does to NICs that it leaves out."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from tests.build import NOW, VM_UID, absent, element, kubevirt, nic, operation, pod, primary, revision, row, vm, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence, Target
from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import Outcome, VmForecast

Json = dict[str, Any]
NICS = (primary(), nic("red"))
TEMPLATE = vm(*NICS)
FROM_TEMPLATE = {"nicplug.io/template-interfaces": '["default","red"]'}


def evidence(*, running: Json | None, policy: str = "Explicit", template: Json | None = TEMPLATE) -> Evidence:
    caches = Caches(clock=lambda: NOW)
    caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug={"removalPolicy": policy}))
    found = Evidence(
        target=Target(namespace="default", name="vmi-fedora"), caches=caches, clock=lambda: NOW, asked=None
    )
    if template is not None:
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


BLOCKED = operation("red", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing")


def never_attached(*records: Json, **members: Any) -> Json:
    """The instance has the NIC red in its spec, and the guest has not."""
    running = vmi(*NICS, rows=[row("default", "domain")], owner_uid=VM_UID, annotations=dict(FROM_TEMPLATE), **members)
    running["status"]["interfaceOperations"] = list(records)
    return running


@pytest.mark.parametrize("changed", [vm(primary()), vm(primary(), absent("red"))], ids=["deleted", "absent"])
@pytest.mark.parametrize(
    ("running", "left"),
    [
        (never_attached(BLOCKED), "template and the instance"),
        (never_attached(), "template and the instance"),
        (vmi(primary(), rows=[row("default", "domain")], owner_uid=VM_UID), "template"),
    ],
    ids=["blocked", "no record yet", "in the template alone"],
)
def test_a_nic_that_never_attached_was_said_to_stay_where_it_is(running: Json, left: str, changed: Json) -> None:
    told = forecast(evidence(running=running), changed=changed, now=NOW)
    [red] = told.nics
    assert (red.name, red.operation, red.outcome, red.reason) == ("red", "Unplug", Outcome.WITHDRAWN, "NeverAttached")
    assert red.message == f"leaves the {left}; the running guest never had it and is not touched"
    assert (red.network, red.binding, red.is_affected, told.arrives) == ("default/red-net", "bridge", True, True)


def test_a_nic_of_an_instance_without_a_vm_that_never_attached_leaves_it() -> None:
    bare = vmi(*NICS, rows=[row("default", "domain")])
    changed = vmi(primary(), absent("red"), rows=[row("default", "domain")])
    [red] = forecast(evidence(running=bare, template=None), changed=changed, now=NOW).nics
    assert (red.outcome, red.message) == (
        Outcome.WITHDRAWN,
        "leaves the instance; the running guest never had it and is not touched",
    )


@pytest.mark.parametrize(
    ("running", "message"),
    [
        (None, "removed from the template; the VM starts without it"),
        (
            never_attached(phase="Scheduling"),
            "removed from the template and the instance; the guest starts without it",
        ),
    ],
    ids=["stopped", "starting"],
)
def test_a_guest_that_does_not_run_starts_without_what_the_template_marks_as_absent(
    running: Json | None, message: str
) -> None:
    told = forecast(evidence(running=running), changed=vm(primary(), absent("red")), now=NOW)
    [red] = told.nics
    assert (red.outcome, red.message) == (Outcome.AT_START, message)


@pytest.mark.parametrize("changed", [vm(primary()), vm(primary(), absent("red"))], ids=["deleted", "absent"])
def test_a_nic_that_the_pod_has_got_is_unplugged_though_nothing_is_reported_yet(changed: Json) -> None:
    found = evidence(running=never_attached(operation("red", phase="AttachingToPod", reason="WaitingForPodInterface")))
    found.caches.observe(CachedKind.POD, pod(networks=[element("red")], attached=["red"]))
    [red] = forecast(found, changed=changed, now=NOW).nics
    assert (red.outcome, red.reason) == (Outcome.IN_PLACE, "WaitingForPodRelease")


def test_a_nic_that_cannot_leave_a_running_guest_is_told_once() -> None:
    nics = (primary(), nic("red", binding="macvtap"))
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    running = vmi(*nics, rows=rows, owner_uid=VM_UID, annotations=dict(FROM_TEMPLATE))
    found = evidence(running=running, template=vm(*nics))
    told = forecast(found, changed=vm(primary(), absent("red", binding="macvtap")), now=NOW)
    assert [(nic.name, nic.outcome, nic.reason) for nic in told.nics] == [
        ("red", Outcome.NEEDS_RESTART, "UnplugNeedsRestart")
    ]


def test_a_guest_that_is_being_stopped_is_not_said_never_to_have_had_its_nic() -> None:
    """Nothing is decided about it any more, so that no record says that it leaves."""
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    changed = vmi(primary(), absent("red"), rows=rows, deleting=True)
    told = forecast(evidence(running=vmi(*NICS, rows=rows, deleting=True), template=None), changed=changed, now=NOW)
    assert told.nics == ()


@pytest.mark.parametrize("is_changed", [True, False], ids=["a change beside it", "no change"])
def test_a_removal_that_is_requested_already_is_not_the_changes_doing(is_changed: bool) -> None:
    request = {"interfaceRequests": [{"removeInterfaceOptions": {"name": "red"}}]}
    asking = copy.deepcopy(TEMPLATE) | {"status": request}
    changed = copy.deepcopy(asking)
    changed["spec"]["template"]["spec"]["domain"]["memory"] = {"guest": "8Gi"}
    found = evidence(running=never_attached(BLOCKED), template=asking)
    [red] = forecast(found, changed=changed if is_changed else None, now=NOW).nics
    assert (red.outcome, red.is_affected) == (Outcome.WITHDRAWN, not is_changed)


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
        ({"bridge": None, "sriov": {}}, 'interface "red" bridge, interface "red" sriov'),
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
    assert [nic.name for nic in told.nics] == (["red", "blue"] if changed else ["blue"])


def test_without_the_revision_nothing_is_said_of_a_restart() -> None:
    told = forecast(evidence(running=guest()), changed=interface_with(TEMPLATE, model="e1000"), now=NOW)
    assert (told.nics, told.restart_fields) == ((), ())
