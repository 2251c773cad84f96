"""Where a NIC that is asked for is, and what keeps it from the guest.

Pure, and one NIC at a time; the checks run in the order of `PLUG_CHECKS`.
"""

from nicplug.model.interface_status import MULTUS_STATUS, has_source
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, KNOWN_STATES, Binding
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.plan.nic.change_findings import find_change
from nicplug.plan.nic.findings import (
    Check,
    Finding,
    Situation,
    annotation_is_unreadable,
    api_server_refuses,
    first_finding,
    gate_is_off,
    network_status_is_unreadable,
)
from nicplug.plan.nic.validation import refuse
from nicplug.plan.reasons import Reason


def find_plug(situation: Situation) -> Finding | None:
    """What is to be said of a NIC that shall be in the guest; None for one that was born there."""
    if not situation.in_guest:
        return first_finding(PLUG_CHECKS, situation)
    if changed := find_change(situation) or state_is_unknown(situation):
        return changed
    record = situation.record
    return _ready(situation) if record is not None and record.operation == OperationType.PLUG else None


def state_is_unknown(situation: Situation) -> Finding | None:
    """It counts as up, so the NIC is served; but what was meant is not what is."""
    state = situation.interface.state
    if state in KNOWN_STATES:
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.INVALID_STATE,
        f"logical {situation.interface.name} interface state value is unsupported: {state[:40]}. "
        "It counts as up: write up, down or absent, or leave it out",
    )


def binding_cannot_follow(situation: Situation) -> Finding | None:
    """Only bridge NICs can be plugged in place, and SR-IOV ones by a migration."""
    interface = situation.interface
    if interface.binding is Binding.SRIOV:
        return situation.finding(
            OperationPath.MIGRATION,
            OperationPhase.PENDING,
            Reason.BINDING_NEEDS_MIGRATION,
            "an SR-IOV device is given to a pod only when the pod is made: migrate or restart the VM",
        )
    if interface.binding in HOTPLUGGABLE_BINDINGS:
        return None
    binding = f"of binding {interface.binding}" if interface.binding else "without a binding"
    return situation.finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.BINDING_NEEDS_RESTART,
        f"an interface {binding} cannot be plugged into a running VM: restart the VM, or use bridge",
    )


def nic_is_invalid(situation: Situation) -> Finding | None:
    """What is wrong in the spec never reaches the pod."""
    refusal = refuse(situation.interface, situation.network, situation.siblings)
    if refusal is None:
        return None
    return situation.finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason(refusal.reason), refusal.message)


def network_is_not_secondary(situation: Situation) -> Finding | None:
    """A pod gets its primary network only when it is made."""
    if situation.network is None or situation.network.is_secondary:
        return None
    return situation.finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.NETWORK_NEEDS_RESTART,
        "only secondary (Multus) networks can be plugged into a running VM: restart the VM",
    )


def pod_has_it(situation: Situation) -> Finding | None:
    """The pod interface is there; the node agent is next."""
    if not has_source(situation.row, MULTUS_STATUS):
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.IN_POD,
        Reason.WAITING_FOR_GUEST,
        f"{situation.pod_phrase} has the interface; waiting for the node agent to plug it into the guest",
    )


def pod_must_not_be_asked(situation: Situation) -> Finding | None:
    """The network cannot be attached, or the annotation has no place for it."""
    refusal = situation.annotation.withheld.get(situation.interface.name)
    if refusal is None:
        return None
    return situation.finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason(refusal.reason), refusal.message)


def attaching_fails(situation: Situation) -> Finding | None:
    """The dynamic networks controller said so, or has not answered for long."""
    attempts = situation.attempts
    if attempts is None or not (attempts.error or attempts.has_failed):
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.FAILED if attempts.has_failed else OperationPhase.PENDING,
        Reason.ATTACH_FAILED,
        f"the dynamic networks controller on {situation.node_phrase} has not attached {situation.network_phrase} to "
        f"{situation.pod_phrase}: {situation.attempts_phrase}",
    )


def pod_was_asked(situation: Situation) -> Finding | None:
    """The element is in the annotation; the dynamic networks controller is next."""
    if situation.interface.name not in situation.annotation.attachments:
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.PENDING,
        Reason.WAITING_FOR_POD_INTERFACE,
        f"waiting for the dynamic networks controller on {situation.node_phrase} to attach "
        f"{situation.network_phrase} to {situation.pod_phrase}{_queue(situation)}; the events of the pod tell what "
        "it tried: if there are none, it does not run there",
    )


def pod_is_not_asked_yet(situation: Situation) -> Finding:
    """Nothing is wrong, and nothing could be asked: the pod is not there or not ready."""
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.PENDING,
        Reason.WAITING_FOR_LAUNCHER_POD,
        f"{situation.pod_phrase} is not ready; it is asked for the interface when it is",
    )


def _ready(situation: Situation) -> Finding:
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.READY,
        Reason.ATTACHED,
        f"{situation.network_phrase} is in the guest through {situation.pod_phrase}",
    )


def _queue(situation: Situation) -> str:
    first = situation.annotation.first_waiting
    if first == situation.interface.name:
        return ""
    return f', after NIC "{first}", which holds up all behind it while it fails'


PLUG_CHECKS: tuple[Check, ...] = (
    gate_is_off,
    nic_is_invalid,
    binding_cannot_follow,
    network_is_not_secondary,
    annotation_is_unreadable,
    api_server_refuses,
    pod_must_not_be_asked,
    pod_has_it,
    network_status_is_unreadable,
    attaching_fails,
    pod_was_asked,
    pod_is_not_asked_yet,
)
