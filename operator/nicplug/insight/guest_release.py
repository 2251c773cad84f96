"""Forecasts an unplug beyond its first step. Pure.

The path is chosen only after the guest has released the NIC, and whether the pod can release it is checked only after
the NIC is out of the pod's networks annotation.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from nicplug.insight.next_pass import Foreseen
from nicplug.model.interface_status import DOMAIN, remove_source
from nicplug.model.metadata import mapping, objects
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationType, needs_person
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.active_pod import active_pod


def leaving_guest(operations: Iterable[InterfaceOperation]) -> frozenset[str]:
    """Return the NICs that the guest has been asked to release."""
    return frozenset(item.name for item in operations if item.reason == Reason.WAITING_FOR_GUEST_RELEASE)


def leaving_pod(operations: Iterable[InterfaceOperation]) -> frozenset[str]:
    """Return the NICs that are being unplugged, by any path, and that the guest has released."""
    unplugged = (item for item in operations if item.operation == OperationType.UNPLUG and not item.is_settled)
    return frozenset(item.name for item in unplugged if item.reason != Reason.WAITING_FOR_GUEST_RELEASE)


def vmi_after_release(vmi: Mapping[str, Any], operations: Collection[InterfaceOperation]) -> dict[str, Any]:
    """Return the VMI with these records, and without the NICs that its guest has been asked to release."""
    status, leaving = mapping(vmi.get("status")), leaving_guest(operations)
    rows = [
        remove_source(row, DOMAIN) if row.get("name") in leaving else row for row in objects(status.get("interfaces"))
    ]
    return with_records({**vmi, "status": {**status, "interfaces": rows}}, operations)


def with_records(vmi: Mapping[str, Any], operations: Iterable[InterfaceOperation]) -> dict[str, Any]:
    """Return the VMI as it is after these records have been written."""
    records = [item.to_row() for item in operations]
    return {**vmi, "status": {**mapping(vmi.get("status")), "interfaceOperations": records}}


def with_annotation(view: VmiView, text: str) -> VmiView:
    """Return the view once the networks annotation of the guest's pod has been replaced, before anything reacts."""
    asked = active_pod(view)
    pods = (replace(pod, networks_annotation=text) if pod is asked else pod for pod in view.pods)
    return replace(view, pods=tuple(pods))


def merged_after_request(now: Foreseen, then: Foreseen) -> Foreseen:
    """Return the forecast; a NIC that the pod cannot release is shown as it is after its removal from the annotation.

    No migration is created for such a NIC: the pod is asked before the NICs for one migration have been collected.
    """
    leaving = leaving_pod(now.operations)
    stuck = {item.name: item for item in then.operations if item.name in leaving and needs_person(item.phase)}
    if not stuck:
        return now
    operations = tuple(stuck.get(item.name, item) for item in now.operations)
    return replace(now, operations=operations, create=then.create)


def merged_after_release(now: Foreseen, then: Foreseen, *, names: Collection[str]) -> Foreseen:
    """Return the forecast; each of these NICs is shown as it is after the guest has released it.

    A NIC that then leaves in place keeps its first step, unless it would be stuck there. The PCI slots are the current
    ones.
    """
    later = {item.name: item for item in then.operations if item.name in names and not _leaves_in_place(item)}
    operations = tuple(_beyond(item, later.get(item.name)) for item in now.operations)
    evidence = {**now.evidence, **{name: found for name, found in then.evidence.items() if name in names}}
    return replace(
        now,
        operations=operations,
        evidence=evidence,
        create=now.create or then.create,
    )


def _leaves_in_place(item: InterfaceOperation) -> bool:
    return item.path == OperationPath.DYNAMIC and not needs_person(item.phase)


def _beyond(item: InterfaceOperation, later: InterfaceOperation | None) -> InterfaceOperation:
    if later is None:
        return item
    return replace(later, message=f"once the guest has let the NIC go: {later.message}")
