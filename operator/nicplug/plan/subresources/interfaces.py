"""What a VM or a VMI answers to a request to add or remove a NIC.

KubeVirt answers 202 and drops a request that conflicts; nicplug refuses it with the reason. It also refuses what the
objects at hand show to be impossible, by the planner's own checks (`plan.nic.requested`).

Source: KubeVirt 1.0 `pkg/virt-api/rest/interfacehotplug.go`, for VMIs that of 1.0.0-rc.0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import freeze, read
from nicplug.model.metadata import mapping, sequence
from nicplug.model.networks import Binding, first_by_name, wanted_by_name
from nicplug.model.operations import shortened
from nicplug.model.per_pass import planning_pass
from nicplug.model.requests import (
    MEMBER,
    AddInterface,
    InterfaceRequest,
    PendingRequest,
    RemoveInterface,
    parse_interface_requests,
)
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase, own_vmi
from nicplug.plan.actions import PatchInterfaces, PatchStatus, patch_status
from nicplug.plan.nic.default_nic import with_default_nic
from nicplug.plan.nic.requested import (
    Because,
    Hint,
    Objection,
    has_nic,
    is_leaving,
    lists_after,
    object_to,
    object_to_mac,
    object_to_network,
    object_to_slots,
)
from nicplug.plan.nic.template_sync import Devices, patch_devices
from nicplug.plan.subresources.answers import ACCEPTED, Answer, Endpoint, conflict, forbidden, invalid, not_found

NOT_RUNNING = "VMI is not running"
_ASK_WHEN_GONE = "ask again when it is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The input of the answer; may be stale: the write is guarded.

    Attributes:
        vm: the VM in the request, or the owner of the VMI in the request; None if it does not exist.
        vmi: the VMI in the request, or the one of that VM; None if it does not exist.
        known: which networks VMs of the namespace may use (`access`), and what is known about these.
        is_staged: True with rollout strategy Stage: the template's NICs are not plugged into a running VMI
            automatically.
        default_binding: that of the pod network that a VMI without networks gets.
    """

    vm: VirtualMachine | None = None
    vmi: VirtualMachineInstance | None = None
    known: KnownAttachments = field(default_factory=KnownAttachments)
    is_staged: bool = False
    default_binding: Binding = Binding.BRIDGE

    def vm_before(self, request: InterfaceRequest) -> VirtualMachine | None:
        """Return the VM with the NICs that a request finds: an added one is not the only one of the guest."""
        if self.vm is None or not isinstance(request, AddInterface):
            return self.vm
        return with_default_nic(self.vm, vmi=own_vmi(self.vmi, vm_uid=self.vm.uid), binding=self.default_binding)


@planning_pass()
def ask_vm(request: InterfaceRequest, *, name: str, evidence: Evidence) -> Answer:
    """Write a NIC of a running VM into its template, or record the request for the VM controller to process."""
    return _ask_vm(request, name=name, evidence=evidence, is_alone=True)


def _ask_vm(request: InterfaceRequest, *, name: str, evidence: Evidence, is_alone: bool) -> Answer:
    vm = evidence.vm
    if vm is None:
        return not_found(Endpoint.VM, name)
    rows = vm.status.members.get(MEMBER)
    pending = parse_interface_requests(rows)
    if (answer := _answer_by_pending(request, pending, name=name, namespace=vm.key.namespace)) is not None:
        return answer
    live = _live_vmi_of(vm, evidence.vmi)
    if objection := _objection(request, pending, vm=evidence.vm_before(request), vmi=live, evidence=evidence):
        return _refused(Endpoint.VM, name, objection)
    if _is_done(request, vm=vm, vmi=live, is_staged=evidence.is_staged):
        return ACCEPTED
    is_direct = is_alone and not pending and not evidence.is_staged
    if is_direct and (template := _add_to_template(request, evidence, vmi=live)):
        return replace(ACCEPTED, write=template)
    return replace(ACCEPTED, write=patch_status(vm, {MEMBER: [*sequence(rows), request.to_row()]}))


@dataclass(frozen=True, slots=True)
class Together:
    """The answer of a VM to several requests.

    Attributes:
        answers: one for each, in order, without the writes.
        recorded: indexes of the requests that `write` records or carries out.
        write: one for all of them; None if nothing changes.
    """

    answers: tuple[Answer, ...]
    recorded: frozenset[int] = frozenset()
    write: PatchStatus | PatchInterfaces | None = None


@planning_pass()
def ask_vm_batch(requests: Sequence[InterfaceRequest], *, name: str, evidence: Evidence) -> Together:
    """Answer several requests in order, each like `ask_vm`; one write records all that are to be recorded."""
    if len(requests) == 1:
        alone = ask_vm(requests[0], name=name, evidence=evidence)
        only = alone.write if isinstance(alone.write, PatchStatus | PatchInterfaces) else None
        return Together((replace(alone, write=None),), frozenset({0} if only is not None else ()), only)
    answers, recorded, first, last = [], set(), None, None
    for place, request in enumerate(requests):
        answer = _ask_vm(request, name=name, evidence=evidence, is_alone=False)
        answers.append(replace(answer, write=None))
        if not isinstance(answer.write, PatchStatus) or evidence.vm is None:
            continue
        recorded.add(place)
        first, last = first or answer.write, answer.write
        status = freeze({**evidence.vm.status.members, **mapping(read(answer.write.wanted))})
        evidence = replace(evidence, vm=replace(evidence.vm, status_text=status))
    write = replace(first, wanted=last.wanted) if first is not None and last is not None else None
    return Together(tuple(answers), frozenset(recorded), write)


@planning_pass()
def answer_pending(request: InterfaceRequest, *, vm: VirtualMachine) -> Answer | None:
    """Return the VM's answer if a request for the same name is pending; otherwise None."""
    pending = parse_interface_requests(vm.status.members.get(MEMBER))
    return _answer_by_pending(request, pending, name=vm.key.name, namespace=vm.key.namespace)


@planning_pass()
def ask_vmi(request: InterfaceRequest, *, name: str, evidence: Evidence) -> Answer:
    """Change the spec of a running VMI; if it belongs to a VM, the change lasts until the VM is restarted."""
    vmi = evidence.vmi
    if vmi is None:
        return not_found(Endpoint.VMI, name)
    if vmi.phase is not VmiPhase.RUNNING:
        return conflict(Endpoint.VMI, name, NOT_RUNNING)
    if objection := _objection_of_vmi(request, vmi=vmi, evidence=evidence):
        return _refused(Endpoint.VMI, name, objection)
    return replace(ACCEPTED, write=patch_devices(vmi, Devices(*lists_after(request, vmi))))


@planning_pass()
def ask_with_mac(mac: str, request: AddInterface, *, name: str, evidence: Evidence, persist: bool) -> Answer:
    """Answer like `ask_vm` or `ask_vmi` for a NIC with a MAC address. No request has one: the caller patches the spec.

    Args:
        persist: True to patch the VM's template, False to patch the VMI.
    """
    answer = (ask_vm if persist else ask_vmi)(request, name=name, evidence=evidence)
    if answer.code != ACCEPTED.code:
        return answer
    endpoint, vm, vmi = Endpoint.VM if persist else Endpoint.VMI, evidence.vm, evidence.vmi
    if persist and vm is not None:
        vmi = _live_vmi_of(vm, vmi)
        pending = parse_interface_requests(vm.status.members.get(MEMBER))
        if any(isinstance(item.request, AddInterface) and item.request.name == request.name for item in pending):
            why = f'there is a pending request for NIC "{request.name}", which has no MAC address: use another name'
            return conflict(endpoint, name, why)
        if is_leaving(request.name, vm):
            why = f'NIC "{request.name}" is being unplugged: {_ASK_WHEN_GONE}'
            return conflict(endpoint, name, why, hint=Hint.WAIT_UNTIL_GONE)
    if objection := object_to_mac(mac, request, vm=vm, vmi=vmi):
        return _refused(endpoint, name, objection)
    return answer


def _answer_by_pending(
    request: InterfaceRequest, pending: Sequence[PendingRequest], *, name: str, namespace: str
) -> Answer | None:
    """Answer from the first request for the same name; None if there is none.

    KubeVirt logs the first half of these words, and answers 202.
    """
    for item in pending:
        other = item.request
        if not isinstance(other, AddInterface | RemoveInterface) or other.name != request.name:
            continue
        if isinstance(other, AddInterface) and isinstance(request, AddInterface):
            if _reference(other, namespace) == _reference(request, namespace):
                return ACCEPTED
            why = f'cannot handle interface "{request.name}" add request because there is an existing add request for '
            on = shortened(other.network, longest=200)
            return conflict(Endpoint.VM, name, f"{why}network attachment definition {on}: use another name")
        if type(other) is type(request):
            return ACCEPTED
        asked, found, then, hint = "remove", "add", "the NIC is added first; ask again when it is there", Hint.NONE
        if isinstance(request, AddInterface):
            asked, found, then = "add", "remove", f"the NIC is unplugged first; {_ASK_WHEN_GONE}"
            hint = Hint.WAIT_UNTIL_GONE
        why = f'cannot handle interface "{request.name}" {asked} request because there is an existing {found} request'
        return conflict(Endpoint.VM, name, f"{why}: {then}", hint=hint)
    return None


def _reference(request: AddInterface, namespace: str) -> tuple[str, str]:
    return request.to_network().attachment_reference(namespace=namespace)


def _live_vmi_of(vm: VirtualMachine, vmi: VirtualMachineInstance | None) -> VirtualMachineInstance | None:
    """Return the VM's own VMI, if it is not ending."""
    own = own_vmi(vmi, vm_uid=vm.uid)
    return own if own is not None and not own.deleting and not own.is_final else None


def _objection(
    request: InterfaceRequest,
    pending: Sequence[PendingRequest],
    *,
    vm: VirtualMachine | None,
    vmi: VirtualMachineInstance | None,
    evidence: Evidence,
) -> Objection | None:
    """Check the request itself, then the names, then the policy, then the slots of a running guest."""
    if objection := object_to(request, vm=vm, vmi=vmi):
        return objection
    owners = [owner for owner in (vm, vmi) if owner is not None]
    if not isinstance(request, AddInterface) or all(has_nic(request, owner) for owner in owners):
        return None
    known = evidence.known
    if objection := object_to_network(request, namespace=owners[0].key.namespace, known=known):
        return objection
    if vmi is None:
        return None
    before = [item.request for item in pending if isinstance(item.request, AddInterface)]
    offered = _offered(vm, vmi) if vm is not None and not evidence.is_staged else []
    return object_to_slots(request, vm=vm, vmi=vmi, before=[*offered, *before], known=known)


def _offered(vm: VirtualMachine, vmi: VirtualMachineInstance) -> list[AddInterface]:
    """Return what the template has and the guest is about to get: each uses a slot."""
    present, networks = first_by_name(vmi.interfaces), first_by_name(vm.networks)
    names = [
        name
        for name, interface in wanted_by_name(vm.interfaces).items()
        if interface.binding is Binding.BRIDGE and name not in present and name in networks
    ]
    return [AddInterface(name=name, network=networks[name].attachment) for name in names if networks[name].is_secondary]


def _objection_of_vmi(
    request: InterfaceRequest, *, vmi: VirtualMachineInstance, evidence: Evidence
) -> Objection | None:
    """Check a VMI, which has no list of pending requests; an unchanged template decides about its own NICs."""
    vm = evidence.vm if evidence.vm is not None and own_vmi(vmi, vm_uid=evidence.vm.uid) else None
    owners = [owner for owner in (vmi, vm) if owner is not None]
    if isinstance(request, AddInterface) and any(is_leaving(request.name, owner) for owner in owners):
        message = f'NIC "{request.name}" is being unplugged: {_ASK_WHEN_GONE}'
        return Objection(because=Because.CONFLICT, message=message, hint=Hint.WAIT_UNTIL_GONE)
    if objection := _objection(request, (), vm=vm, vmi=vmi, evidence=evidence):
        return objection
    comes_back = vm is not None and request.name in wanted_by_name(vm.interfaces) and not evidence.is_staged
    if isinstance(request, RemoveInterface) and request.name in wanted_by_name(vmi.interfaces) and comes_back:
        message = (
            f'the template of VirtualMachine "{vmi.key.name}" has NIC "{request.name}", and would bring it back: '
            f"virtctl removeinterface {vmi.key.name} --name {request.name} --persist "
            f"--namespace {vmi.key.namespace}"
        )
        return Objection(because=Because.CONFLICT, message=message, hint=Hint.REMOVE_FROM_TEMPLATE)
    return None


def _add_to_template(
    request: InterfaceRequest, evidence: Evidence, *, vmi: VirtualMachineInstance | None
) -> PatchInterfaces | None:
    """Return what the VM controller would write for the request; None if a NIC has to be removed first.

    This saves two writes and a round trip, and the client receives a rejection of admission.
    """
    vm, before = evidence.vm, evidence.vm_before(request)
    if not isinstance(request, AddInterface) or vm is None or before is None:
        return None
    if vmi is None or vmi.phase is not VmiPhase.RUNNING:
        return None
    if read(vm.status_text) is None:
        return None  # the list of requests could not be tested
    if any(is_leaving(request.name, owner) for owner in (vm, vmi)):
        return None
    patch = patch_devices(vm, Devices(*lists_after(request, before)))
    # One for that name may have been recorded since, and would be carried out after this.
    return replace(patch, requests=freeze(vm.status.members.get(MEMBER))) if patch is not None else None


def _is_done(
    request: InterfaceRequest, *, vm: VirtualMachine, vmi: VirtualMachineInstance | None, is_staged: bool
) -> bool:
    """Report whether template and VMI need no change for it; the guest gets what the template has automatically."""
    owners = [owner for owner in (vm, vmi) if owner is not None]
    if isinstance(request, AddInterface):
        follows_template = not is_staged and vmi is not None and not is_leaving(request.name, vmi)
        return all(has_nic(request, owner) for owner in (owners[:1] if follows_template else owners))
    return not any(request.name in wanted_by_name(owner.interfaces) for owner in owners)


def _refused(endpoint: Endpoint, name: str, objection: Objection) -> Answer:
    match objection.because:
        case Because.INVALID:
            return invalid(endpoint, name, objection.message)
        case Because.FORBIDDEN:
            return forbidden(endpoint, name, objection.message)
        case Because.CONFLICT:
            return conflict(endpoint, name, objection.message, hint=objection.hint)
