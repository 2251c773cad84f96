"""How a VM gets its VMI: created, together with the revision that records its template, or adopted."""

from collections.abc import Iterable
from typing import Any

from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.keys import RevisionKey, VmiKey
from nicplug.model.metadata import ControllerReference, mapping
from nicplug.model.names import (
    KUBEVIRT_API_VERSION,
    TEMPLATE_INTERFACES_ANNOTATION,
    VM_FINALIZER,
    VM_GENERATION_ANNOTATION,
    VM_KIND,
    VM_UID_LABEL,
    VMI_FINALIZER,
    VMI_KIND,
)
from nicplug.model.networks import Binding
from nicplug.model.nic_annotations import render_origin
from nicplug.model.operations import with_remedy
from nicplug.model.revision import VmRevision, revision_name
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, AdoptVmi, Create, Delete, Kind, check_unchanged, patch_finalizers
from nicplug.plan.nic.default_nic import gets_default_nic, with_default_nic
from nicplug.plan.nic.spec_checks import refuse_whole
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmView

# Source: KubeVirt 1.9 `vm.go` (`startVMI`, `SetupVMIFromVM`, `createVMRevision`).

_DEFAULT_NETWORK_REMEDY = (
    "Add an interface and a network to the template, or set autoattachPodInterface: false; or ask the cluster admin "
    "for another defaultNetworkInterface in the KubeVirt CR"
)


def start_vmi(view: VmView, *, paused: bool) -> list[Action]:
    """Create the revision, unless it exists; then the VMI.

    The revision comes first: a VMI of unknown origin could not be compared with its VM.
    """
    name = revision_name(vm_uid=view.vm.uid, generation=view.vm.generation)
    has_revision = any(item.key.name == name for item in view.revisions)
    actions: list[Action] = [] if has_revision else [_create_revision(view.vm, name)]
    return [*actions, _create_vmi(view, paused=paused)]


def delete_earlier_revisions(view: VmView, vmi: VirtualMachineInstance | None) -> list[Delete]:
    """Delete the revisions of earlier starts, once the status of the VMI names the one that it was started from.

    Not together with the start: another leader may have started the VMI at the same time, from an earlier revision.
    Later ones stay: they may belong to a VMI that is not in the cache yet.
    """
    named = vmi.status.start_revision if vmi is not None else ""
    current = next((item for item in view.revisions if item.key.name == named), None)
    if current is None or len(view.revisions) == 1:
        return []
    return _delete(item for item in view.revisions if item.vm_generation < current.vm_generation)


def delete_revisions(view: VmView) -> list[Delete]:
    """Delete all revisions of a VM that is ending, unless one has been orphaned since.

    Kubernetes' garbage collector does that too, unless a VM of the same name is created while its watch is broken: it
    then takes the new VM for an update of the old one, whose dependents stay.
    """
    return _delete(view.revisions, as_seen=True)


def _delete(revisions: Iterable[VmRevision], *, as_seen: bool = False) -> list[Delete]:
    known = sorted((item for item in revisions if not item.deleting), key=lambda item: item.key)
    return [
        Delete(kind=Kind.REVISION, key=item.key, uid=item.uid, version=item.resource_version if as_seen else None)
        for item in known
    ]


def _create_revision(vm: VirtualMachine, name: str) -> Create:
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": vm.key.namespace,
            "labels": {VM_UID_LABEL: vm.uid},
            "ownerReferences": [controller(vm).to_row()],
        },
        "data": {"spec": vm.read_spec()},
        "revision": vm.generation,
    }
    key = RevisionKey(vm.key.namespace, name)
    return Create(kind=Kind.REVISION, key=key, owner_uid=vm.uid, body=freeze(body))


def _create_vmi(view: VmView, *, paused: bool) -> Create:
    """Create the VMI of a VM: its name, the template's labels, annotations and spec.

    It has both finalizers from the start; KubeVirt adds the second one with a separate write.
    """
    vm, template = view.vm, view.vm.read_template()
    metadata = mapping(template.get("metadata"))
    key = VmiKey(vm.key.namespace, vm.key.name)
    spec = template.get("spec")
    start_strategy = {"startStrategy": "Paused"} if paused else {}
    body = {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": VMI_KIND,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": dict(mapping(metadata.get("labels"))),
            "annotations": {
                **mapping(metadata.get("annotations")),
                VM_GENERATION_ANNOTATION: str(vm.generation),
                TEMPLATE_INTERFACES_ANNOTATION: render_origin(interface.name for interface in vm.interfaces),
            },
            "finalizers": [VM_FINALIZER, VMI_FINALIZER],
            "ownerReferences": [controller(vm).to_row()],
        },
        "spec": _with_default_network(spec if isinstance(spec, dict) else {}, view) | start_strategy,
    }
    return Create(kind=Kind.VMI, key=key, owner_uid=vm.uid, body=freeze(body))


def refuse_template(view: VmView) -> Refusal | None:
    """Refuse a template that KubeVirt's admission refuses as a whole: it may be older than the rule.

    Source: KubeVirt 1.9 `vms-admitter.go`, `SetDefaultNetworkInterface`; its words.
    """
    vm, config = view.vm, view.config
    root = "spec.template.spec"
    if refusal := refuse_whole(vm.interfaces, vm.networks, config=config, root=root):
        return refusal
    if config is None or config.permits_pod_bridge or config.default_binding is not Binding.BRIDGE:
        return None
    if not gets_default_nic(vm):
        return None
    message = f"{root}.domain.devices.interfaces: bridge interface is not enabled in kubevirt-config"
    return Refusal(reason=Reason.FAILED_CREATE, message=with_remedy(message, _DEFAULT_NETWORK_REMEDY))


def controller(vm: VirtualMachine) -> ControllerReference:
    """Return the ownerReference to the VM for its dependents."""
    return ControllerReference(api_version=KUBEVIRT_API_VERSION, kind=VM_KIND, name=vm.key.name, uid=vm.uid)


def _with_default_network(spec: dict[str, Any], view: VmView) -> dict[str, Any]:
    """Add a NIC on the pod network if there is none, in the VMI and not in the template (KubeVirt 1.2)."""
    if not gets_default_nic(view.vm):
        return spec
    binding = view.config.default_binding if view.config else Binding.BRIDGE
    vm = with_default_nic(view.vm, vmi=None, binding=binding)
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    interfaces = [thaw(item.raw) for item in vm.interfaces]
    domain = {**mapping(spec.get("domain")), "devices": {**devices, "interfaces": interfaces}}
    return {**spec, "domain": domain, "networks": [thaw(item.raw) for item in vm.networks]}


# Adopts a VMI of the VM's name that has no controller, such as one whose VM was deleted with `--cascade=orphan`.
#
# Source: KubeVirt 1.9 `pkg/controller/controller_ref_manager.go` (`ClaimVirtualMachineInstanceByName`): only the name
# has to match; neither the VM nor the VMI is being deleted, and another controller's VMI is never touched. Before the
# patch it reads the VM from the API server once more: a VMI may have lost its owner because that very VM is being
# deleted; adopted again, it would be deleted with it.


def adopt_vmi(view: VmView) -> tuple[Action, ...]:
    """Return the patches by which a VM that stays adopts the VMI; none if there is none, or that was rejected.

    The VM's finalizer comes first: with it the VM stays until this planner has seen its end, and does not leave the VMI
    with an owner that is gone.
    """
    vm, vmi = view.vm, view.vmi
    if vmi is None or vmi.owner is not None or vmi.deleting or view.refusal is not None:
        return ()
    if VM_FINALIZER not in vm.finalizers:
        return (patch_finalizers(vm, (*vm.finalizers, VM_FINALIZER)),)
    adoption = AdoptVmi(
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        owner=controller(vm),
        has_owners=vmi.has_owners,
        finalizer="" if VM_FINALIZER in vmi.finalizers else VM_FINALIZER,
        has_finalizers=bool(vmi.finalizers),
    )
    return (check_unchanged(vm), adoption)
