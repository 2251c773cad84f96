"""Superseded requests: NICs whose pod has an element that differs from the VMI's present spec.

If a template is corrected, a NIC that the guest does not have yet is copied again, while it may have been requested
from its pod already. The dynamic networks controller compares only the network and the interface's name: an element
with another MAC address does not change an interface that it has attached, or is about to attach. So the old element
stays until the controller has processed it. When network-status then lists the interface, the element is removed, and
the NIC is requested again once network-status has dropped it. Meanwhile the interface is not plugged into the guest.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum, auto

from nicplug.model.interface_status import has_go_ahead
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.networks import Interface, Network, first_by_name, split_attachment
from nicplug.model.networks_annotation import Element, element_of, is_hashed_name
from nicplug.model.operations import InterfaceOperation, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.nic.attempts import Failures
from nicplug.plan.nic.live_rules import may_be_plugged
from nicplug.plan.nic.observed import elements_asked_for, interface_names
from nicplug.plan.nic.phantoms import RELEASE_PATIENCE
from nicplug.plan.views import VmiView

_RESOLUTION = timedelta(seconds=1)


class Superseded(Enum):
    """State of the superseded request in the pod."""

    UNDER_WAY = auto()
    """The controller may be attaching it: its element stays."""
    WITHDRAWN = auto()
    """The pod has it: its element is removed until network-status drops the interface."""


def find_superseded(
    view: VmiView,
    *,
    pod: LauncherPod,
    records: Mapping[str, InterfaceOperation],
    leaving: Collection[str],
    failures: Failures,
    now: datetime,
) -> Mapping[str, Superseded]:
    """The NICs that were not plugged into the running guest, and whose pod has, or is requested, an earlier version.

    Args:
        leaving: NICs that the template unplugs; the VMI follows in a moment.
        failures: the last failure that the controller reported, by pod interface.
    """
    vmi, access, is_heard = view.vmi, view.attachments.access, not view.controller.is_absent
    if vmi.phase is not VmiPhase.RUNNING:
        return {}
    networks, elements = first_by_name(vmi.networks), elements_asked_for(pod)
    names, found = interface_names(vmi, pod), dict[str, Superseded]()
    for interface in vmi.interfaces:
        network, pod_interface = networks.get(interface.name), names.get(interface.name, "")
        if network is None or not _may_differ(interface, pod_interface, vmi=vmi):
            continue
        record, existing = records.get(interface.name), elements.get(pod_interface)
        is_listed, is_asked = pod.network_status.has(pod_interface), _was_asked(record)
        if existing is None:
            if is_listed and (is_asked or interface.name in leaving):
                found[interface.name] = Superseded.WITHDRAWN
        elif (
            _asks_otherwise(existing, interface, network, vmi=vmi)
            and not was_just_asked(record, vmi=vmi, pod=pod)
            and _is_of_the_vm(existing, pod.network_status.network_of(pod_interface), vmi=vmi, access=access)
        ):
            if is_listed and is_asked:
                found[interface.name] = Superseded.WITHDRAWN
            elif is_listed or not _is_over(record, failures.get(pod_interface), now=now, is_heard=is_heard):
                found[interface.name] = Superseded.UNDER_WAY
    return found


def over_at(record: InterfaceOperation | None) -> datetime | None:
    """When the controller is assumed to have stopped processing the request; None if unknown."""
    if record is None or not _was_asked(record):
        return None
    return max(record.last_attempt_time or record.start_time, record.last_transition_time) + RELEASE_PATIENCE


def _may_differ(interface: Interface, pod_interface: str, *, vmi: VirtualMachineInstance) -> bool:
    """True if it can be requested again: it is not absent, and was not plugged into the guest."""
    return (
        may_be_plugged(interface)
        and is_hashed_name(pod_interface)
        and not has_go_ahead(vmi.status.interfaces.get(interface.name))
    )


def _asks_otherwise(existing: Element, interface: Interface, network: Network, *, vmi: VirtualMachineInstance) -> bool:
    """True if the element has another network, or another MAC address than the spec names."""
    wanted = element_of(interface=interface, network=network, pod_interface="", namespace=vmi.key.namespace)
    members = ("name", "namespace", "mac") if "mac" in wanted else ("name", "namespace")
    return any((existing.get(member) or "") != wanted[member] for member in members)


def _is_of_the_vm(existing: Element, present: str, *, vmi: VirtualMachineInstance, access: AttachmentAccess) -> bool:
    """True if the VM may use the network that the pod has: otherwise nicplug did not request it."""
    namespace = vmi.key.namespace
    asked = AttachmentKey(text(existing.get("namespace")) or namespace, text(existing.get("name")))
    keys = [asked, *([AttachmentKey(*split_attachment(present, namespace=namespace))] if present else [])]
    return all(access.allows(key, namespace=namespace) for key in keys)


def _was_asked(record: InterfaceOperation | None) -> bool:
    return record is not None and record.operation == OperationType.PLUG and record.attempts > 0


def was_just_asked(record: InterfaceOperation | None, *, vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """True if this pod was requested for this generation: a differing element can only be another writer's."""
    return (
        record is not None
        and record.operation == OperationType.PLUG
        and record.last_attempt_time is not None
        and record.observed_generation == vmi.generation
        and not _asked_another_pod(record.last_attempt_time, vmi=vmi, pod=pod)
    )


def _asked_another_pod(asked_at: datetime, *, vmi: VirtualMachineInstance, pod: LauncherPod) -> bool:
    """True if the guest has moved to this pod since: its elements are those that it was created with.

    Also if that is uncertain, as the end of a migration has whole seconds.
    """
    state = vmi.migration_state
    if not state.completed or state.ended_at is None or state.target_pod != pod.key.name:
        return False
    return asked_at < state.ended_at + _RESOLUTION


def _is_over(record: InterfaceOperation | None, failure: PodFailure | None, *, now: datetime, is_heard: bool) -> bool:
    """True if the controller has reported a failure, or has been silent for long, or does not exist.

    A missing controller counts only after a while: a new one starts working before its pod is observed here.
    """
    if record is None or (over := over_at(record)) is None:
        return not is_heard
    asked_at = record.last_attempt_time or record.start_time
    return now >= over or (failure is not None and failure.heard_at >= asked_at)
