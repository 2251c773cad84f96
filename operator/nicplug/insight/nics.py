"""The NICs of one VM according to its status: a row for each, with the content of its record. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.insight.power import is_off, power_requests
from nicplug.insight.restarts import restart_effects, restart_required
from nicplug.insight.slots import possible_slots, reserved_for
from nicplug.insight.start_problems import StartProblem, start_problem
from nicplug.model.conditions import (
    EVICTION_REQUESTED,
    FAILURE,
    INTERFACES_READY,
    INVALID_HOTPLUG_POLICY,
    NO_STATUS,
    OUTDATED_ATTACHMENTS,
    PAUSED,
    Status,
)
from nicplug.model.frozen_json import read
from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, InterfaceRow, has_source
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration
from nicplug.model.networks import Interface, Network, first_by_name
from nicplug.model.operations import (
    InterfaceOperation,
    OperationPath,
    OperationPhase,
    OperationType,
    needs_person,
)
from nicplug.model.pci import takes_slot
from nicplug.model.requests import (
    ADD_OPTIONS,
    MEMBER,
    NAME_OPTION,
    NETWORK_OPTION,
    REMOVE_OPTIONS,
)
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.reasons import Reason

UNSEEN = "requested, waiting for the operator"
"""Message of a NIC without a record, including the moment before the operator writes one."""
HAS_LEFT = "the guest does not have it; its entry in the VM's template goes next"
"""Message of a NIC that only the template still has, as `state: absent`."""
ONLY_ENTRIES = "neither the pod nor the guest has it; the operator takes its entries out next"
"""Message of a NIC to be removed that is not attached, or no longer is: nothing has to release it."""
NOT_STARTED = "waiting for the operator to start the VM"
"""Message of a NIC of a VM that is to run, until the operator has seen the VM."""
STOPPED = "Stopped"
"""The phase of a VM without an instance."""
_STARTING = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


@dataclass(frozen=True, slots=True, kw_only=True)
class NicRow:
    """One NIC.

    Attributes:
        network: `<namespace>/<name>` of the definition, or `pod`.
        path: that of the record; "" for a NIC that the guest started with.
        phase: that of the record; without one `Ready` if the guest has the NIC, `Pending` if it does not.
        remedy: that of the record; "" if there is nothing to do.
        next_attempt: when nicplug retries, according to the record; None if only a change helps.
        since: when the phase last changed; None if unknown.
        pci_slot: `reserved`, `used`, or "" if it uses none.
        pci_address: the address in the spec; "" if libvirt chooses.
        has_left: True if it is to be removed, and neither the pod nor the guest has it: only entries are left.
    """

    name: str
    network: str
    binding: str
    operation: str = ""
    path: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    remedy: str = ""
    next_attempt: datetime | None = None
    last_error: str = ""
    since: datetime | None = None
    attempts: int = 0
    migration: str = ""
    pci_slot: str = ""
    pci_address: str = ""
    mac_address: str = ""
    ip_address: str = ""
    has_left: bool = False

    @property
    def is_ready(self) -> bool:
        """True if nothing is left to do for it."""
        return self.phase == OperationPhase.READY

    @property
    def needs_action(self) -> bool:
        """True if it cannot proceed, or its migration cannot start, until a person acts or something changes."""
        return needs_person(self.phase) or (self.phase == OperationPhase.MIGRATING and bool(self.remedy))

    def to_json(self) -> dict[str, Any]:
        """Return the item of the JSON output."""
        return {
            "name": self.name,
            "network": self.network,
            "binding": self.binding,
            "operation": self.operation or None,
            "path": self.path or None,
            "phase": self.phase,
            "reason": self.reason or None,
            "message": self.message or None,
            "remedy": self.remedy or None,
            "nextAttempt": self.next_attempt.isoformat() if self.next_attempt is not None else None,
            "lastError": self.last_error or None,
            "since": self.since.isoformat() if self.since is not None else None,
            "attempts": self.attempts,
            "migration": self.migration or None,
            "pciSlot": self.pci_slot or None,
            "pciAddress": self.pci_address or None,
            "macAddress": self.mac_address or None,
            "ipAddress": self.ip_address or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A request to add or to remove a NIC; `str` describes it.

    Attributes:
        is_add: True to add it, False to remove it.
        is_readable: True if it says which NIC it is about.
    """

    nic: str
    network: str
    is_add: bool
    is_readable: bool

    def __str__(self) -> str:
        if not self.is_readable:
            return "a request that cannot be read"
        return f'add NIC "{self.nic}" on network {self.network}' if self.is_add else f'remove NIC "{self.nic}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class VmNics:
    """All NICs of one VM, and what is in progress.

    Attributes:
        budget: `status.pciBudget`, with `possible` for the slots beyond it (`insight.slots`).
        phase: that of the VMI; `Paused` if it runs and its guest is paused. Without a VMI `Stopped`, or `Pending` while
            no operator has seen a VM that is to run.
        ready: status of the condition InterfacesReady; "" if it is not set.
        is_off: True if there is no instance, and nothing requests a start.
        power_requests: requests to start, stop or restart the VM that no operator has carried out yet, as sentences.
        requests: recorded requests for NICs that have not been processed yet.
        migrations: migrations of this VM that have not ended, as sentences.
        quoted: the messages of these migrations: messages of NICs quote them.
        failure: why the last request could not be carried out; "" if it could.
        outdated: message of the instance's condition OutdatedNetworkAttachments; "" if it does not have it.
        policy_problem: what the VM's owner wrote about hot-plug without effect; "" for nothing.
        restart_required: message of the VM's condition RestartRequired; "" if it does not have it.
        restart_effects: what the next restart does to NICs that the template does not have, by name.
        start_problem: what keeps the VM from starting; None if nothing is known.
        eviction: message of the condition EvictionRequested: a drain waits for the VM, and what the VM waits for; ""
            for none.
    """

    kind: str
    namespace: str
    name: str
    phase: str
    node: str = ""
    ready: str = ""
    ready_message: str = ""
    nics: tuple[NicRow, ...] = ()
    budget: Mapping[str, Any] | None = None
    is_off: bool = False
    power_requests: tuple[str, ...] = ()
    requests: tuple[RequestRow, ...] = ()
    migrations: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    failure: str = ""
    outdated: str = ""
    policy_problem: str = ""
    restart_required: str = ""
    restart_effects: Mapping[str, str] = field(default_factory=dict)
    start_problem: StartProblem | None = None
    eviction: str = ""

    def restart_of(self, nic: NicRow) -> str:
        """Return what a restart means for this NIC; "" for nothing."""
        if effect := self.restart_effects.get(nic.name):
            return effect
        waits = self.restart_required and nic.path == OperationPath.RESTART
        return f"RestartRequired: {self.restart_required}" if waits else ""


def describe(
    *,
    namespace: str,
    name: str,
    vm: VirtualMachine | None,
    vmi: VirtualMachineInstance | None,
    migrations: Sequence[Migration] = (),
    now: datetime,
) -> VmNics:
    """Combine what VM and VMI say.

    Args:
        vmi: the one that runs or starts; None for a stopped VM.
        migrations: those that name the VMI.
        now: current time, UTC.
    """
    status = vmi.status if vmi is not None else NO_STATUS
    condition, vm_status = status.condition(INTERFACES_READY), vm.status if vm is not None else NO_STATUS
    budget, under_way = mapping(status.members.get("pciBudget")), [item for item in migrations if not item.is_final]
    return VmNics(
        kind="VirtualMachine" if vm is not None else "VirtualMachineInstance",
        namespace=namespace,
        name=name,
        phase=_phase(vm, vmi),
        node=vmi.node_name if vmi is not None else "",
        ready=condition.status,
        ready_message=condition.message,
        nics=_rows(vm, vmi, now=now),
        budget={**budget, "possible": possible_slots(budget, vmi)} if budget else None,
        is_off=is_off(vm, vmi),
        power_requests=power_requests(vm, vmi),
        requests=tuple(_request(row) for row in objects(vm_status.members.get(MEMBER))),
        migrations=tuple(_migration(item) for item in under_way),
        quoted=tuple(item.progress for item in under_way if item.progress),
        failure=_message_if_true(vm_status, FAILURE),
        outdated=_message_if_true(status, OUTDATED_ATTACHMENTS),
        policy_problem=_message_if_true(status, INVALID_HOTPLUG_POLICY),
        restart_required=restart_required(vm),
        restart_effects=restart_effects(vm, vmi),
        start_problem=start_problem(vm, vmi),
        eviction=eviction_of(status),
    )


def eviction_of(status: Status) -> str:
    """Return the message of a VMI's condition EvictionRequested; "" while the guest need not leave its node."""
    return _message_if_true(status, EVICTION_REQUESTED)


def _is_to_start(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> bool:
    """Report whether the VM is to run, and no operator has seen it: the first that does writes `printableStatus`."""
    if vm is None or vmi is not None or vm.deleting or vm.run_strategy not in _STARTING:
        return False
    status = vm.status.members
    return not status.get("printableStatus") and not status.get("conditions")


def _phase(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None) -> str:
    """Return the phase, or `Paused`, which is no phase of a VMI in KubeVirt but a printableStatus of its VM.

    Source: KubeVirt 1.9 `vm.go` (`setPrintableStatus`).
    """
    if vmi is None:
        return str(VmiPhase.PENDING) if _is_to_start(vm, vmi) else STOPPED
    is_paused = vmi.phase is VmiPhase.RUNNING and vmi.status.is_true(PAUSED)
    return PAUSED if is_paused else str(vmi.phase or VmiPhase.PENDING)


def _message_if_true(status: Status, type_: str) -> str:
    """Return the message of a condition that is True; "" if the object does not have it."""
    return status.condition(type_).message if status.is_true(type_) else ""


def _rows(vm: VirtualMachine | None, vmi: VirtualMachineInstance | None, *, now: datetime) -> tuple[NicRow, ...]:
    """Return the rows in the order of the VMI's spec, then those of the template only, then those of the status."""
    reported = vmi.status.interfaces if vmi is not None else {}
    records = vmi.status.records(now=now) if vmi is not None else {}
    owners = [owner for owner in (vmi, vm) if owner is not None]
    interfaces = first_by_name([item for owner in owners for item in owner.interfaces])
    networks = first_by_name([item for owner in owners for item in owner.networks])
    in_vmi = {item.name for item in vmi.interfaces} if vmi is not None else set()
    is_running, is_to_start = vmi is not None and vmi.phase is VmiPhase.RUNNING, _is_to_start(vm, vmi)
    coming = reserved_for(vmi, records=records) if vmi is not None and is_running else frozenset()
    leaving = {item.name for owner in owners for item in owner.interfaces if item.is_absent}
    in_spec_order = [item.name for owner in owners for item in owner.interfaces]
    names = dict.fromkeys([*in_spec_order, *records, *(name for name in reported if name not in interfaces)])
    return tuple(
        _row(
            name,
            interface=interfaces.get(name),
            network=networks.get(name),
            record=records.get(name),
            reported=reported.get(name),
            namespace=owners[0].key.namespace if owners else "",
            is_leaving=name in leaving,
            is_in_vmi=name in in_vmi,
            is_running=is_running,
            has_reserved=name in coming,
            is_to_start=is_to_start,
        )
        for name in names
    )


def _row(
    name: str,
    *,
    interface: Interface | None,
    network: Network | None,
    record: InterfaceOperation | None,
    reported: InterfaceRow | None,
    namespace: str,
    is_leaving: bool,
    is_in_vmi: bool,
    is_running: bool,
    has_reserved: bool,
    is_to_start: bool,
) -> NicRow:
    in_guest = has_source(reported, DOMAIN)
    has_slot = interface is not None and takes_slot(interface)
    slot = "used" if in_guest else "reserved" if has_reserved or has_source(reported, MULTUS_STATUS) else ""
    is_to_go = is_leaving and is_running and (is_in_vmi or in_guest)
    is_tried = record is not None and not needs_person(record.phase)
    is_nowhere = not in_guest and not has_source(reported, MULTUS_STATUS) and not is_tried
    has_left = is_leaving and is_running and (is_nowhere if is_to_go else reported is None)
    is_unseen = is_to_go or (is_running and not in_guest and not is_leaving)
    phase = OperationPhase.READY if in_guest and not is_to_go else OperationPhase.PENDING
    known = NicRow(
        name=name,
        network=shown_network(network, namespace=namespace),
        binding=str(interface.binding) if interface is not None else "",
        phase=str(phase),
        pci_slot=slot if has_slot else "",
        pci_address=text(read(interface.raw).get("pciAddress")) if interface is not None else "",
        mac_address=reported.mac if reported is not None else "",
        ip_address=reported.ip_address if reported is not None else "",
        reason="" if in_guest or is_running or is_to_start else str(Reason.GUEST_NOT_RUNNING),
        message=_unrecorded(is_to_start=is_to_start, is_to_go=is_to_go, is_unseen=is_unseen, has_left=has_left),
        has_left=has_left,
        operation=str(OperationType.UNPLUG) if is_leaving else "",
    )
    if record is None or (is_to_go and _predates_removal(record, interface)):
        return known
    fields = {member: getattr(known, member) for member in _FROM_SPEC}
    return NicRow(
        **fields,
        operation=record.operation,
        path="" if record.path == "None" else record.path,
        phase=record.phase,
        reason=record.reason,
        message=record.message,
        remedy=record.remedy,
        next_attempt=record.next_attempt_time,
        last_error=record.last_error,
        since=record.last_transition_time,
        attempts=record.attempts,
        migration=record.migration,
    )


def _unrecorded(*, is_to_start: bool, is_to_go: bool, is_unseen: bool, has_left: bool) -> str:
    """Return the message of a NIC without a record."""
    if is_to_start:
        return NOT_STARTED
    if has_left:
        return ONLY_ENTRIES if is_to_go else HAS_LEFT
    return UNSEEN if is_unseen else ""


def _predates_removal(record: InterfaceOperation, interface: Interface | None) -> bool:
    """Report whether the record predates the request to remove the NIC: no operator has seen that yet."""
    is_absent = interface is not None and interface.is_absent
    # A NIC that only the template marks as absent may proceed while it is on its way to the guest.
    return record.operation != OperationType.UNPLUG and (is_absent or record.phase == OperationPhase.READY)


_FROM_SPEC = ("name", "network", "binding", "pci_slot", "pci_address", "mac_address", "ip_address")


def shown_network(network: Network | None, *, namespace: str) -> str:
    """Return the network's name for tables, without the VM's own namespace; "" if there is none."""
    if network is None:
        return ""
    if network.attachment:
        found = network.attachment_reference(namespace=namespace)
        return found[1] if found[0] == namespace else "/".join(found)
    return "pod" if network.is_pod else ""


def _request(row: Mapping[str, Any]) -> RequestRow:
    add, remove = mapping(row.get(ADD_OPTIONS)), mapping(row.get(REMOVE_OPTIONS))
    name, network = text((add or remove).get(NAME_OPTION)), text(add.get(NETWORK_OPTION))
    return RequestRow(nic=name, network=network, is_add=bool(add), is_readable=bool(add or remove))


def _migration(item: Migration) -> str:
    return f"{item.key.name}: {item.phase or 'Pending'}, {item.progress}" if item.progress else item.key.name
