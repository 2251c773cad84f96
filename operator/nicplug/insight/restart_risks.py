"""Why a VM that is restarted may not start again. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from nicplug.model.attachments import KnownAttachments
from nicplug.model.metadata import objects
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.node import Node
from nicplug.model.operations import InterfaceOperation, OperationType, parse_operations
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.candidates import find_candidates, node_needs
from nicplug.plan.reasons import Reason

_AT_TARGET_PODS = frozenset({Reason.TARGET_POD_NOT_READY, Reason.TARGET_POD_SANDBOX_FAILED, Reason.POD_SANDBOX_FAILED})


def restart_risks(
    vmi: VirtualMachineInstance | None, *, nodes: Sequence[Node] | None, now: datetime
) -> tuple[str, ...]:
    """A sentence for each thing that is known to be in the way of the next launcher pod.

    Args:
        vmi: that runs; its placement stands for that of the VM's template.
        nodes: all there are; None when they cannot be read.
    """
    if vmi is None:
        return ()
    return (*_no_node(vmi, nodes), *_failed_networks(vmi, now=now))


def _no_node(vmi: VirtualMachineInstance, nodes: Sequence[Node] | None) -> Iterator[str]:
    # Devices are left out: which of them a network asks for, its definition says, which is not read for this.
    needs = node_needs(vmi, attachments=KnownAttachments(access=AttachmentAccess(shared=None)))
    found = find_candidates(nodes, source="", needs=needs)
    if found.is_impossible:
        yield f"{found.message}: it would be down until one can"


def _failed_networks(vmi: VirtualMachineInstance, *, now: datetime) -> Iterator[str]:
    records = parse_operations(objects(vmi.read_status().get("interfaceOperations")), default_time=now)
    for record in records.values():
        if record.operation != OperationType.UNPLUG and (error := _error_at_target(record)):
            yield f'the network of NIC "{record.name}" failed at a target pod ({error}): it may not start with it'


def _error_at_target(record: InterfaceOperation) -> str:
    """What kept a pod with this NIC from starting; "" when nothing did."""
    failures = record.failures
    if failures.count and failures.reason in _AT_TARGET_PODS:
        return failures.message or failures.reason
    return ""
