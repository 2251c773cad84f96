"""The record of each NIC: where it is, which path it takes, why, and what comes next.

A failing NIC is never invisible: whatever is asked for and not yet in the guest, or to go and not
yet gone, has a record. NICs that the guest was born with have none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source
from nicplug.model.networks import ABSENT, HOTPLUGGABLE_BINDINGS, Binding, Interface, Network
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.plan.annotation import AnnotationDecision, Rows
from nicplug.plan.reasons import Reason
from nicplug.plan.template_sync import has_ordinal_names, may_be_unplugged
from nicplug.plan.validation import refuse
from nicplug.plan.views import VmiView

Records = Mapping[str, InterfaceOperation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is true of one operation now, before it is compared with its record."""

    path: OperationPath
    phase: OperationPhase
    reason: Reason
    message: str


def plan_operations(
    *,
    view: VmiView,
    pod: LauncherPod | None,
    rows: Rows,
    annotation: AnnotationDecision,
    records: Records,
    now: datetime,
) -> list[InterfaceOperation]:
    """All records as they shall be, in spec order.

    Args:
        rows: `status.interfaces` by name, as they will be after this pass.
        records: the records as they are.
    """
    networks = {network.name: network for network in (*_template_networks(view), *view.vmi.networks)}
    primary = {network.name for network in view.vmi.networks if not network.is_secondary}
    wanted = []
    for interface in (*_as_the_template_asks(view), *_only_in_template(view)):
        if interface.name in primary and not interface.is_absent:
            continue
        network = networks.get(interface.name)
        context = _Context(view=view, pod=pod, row=rows.get(interface.name), annotation=annotation)
        finding = _find(context, interface=interface, network=network, record=records.get(interface.name))
        if finding is not None:
            type_ = _operation_type(interface, finding)
            wanted.append(_record(interface.name, type_, finding, records=records, context=context, now=now))
    return wanted


def _operation_type(interface: Interface, finding: Finding) -> OperationType:
    if interface.is_absent:
        return OperationType.UNPLUG
    is_change = finding.reason is Reason.NETWORK_CHANGE_NEEDS_RESTART
    return OperationType.CHANGE_NETWORK if is_change else OperationType.PLUG


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    view: VmiView
    pod: LauncherPod | None
    row: Mapping[str, Any] | None
    annotation: AnnotationDecision


def _as_the_template_asks(view: VmiView) -> tuple[Interface, ...]:
    """The VMI's NICs, those absent that the template wants gone: what keeps the wish from the VMI has to be told."""
    template = view.vm.interfaces if view.vm is not None else ()
    leaving = {interface.name for interface in template if interface.is_absent}
    return tuple(item.with_state(ABSENT) if item.name in leaving else item for item in view.vmi.interfaces)


def _only_in_template(view: VmiView) -> tuple[Interface, ...]:
    """NICs that the user wrote and that have not reached, or will never reach, the running VMI."""
    if view.vm is None:
        return ()
    present = {interface.name for interface in view.vmi.interfaces}
    return tuple(item for item in view.vm.interfaces if item.name not in present and not item.is_absent)


def _template_networks(view: VmiView) -> tuple[Network, ...]:
    return view.vm.networks if view.vm is not None else ()


def _find(
    context: _Context, *, interface: Interface, network: Network | None, record: InterfaceOperation | None
) -> Finding | None:
    in_guest = has_source(context.row, DOMAIN)
    if interface.is_absent:
        return _find_unplug(context, interface=interface, in_guest=in_guest)
    if in_guest and (changed := _network_change(context, interface=interface, network=network)):
        return changed
    if in_guest:
        plugged = record is not None and record.operation == OperationType.PLUG
        return _ready(context, interface, network) if plugged else None
    return _find_plug(context, interface=interface, network=network)


def _network_change(context: _Context, *, interface: Interface, network: Network | None) -> Finding | None:
    """The spec names another network than the pod was asked for; its element is never rewritten under a guest."""
    asked = context.annotation.attachments.get(interface.name)
    if asked is None or network is None:
        return None
    wanted = "/".join(network.attachment_reference(namespace=context.view.vmi.key.namespace))
    if asked == wanted:
        return None
    return _finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.NETWORK_CHANGE_NEEDS_RESTART,
        f"{_pod(context)} has network {asked}, the spec asks for {wanted}: "
        "unplug the NIC and plug it again, or restart the VM",
    )


def _find_plug(context: _Context, *, interface: Interface, network: Network | None) -> Finding:
    blocked = _gate_finding(context.view) or _binding_finding(interface)
    if blocked is not None:
        return blocked
    if refusal := refuse(interface, network):
        return _finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason(refusal.reason), refusal.message)
    if network is not None and not network.is_secondary:
        return _finding(
            OperationPath.RESTART,
            OperationPhase.BLOCKED,
            Reason.NETWORK_NEEDS_RESTART,
            "only secondary (Multus) networks can be plugged into a running VM: restart the VM",
        )
    if context.annotation.unreadable:
        return _annotation_finding(context)
    if denied := _denied_finding(context.view):
        return denied
    if has_source(context.row, MULTUS_STATUS):
        return _finding(
            OperationPath.DYNAMIC,
            OperationPhase.IN_POD,
            Reason.WAITING_FOR_GUEST,
            f"{_pod(context)} has the interface; waiting for the node agent to plug it into the guest",
        )
    if interface.name in context.annotation.attachments:
        return _finding(
            OperationPath.DYNAMIC,
            OperationPhase.PENDING,
            Reason.WAITING_FOR_POD_INTERFACE,
            f"waiting for the dynamic networks controller on {_node(context)} to attach "
            f"{_attachment(network)} to {_pod(context)}{_queue(context, interface)}; the events of the pod tell what "
            "it tried: if there are none, it does not run there",
        )
    return _finding(
        OperationPath.DYNAMIC,
        OperationPhase.PENDING,
        Reason.WAITING_FOR_LAUNCHER_POD,
        f"{_pod(context)} is not ready; it is asked for the interface when it is",
    )


def _find_unplug(context: _Context, *, interface: Interface, in_guest: bool) -> Finding | None:
    if context.row is None:
        return None
    if blocked := _gate_finding(context.view):
        return blocked
    if not may_be_unplugged(interface, vmi=context.view.vmi):
        return _finding(
            OperationPath.RESTART,
            OperationPhase.BLOCKED,
            Reason.UNPLUG_NEEDS_RESTART,
            "only a bridge interface of a secondary (Multus) network can leave a running VM: restart the VM",
        )
    if has_ordinal_names(context.view.vmi):
        return _finding(
            OperationPath.RESTART,
            OperationPhase.BLOCKED,
            Reason.ORDINAL_INTERFACE_NAMES,
            f"{_pod(context)} names its interfaces net1, net2, ...: restart the VM to remove the NIC",
        )
    if denied := _denied_finding(context.view):
        return denied
    if in_guest:
        return _finding(
            OperationPath.DYNAMIC,
            OperationPhase.IN_GUEST,
            Reason.WAITING_FOR_GUEST_RELEASE,
            "asked the guest to let the NIC go; a guest that is booting or halted answers later",
        )
    if context.annotation.unreadable:
        return _annotation_finding(context)
    return _finding(
        OperationPath.DYNAMIC,
        OperationPhase.IN_POD,
        Reason.WAITING_FOR_POD_RELEASE,
        f"the guest has let the NIC go; waiting for {_node(context)} to detach it from {_pod(context)}",
    )


def _denied_finding(view: VmiView) -> Finding | None:
    denied = view.refusal or view.vm_refusal
    if denied is None:
        return None
    message = f"the API server refused it and is asked again: {denied.message}"
    return _finding(OperationPath.DYNAMIC, OperationPhase.FAILED, Reason(denied.reason), message)


def _gate_finding(view: VmiView) -> Finding | None:
    if view.hotplug_enabled:
        return None
    line = 'add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates of the KubeVirt CR'
    if view.config is None:
        reason, where = Reason.KUBEVIRT_CR_MISSING, "there is no KubeVirt CR: create one (kind KubeVirt) and"
    else:
        reason, where = Reason.FEATURE_GATE_DISABLED, f"hot-plug is off in KubeVirt CR {view.config.key}:"
        if "HotplugNICs" in view.config.disabled_feature_gates:
            line = 'remove "HotplugNICs" from its developerConfiguration.disabledFeatureGates, and ' + line
    return _finding(OperationPath.NONE, OperationPhase.BLOCKED, reason, f"{where} {line}")


def _binding_finding(interface: Interface) -> Finding | None:
    if interface.binding is Binding.SRIOV:
        return _finding(
            OperationPath.MIGRATION,
            OperationPhase.PENDING,
            Reason.BINDING_NEEDS_MIGRATION,
            "an SR-IOV device is given to a pod only when the pod is made: migrate or restart the VM",
        )
    if interface.binding in HOTPLUGGABLE_BINDINGS:
        return None
    binding = interface.binding or "without a binding"
    return _finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.BINDING_NEEDS_RESTART,
        f"an interface of binding {binding} cannot be plugged into a running VM: restart the VM, or use bridge",
    )


def _annotation_finding(context: _Context) -> Finding:
    return _finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.ANNOTATION_UNREADABLE,
        f"annotation k8s.v1.cni.cncf.io/networks of {_pod(context)} was edited and cannot be read "
        f"({context.annotation.unreadable}): correct it, or set it to []",
    )


def _ready(context: _Context, interface: Interface, network: Network | None) -> Finding:
    return _finding(
        OperationPath.DYNAMIC,
        OperationPhase.READY,
        Reason.ATTACHED,
        f"{_attachment(network)} is in the guest through {_pod(context)}",
    )


def _finding(path: OperationPath, phase: OperationPhase, reason: Reason, message: str) -> Finding:
    return Finding(path=path, phase=phase, reason=reason, message=message)


def _record(
    name: str,
    type_: OperationType,
    finding: Finding,
    *,
    records: Records,
    context: _Context,
    now: datetime,
) -> InterfaceOperation:
    old = records.get(name)
    fresh = InterfaceOperation(
        name=name,
        operation=type_,
        path=finding.path,
        phase=finding.phase,
        reason=finding.reason,
        message=finding.message,
        attempts=int(_was_asked(name, type_, finding, context)),
        start_time=_requested_at(name, context.view, now=now),
        last_transition_time=now,
    )
    if old is None or old.operation != type_:
        return fresh
    fresh = replace(fresh, start_time=old.start_time, attempts=max(old.attempts, fresh.attempts))
    if finding.phase is OperationPhase.READY:
        fresh = replace(fresh, path=old.path)
    return replace(fresh, last_transition_time=old.last_transition_time) if old.phase == fresh.phase else fresh


def _requested_at(name: str, view: VmiView, *, now: datetime) -> datetime:
    """When the VMI's spec was first seen with it; a NIC that is only in the template has just been noticed."""
    in_spec = any(interface.name == name for interface in view.vmi.interfaces)
    return min(view.spec_seen_at, now) if in_spec else now


def _queue(context: _Context, interface: Interface) -> str:
    first = context.annotation.first_waiting
    return f', after NIC "{first}", which holds up all behind it while it fails' if first != interface.name else ""


def _was_asked(name: str, type_: OperationType, finding: Finding, context: _Context) -> bool:
    """The pod, or for an unplug the guest, has been asked for the change."""
    if type_ is OperationType.UNPLUG:
        return finding.phase is not OperationPhase.BLOCKED
    return name in context.annotation.attachments


def _pod(context: _Context) -> str:
    return f"pod {context.pod.key.name}" if context.pod is not None else "the launcher pod"


def _node(context: _Context) -> str:
    return f"node {context.pod.node_name}" if context.pod is not None and context.pod.node_name else "the node"


def _attachment(network: Network | None) -> str:
    return f"network {network.attachment}" if network is not None and network.attachment else "the network"


def unsettled(operations: Iterable[InterfaceOperation]) -> tuple[InterfaceOperation, ...]:
    """The records that keep a VMI from being `InterfacesReady`."""
    return tuple(operation for operation in operations if operation.phase != OperationPhase.READY)
