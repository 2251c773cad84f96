"""The present state of one NIC, and the operation that its entries in VMI and template request."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, InterfaceRow, has_source
from nicplug.model.networks import Interface, Network, first_by_name, wanted_by_name
from nicplug.model.operations import (
    InterfaceOperation,
    MigrationFailures,
    OperationPath,
    OperationPhase,
    OperationType,
    shortened,
)
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.annotation import AnnotationDecision
from nicplug.plan.nic.attachments import refuse_hotplug
from nicplug.plan.nic.attempts import Attempts
from nicplug.plan.nic.observed import MigrationInProgress
from nicplug.plan.nic.path.paths_of_vmi import Chooser, Chosen
from nicplug.plan.nic.rollback import is_rolled_back
from nicplug.plan.nic.spec_checks import Siblings
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal, VmiView

# A finding comes from an ordered tuple of checks (`plug`, `unplug`, `change`): one check, one reason, one
# message, and the first finding wins. This module has their common terms, and the checks that they share. It knows
# nothing of records: `plan.nic.records` compares findings with them.

WHEN_REFUSED = (
    "Correct what the API server names, or give the operator the right that it lacks: `nicplug doctor` names it"
)
"""Remedy for a rejected write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The state of one operation now, before it is compared with its record.

    Attributes:
        message: state and cause, for users.
        remedy: what a user or admin can do; "" if nothing is to be done.
        next_attempt: when the pod request or the migration is retried; None if only a change helps, or nothing has
            failed.
        wants_migration: a migration is to be created for it, or, if in progress, to continue.
        change: its fingerprint, for that migration; "" when none is wanted.
        failures: the failed migrations for it; None if they were not counted.
        migration: name of the one in progress for it; "" when none is.
        waiting_since: since when the dynamic path is tried; None when it is not.
        again_at: when the finding changes without any other event; None when only a change can alter it.
        why_moved: for an event, why the VM is migrated and by which migration, without its present obstacle, which may
            be over by then. "" if the message says nothing else.
        lost_by_pod: stored in the record, like `rollback_cause`.
    """

    operation: OperationType
    path: OperationPath
    phase: OperationPhase
    reason: Reason
    message: str
    remedy: str = ""
    next_attempt: datetime | None = None
    wants_migration: bool = False
    change: str = ""
    failures: MigrationFailures | None = None
    migration: str = ""
    waiting_since: datetime | None = None
    again_at: datetime | None = None
    why_moved: str = ""
    lost_by_pod: str = ""
    rollback_cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All input of a check.

    Attributes:
        network: the network of the interface's name, in the VMI or, before it is there, in the template.
        siblings: all NICs of the VM, in the order of `in_precedence`.
        row: the NIC's row of `status.interfaces`, as it will be after this pass.
        annotation: the decision on the pod's annotation.
        chooser: chooses the path.
        in_progress: the migration in progress; None when there is none.
    """

    interface: Interface
    network: Network | None
    siblings: Siblings
    row: InterfaceRow | None
    annotation: AnnotationDecision
    chooser: Chooser
    in_progress: MigrationInProgress | None

    @property
    def view(self) -> VmiView:
        """The VMI, and everything that decisions about its NICs depend on."""
        return self.chooser.view

    @property
    def pod(self) -> LauncherPod | None:
        """The pod that runs the guest."""
        return self.chooser.pod

    @property
    def record(self) -> InterfaceOperation | None:
        """The record before this pass."""
        return self.chooser.records.get(self.interface.name)

    @property
    def reported_row(self) -> InterfaceRow | None:
        """The NIC's row of `status.interfaces` before this pass."""
        return self.view.vmi.status.interfaces.get(self.interface.name)

    @property
    def in_guest(self) -> bool:
        """True if the node agent reports the NIC in the guest."""
        return has_source(self.row, DOMAIN)

    @property
    def is_in_spec(self) -> bool:
        """True if the VMI itself requests it; a NIC of the template alone reaches it later, or never."""
        mine = first_by_name(self.view.vmi.interfaces).get(self.interface.name)
        return mine is not None and mine.is_absent == self.interface.is_absent

    @property
    def arrived_with(self) -> str:
        """The migration that plugged the NIC; "" if none did."""
        record, pod = self.record, self.pod
        if record is None or pod is None or record.path != OperationPath.MIGRATION:
            return ""
        state = self.view.vmi.migration_state
        return record.migration if state.target_pod == pod.key.name else ""

    @property
    def is_on_its_way(self) -> bool:
        """True if the target pod was created with the NIC, which the guest does not have yet."""
        in_progress = self.in_progress
        if self.in_guest or self.interface.is_absent or not self.reference:
            return False
        if in_progress is None:
            return bool(self.arrived_with) and has_source(self.row, MULTUS_STATUS)
        return in_progress.has_target and (in_progress.networks or {}).get(self.interface.name) == self.reference

    @property
    def operation(self) -> OperationType:
        """The operation that the spec requests; a check may name another one."""
        return OperationType.UNPLUG if self.interface.is_absent else OperationType.PLUG

    @property
    def attempts(self) -> Attempts | None:
        """Attempts at the requested change of the pod; None if none is pending."""
        return self.annotation.attempts.get(self.interface.name)

    @property
    def due_again(self) -> datetime | None:
        """When the next attempt is due; None before the first one. Unchanged until it is made."""
        return self.attempts.due_at if self.attempts is not None else None

    @property
    def next_attempt(self) -> datetime | None:
        """When the next attempt is due; None also while the first one may still succeed."""
        attempts = self.attempts
        return None if attempts is None or (attempts.count < 2 and not attempts.error) else attempts.due_at

    @property
    def reference(self) -> str:
        """The network's definition, `<namespace>/<name>`; "" if it has none."""
        network = self.network
        if network is None or not network.is_secondary:
            return ""
        return network.reference(namespace=self.view.vmi.key.namespace)

    @property
    def pod_phrase(self) -> str:
        """The pod, for a sentence."""
        return f"pod {self.pod.key.name}" if self.pod is not None else "the launcher pod"

    @property
    def node_phrase(self) -> str:
        """The node, for a sentence."""
        return f"node {self.pod.node_name}" if self.pod is not None and self.pod.node_name else "the node"

    @property
    def network_phrase(self) -> str:
        """The network, for a sentence."""
        network = self.network
        return f"network {network.attachment}" if network is not None and network.attachment else "the network"

    def choose(self) -> Chosen:
        """Choose the path of the requested operation."""
        return self.chooser.choose(operation=self.operation, interface=self.interface, network=self.network)

    def finding(
        self, path: OperationPath, phase: OperationPhase, reason: Reason, message: str, remedy: str = ""
    ) -> Finding:
        """Return a finding about the requested operation."""
        return Finding(operation=self.operation, path=path, phase=phase, reason=reason, message=message, remedy=remedy)

    def needs_restart(self, reason: Reason, message: str, remedy: str = "Restart the VM") -> Finding:
        """Return a finding that only a restart of the VM carries the request out."""
        return self.finding(OperationPath.RESTART, OperationPhase.BLOCKED, reason, message, remedy)

    def blocked(self, refusal: Refusal) -> Finding:
        """Return a finding that nothing can be requested from a pod until something changes."""
        return self.finding(
            OperationPath.NONE, OperationPhase.BLOCKED, Reason(refusal.reason), refusal.message, refusal.remedy
        )


Check = Callable[[Situation], Finding | None]


def gate_is_off(situation: Situation) -> Finding | None:
    """Find that hot-plug is not enabled. Operations in progress when the gate is removed still complete."""
    view = situation.view
    if situation.is_on_its_way:
        return None
    refusal = refuse_hotplug(view.config, kubevirt_namespace=view.settings.kubevirt_namespace)
    return situation.blocked(refusal) if refusal is not None else None


def api_server_refuses(situation: Situation) -> Finding | None:
    """Find a rejected write for this VMI, or for its VM."""
    denied = situation.view.refusal or situation.view.vm_refusal
    if denied is None:
        return None
    message, remedy = f"the API server refused it; retrying: {denied.message}", denied.remedy or WHEN_REFUSED
    return situation.finding(OperationPath.DYNAMIC, OperationPhase.FAILED, Reason(denied.reason), message, remedy)


def network_status_is_unreadable(situation: Situation) -> Finding | None:
    """Find an unreadable network-status: the pod's interfaces are unknown, and the previous state is kept."""
    pod = situation.pod
    if pod is None or not pod.network_status.problem:
        return None
    return situation.finding(
        OperationPath.DYNAMIC,
        OperationPhase.PENDING,
        Reason.NETWORK_STATUS_UNREADABLE,
        f"annotation k8s.v1.cni.cncf.io/network-status of {situation.pod_phrase} tells nothing "
        f"({pod.network_status.problem[:120]})",
        f"If it stays so while Multus runs on {situation.node_phrase}, restart the VM",
    )


def annotation_is_unreadable(situation: Situation) -> Finding | None:
    """Find an unreadable annotation, which nicplug does not overwrite.

    Nor is it replaced by an empty list, which would detach NICs that the guest uses.
    """
    if not situation.annotation.unreadable:
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.ANNOTATION_UNREADABLE,
        f"annotation k8s.v1.cni.cncf.io/networks of {situation.pod_phrase} was edited and cannot be read "
        f"({situation.annotation.unreadable})",
        "Make it a JSON list of networks, or names with commas between them, again; or migrate or restart the VM, "
        "whose new pod gets a new one. Emptied, it detaches every NIC",
    )


# Errors in the lists of a spec: a duplicate name, a name in only one list, or a deleted entry.
#
# KubeVirt's admission rejects such objects; nicplug has no webhook, so it has to handle them.


def name_is_doubled(situation: Situation) -> Finding | None:
    """Find a duplicate name: only the first entry is used, as it is unknown which one was meant."""
    name = situation.interface.name
    if _name_counts(situation.view.vmi)[name] < 2:
        return None
    message = f'two interfaces are named "{shortened(name)}": the first is served'
    return situation.blocked(
        Refusal(reason=Reason.DUPLICATE_NAME, message=message, remedy="Rename or remove the other")
    )


def interface_is_missing(situation: Situation) -> Finding | None:
    """Find a network that no interface names."""
    name = situation.interface.name
    vm, is_in_spec = situation.view.vm, name in first_by_name(situation.view.vmi.networks)
    is_in_template = vm is not None and not is_in_spec and name in first_by_name(vm.interfaces)
    if situation.network is None or _has_interface(situation) or is_in_template:
        return None
    interfaces = "domain.devices.interfaces"
    where = f"spec.{interfaces}" if is_in_spec else f"spec.template.spec.{interfaces} of the VM"
    lacks = f'{where} has no interface named "{shortened(name)}"'
    if situation.in_guest:
        message = f"the guest still has the NIC, and {lacks}"
        remedy = "Add it, with state: absent if the NIC is to leave; or remove the network, and restart the VM"
    else:
        message, remedy = lacks, "Add it, or remove the network"
    return situation.finding(OperationPath.NONE, OperationPhase.BLOCKED, Reason.NO_INTERFACE, message, remedy)


def entry_was_deleted(situation: Situation) -> Finding | None:
    """Find a deleted entry: node agents unplug NICs that are absent, not missing ones; KubeVirt ignores it, too."""
    name = situation.interface.name
    if not situation.in_guest or _has_interface(situation):
        return None
    return situation.needs_restart(
        Reason.ENTRY_DELETED,
        f'the guest still has the NIC, as the entries of "{shortened(name)}" were deleted without asking it to let go',
        "Write them back with state: absent, and they go when the NIC has left; or restart the VM",
    )


def _has_interface(situation: Situation) -> bool:
    """True if an interface has the name; an absent one of the template does not count for the VMI's."""
    vm, name = situation.view.vm, situation.interface.name
    return name in first_by_name(situation.view.vmi.interfaces) or (
        vm is not None and name in wanted_by_name(vm.interfaces)
    )


@once_per_pass
def _name_counts(vmi: VirtualMachineInstance) -> Mapping[str, int]:
    return Counter(item.name for item in vmi.interfaces)


SPEC_CHECKS: tuple[Check, ...] = (name_is_doubled, interface_is_missing, entry_was_deleted)


# Changes of a VM's template that `vmRolloutStrategy: Stage` defers until a restart; reported for each NIC.
#
# This concerns only the template: a change of the VMI itself is no change of the VM, and is applied live.


def plug_is_staged(situation: Situation) -> Finding | None:
    """Find a NIC that only the template has."""
    if not keeps_from_vmi(situation) or _of_vmi(situation) is not None:
        return None
    return staged(situation, OperationType.PLUG, "the NIC")


def unplug_is_staged(situation: Situation) -> Finding | None:
    """Find an unplug that the VMI does not request."""
    mine = _of_vmi(situation)
    if not keeps_from_vmi(situation) or mine is None or mine.is_absent:
        return None
    return staged(situation, OperationType.UNPLUG, "the NIC to go")


def keeps_from_vmi(situation: Situation) -> bool:
    """True if the template's change of the NIC does not reach the VMI: it is staged, or rolled back."""
    view = situation.view
    if view.config is None or not view.config.stages_changes:
        return False
    return not (view.keeps_rollbacks and is_rolled_back(situation.interface.name, vm=view.vm, vmi=view.vmi))


def staged(situation: Situation, operation: OperationType, wish: str) -> Finding:
    """Return the finding about a staged change.

    Args:
        wish: the change that the template requests.
    """
    config = situation.view.config
    where = f"KubeVirt CR {config.key}" if config is not None else "the KubeVirt CR"
    return Finding(
        operation=operation,
        path=OperationPath.RESTART,
        phase=OperationPhase.BLOCKED,
        reason=Reason.ROLLOUT_STRATEGY_STAGE,
        message=f"the VM's template asks for {wish}, and spec.configuration.vmRolloutStrategy of {where} is Stage",
        remedy="Restart the VM, or set it to LiveUpdate",
    )


def _of_vmi(situation: Situation) -> Interface | None:
    return first_by_name(situation.view.vmi.interfaces).get(situation.interface.name)
