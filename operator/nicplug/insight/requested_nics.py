"""Shows NICs that unprocessed requests add or remove: no record says so yet. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from nicplug.insight.known import pending_requests
from nicplug.insight.nic_rows import UNSEEN, NicRow, shown_network
from nicplug.model.networks import Binding
from nicplug.model.operations import OperationPhase, OperationType
from nicplug.model.requests import AddInterface
from nicplug.model.vm import VirtualMachine
from nicplug.plan.views import Refusal


def with_requests(nics: Sequence[NicRow], vm: VirtualMachine | None, *, held_by: Refusal | None) -> tuple[NicRow, ...]:
    """Return the rows of a VM, with a row for each NIC to add; the row of each NIC to remove says so.

    Args:
        nics: the rows from the status.
        held_by: why no operator carries requests out; None if one will.
    """
    rows = {nic.name: nic for nic in nics}
    for request in pending_requests(vm):
        known = rows.get(request.name)
        if isinstance(request, AddInterface) and vm is not None and known is None:
            network = shown_network(request.to_network(), namespace=vm.key.namespace)
            added = NicRow(name=request.name, network=network, binding=str(Binding.BRIDGE))
            rows[request.name] = _without_history(added, OperationType.PLUG, held_by)
        elif not isinstance(request, AddInterface) and known is not None and known.is_ready:
            rows[request.name] = _without_history(known, OperationType.UNPLUG, held_by)
    return tuple(rows.values())


def _without_history(nic: NicRow, operation: OperationType, held_by: Refusal | None) -> NicRow:
    """Return the row without traces of an earlier operation, as the request has not been processed."""
    return replace(
        nic,
        operation=str(operation),
        path="",
        phase=str(OperationPhase.PENDING if held_by is None else OperationPhase.BLOCKED),
        reason=held_by.reason if held_by is not None else "",
        message=held_by.message if held_by is not None else UNSEEN,
        remedy=held_by.remedy if held_by is not None else "",
        next_attempt=None,
        since=None,
        attempts=0,
        migration="",
    )
