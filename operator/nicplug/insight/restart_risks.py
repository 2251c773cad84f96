"""Finds reasons why a VM may not start again after a restart. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from nicplug.model.attachments import KnownAttachments
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.node import Node
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.candidates import find_candidates, node_needs
from nicplug.plan.reasons import Reason

_AT_TARGET_PODS = frozenset({Reason.TARGET_POD_NOT_READY, Reason.TARGET_POD_SANDBOX_FAILED, Reason.POD_SANDBOX_FAILED})


def restart_risks(
    vmi: VirtualMachineInstance | None, *, nodes: Sequence[Node] | None, now: datetime
) -> tuple[str, ...]:
    """Return a sentence for each known obstacle to the next launcher pod.

    Args:
        vmi: the running one; its placement stands for that of the VM's template.
        nodes: all nodes; None if they cannot be read.
    """
    if vmi is None:
        return ()
    return (*_no_node(vmi, nodes), *_failed_networks(vmi, now=now))


def _no_node(vmi: VirtualMachineInstance, nodes: Sequence[Node] | None) -> Iterator[str]:
    # Leave devices out: the definition of a network says which ones it needs, and is not read for this.
    needs = node_needs(vmi, attachments=KnownAttachments(access=AttachmentAccess(shared=None)))
    found = find_candidates(nodes, source="", needs=needs)
    if found.is_impossible:
        yield f"{found.message}: it would be down until one can"


def _failed_networks(vmi: VirtualMachineInstance, *, now: datetime) -> Iterator[str]:
    records = vmi.status.records(now=now)
    for record in records.values():
        if record.operation != OperationType.UNPLUG and (error := _error_at_target(record)):
            yield f'the network of NIC "{record.name}" failed at a target pod ({error}): it may not start with it'


def _error_at_target(record: InterfaceOperation) -> str:
    """Return what kept a pod with this NIC from starting; "" for nothing."""
    failures = record.failures
    if failures.count and failures.reason in _AT_TARGET_PODS:
        return failures.message or failures.reason
    return ""
