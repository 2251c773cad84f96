"""One VM according to its status: its NICs, and what is in progress. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.insight.nic_rows import NicRow, nic_rows
from nicplug.insight.power import is_off, power_requests
from nicplug.insight.restarts import restart_effects, restart_required
from nicplug.insight.slots import possible_slots
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
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration
from nicplug.model.operations import (
    OperationPath,
)
from nicplug.model.requests import (
    ADD_OPTIONS,
    MEMBER,
    NAME_OPTION,
    NETWORK_OPTION,
    REMOVE_OPTIONS,
)
from nicplug.model.vm import RunStrategy, VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase

STOPPED = "Stopped"
"""The phase of a VM without an instance."""
_STARTING = frozenset({RunStrategy.ALWAYS, RunStrategy.RERUN_ON_FAILURE, RunStrategy.ONCE})


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
        nics=nic_rows(vm, vmi, is_to_start=_is_to_start(vm, vmi), now=now),
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


def _request(row: Mapping[str, Any]) -> RequestRow:
    add, remove = mapping(row.get(ADD_OPTIONS)), mapping(row.get(REMOVE_OPTIONS))
    name, network = text((add or remove).get(NAME_OPTION)), text(add.get(NETWORK_OPTION))
    return RequestRow(nic=name, network=network, is_add=bool(add), is_readable=bool(add or remove))


def _migration(item: Migration) -> str:
    return f"{item.key.name}: {item.phase or 'Pending'}, {item.progress}" if item.progress else item.key.name
