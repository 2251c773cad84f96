"""How a VM gets its VMI, and the revision that records its template."""

from typing import Any

import pytest
from tests.build import (
    CREATED,
    NOW,
    VM_UID,
    Json,
    a_revision,
    a_vmi,
    kubevirt,
    later,
    nic,
    primary,
    revision,
    vm,
    vm_view,
    vmi,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import (
    Action,
    Create,
    Delete,
    Kind,
    PatchFinalizers,
    PatchStatus,
)
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.vm.plan_vm import plan_vm


def _created(plan: Plan) -> Json:
    (_, action) = plan.actions
    assert isinstance(action, Create)
    assert action.kind is Kind.VMI
    body: Json = thaw(action.body)
    return body


OWN: dict[str, Any] = {"owner_uid": VM_UID}
ORPHAN = ["orphan", "kubevirt.io/virtualMachineControllerFinalize"]


def test_the_vmi_of_a_vm() -> None:
    raw = vm(primary(), nic("blue"), generation=7)
    raw["spec"]["template"]["metadata"] = {"labels": {"app": "fedora"}, "annotations": {"note": "x"}}
    body = _created(plan_vm(vm_view(raw), now=NOW))
    assert body["spec"] == raw["spec"]["template"]["spec"]
    assert body["metadata"] == {
        "name": "vmi-fedora",
        "namespace": "default",
        "labels": {"app": "fedora"},
        "annotations": {
            "note": "x",
            "kubevirt.io/vm-generation": "7",
            "nicplug.io/template-interfaces": '["blue","default"]',
        },
        "finalizers": [
            "kubevirt.io/virtualMachineControllerFinalize",
            "kubevirt.io/foregroundDeleteVirtualMachine",
        ],
        "ownerReferences": [
            {
                "apiVersion": "kubevirt.io/v1",
                "kind": "VirtualMachine",
                "name": "vmi-fedora",
                "uid": VM_UID,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


@pytest.mark.parametrize(
    ("config", "binding"),
    [
        ({}, "bridge"),
        ({"defaultNetworkInterface": "masquerade"}, "masquerade"),
        ({"defaultNetworkInterface": "x"}, "bridge"),
    ],
    ids=["unless configured", "as configured", "as configured wrongly"],
)
def test_a_vm_without_nics_gets_one_on_the_pod_network(config: dict[str, Any], binding: str) -> None:
    body = _created(plan_vm(vm_view(vm(), config=kubevirt("HotplugNICs", **config)), now=NOW))
    assert body["spec"]["networks"] == [{"name": "default", "pod": {}}]
    assert body["spec"]["domain"]["devices"]["interfaces"] == [{"name": "default", binding: {}}]


FORBIDDEN = kubevirt(permitBridgeInterfaceOnPodNetwork=False)
REFUSED_TEMPLATES = [
    (
        [nic("blue", binding="masquerade")],
        None,
        "domain.devices.interfaces[0].name: Masquerade interface only",
    ),
    (
        [primary(), primary("second")],
        None,
        "interfaces: more than one interface is connected to a pod network in spec.template.spec.interfaces",
    ),
    (
        [primary(binding="bridge")],
        FORBIDDEN,
        "domain.devices.interfaces[0].name: Bridge on pod network configuration is not enabled under kubevirt-config",
    ),
    ([], FORBIDDEN, "domain.devices.interfaces: bridge interface is not enabled in kubevirt-config"),
]
REMEDIES = ("Use ", "Remove ", "Add ")


@pytest.mark.parametrize(("nics", "config", "words"), REFUSED_TEMPLATES, ids=lambda value: str(value)[:40])
def test_what_admission_refuses_was_run(nics: list[Any], config: Json | None, words: str) -> None:
    """A template that is older than the rules: its VM says why it does not start, in KubeVirt's words."""
    plan = plan_vm(vm_view(vm(*nics), config=config, report_pending_since=later(-9)), now=NOW)
    (status,) = plan.actions
    assert isinstance(status, PatchStatus)
    conditions = {item["type"]: item for item in status_of(plan)["conditions"]}
    assert (conditions["Failure"]["status"], conditions["Failure"]["reason"]) == ("True", Reason.FAILED_CREATE)
    message = conditions["Failure"]["message"]
    assert message.startswith(f"spec.template.spec.{words}")
    assert message.rpartition(". ")[2].startswith(REMEDIES), "nobody can tell from it what to do"
    # A guest that runs goes on.
    running = plan_vm(vm_view(vm(*nics), vmi=vmi(*nics, **OWN), config=config, report_pending_since=later(-9)), now=NOW)
    assert "Failure" not in {item["type"] for item in status_of(running)["conditions"]}


@pytest.mark.parametrize(
    ("network", "is_attached"), [({"defaultNetworkInterface": "masquerade"}, True), ({}, False)], ids=str
)
def test_a_vm_that_gets_no_bridge_was_refused_where_bridges_are_forbidden(
    network: dict[str, Any], is_attached: bool
) -> None:
    raw = vm()
    raw["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"] = is_attached
    config = kubevirt(permitBridgeInterfaceOnPodNetwork=False, **network)
    body = _created(plan_vm(vm_view(raw, config=config), now=NOW))
    assert bool(body["spec"].get("networks")) is is_attached


def test_a_vm_that_wants_no_nic_gets_none() -> None:
    raw = vm()
    raw["spec"]["template"]["spec"]["domain"]["devices"]["autoattachPodInterface"] = False
    body = _created(plan_vm(vm_view(raw), now=NOW))
    assert "networks" not in body["spec"]


class TestRevision:
    """The VM as it was when it was started, so that later changes can be identified."""

    def test_it_is_made_before_the_vmi_as_kubevirt_makes_it(self) -> None:
        raw = vm(primary(), nic("blue"), generation=7)
        (first, _) = plan_vm(vm_view(raw), now=NOW).actions
        assert isinstance(first, Create)
        assert (first.kind, first.owner_uid) == (Kind.REVISION, VM_UID)
        body = thaw(first.body)
        assert body["metadata"]["name"] == f"revision-start-vm-{VM_UID}-7"
        assert body["metadata"]["labels"] == {"nicplug.io/virtual-machine-uid": VM_UID}
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", VM_UID, True)
        assert (body["data"], body["revision"]) == ({"spec": raw["spec"]}, 7)

    def test_one_of_this_generation_is_used_again(self) -> None:
        raw = vm(generation=7)
        (action,) = plan_vm(vm_view(raw, revisions=[revision(raw)]), now=NOW).actions
        assert isinstance(action, Create)
        assert action.kind is Kind.VMI

    def test_those_of_earlier_starts_go_when_the_vmi_tells_which_one_is_its_own(self) -> None:
        raw = vm(generation=7)
        known = [revision(vm(generation=generation)) for generation in (8, 7, 5, 3)]
        known.append(revision(vm(generation=2), finalizers=["a/b"], deletionTimestamp=CREATED))
        named = vmi(owner_uid=VM_UID)
        named["status"]["virtualMachineRevisionName"] = f"revision-start-vm-{VM_UID}-7"
        deleted = [item for item in plan_vm(vm_view(raw, vmi=named, revisions=known), now=NOW).actions if _ends(item)]
        assert [item.key.name for item in deleted] == [f"revision-start-vm-{VM_UID}-{n}" for n in (3, 5)]

    def test_the_one_of_another_leader_is_kept_that_started_the_vmi_at_the_same_time(self) -> None:
        """Found by the simulation: without it nobody can tell that the VMI has a NIC which the template has not."""
        known = [revision(vm(generation=generation)) for generation in (7, 5)]
        starts = plan_vm(vm_view(vm(generation=7), revisions=known), now=NOW)
        unreported = plan_vm(vm_view(vm(generation=7), vmi=vmi(owner_uid=VM_UID), revisions=known), now=NOW)
        assert [item for item in (*starts.actions, *unreported.actions) if _ends(item)] == []

    def test_they_go_before_their_vm_does(self) -> None:
        """Found by a soak: with a VM of the same name soon after, Kubernetes' garbage collector left one for good."""
        known = [revision(vm(generation=generation)) for generation in (7, 5)]
        known.append(revision(vm(generation=2), finalizers=["a/b"], deletionTimestamp=CREATED))
        *deleted, released = plan_vm(vm_view(vm(deleting=True), revisions=known), now=NOW).actions
        assert [item.key.name for item in deleted if _ends(item)] == [f"revision-start-vm-{VM_UID}-{n}" for n in (5, 7)]
        assert isinstance(released, PatchFinalizers)

    def test_they_stay_where_their_vmi_does(self) -> None:
        """`kubectl delete vm --cascade=orphan`: the VMI still names the one that it was started from."""
        raw = vm(deleting=True, finalizers=ORPHAN)
        (released,) = plan_vm(vm_view(raw, vmi=vmi(**OWN), revisions=[revision(raw)]), now=NOW).actions
        assert isinstance(released, PatchFinalizers)

    def test_what_has_been_orphaned_meanwhile_is_not_deleted(self) -> None:
        """The VM's watch is ahead of the others: its finalizer `orphan` has come and gone."""
        raw = vm(deleting=True)
        (stopped,) = plan_vm(vm_view(raw, vmi=vmi(**OWN)), now=NOW).actions
        deleted, _ = plan_vm(vm_view(raw, revisions=[revision(raw)]), now=NOW).actions
        assert isinstance(stopped, Delete)
        assert isinstance(deleted, Delete)
        assert (stopped.version, deleted.version) == (
            a_vmi(vmi(**OWN)).resource_version,
            a_revision(revision(raw)).resource_version,
        )


def _ends(action: Action) -> bool:
    return isinstance(action, Delete) and action.kind is Kind.REVISION
