"""The state of one NIC now, and what its entries in VMI and template ask for."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.interface_status import DOMAIN, MULTUS_STATUS, has_source
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

# What is true of one NIC now: by which path it comes or goes, how far it is, and why.
#
# A finding comes from an ordered tuple of checks (`plug`, `unplug`, `change`): one check, one reason, one
# message, and the first that has something to say wins. Here are their common terms, and the checks that they
# share. Knows nothing of records: `plan.nic.records` compares findings with them.

WHEN_REFUSED = (
    "Correct what the API server names, or give the operator the right that it lacks: `nicplug doctor` names it"
)
"""The remedy where a write was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The state of one operation now, before it is compared with its record.

    Attributes:
        message: what is and why.
        remedy: what a person can do; "" when nothing is to be done.
        next_attempt: when the pod is asked again, or a migration is made again; None when only a change helps, or
            nothing was tried in vain.
        wants_migration: a migration is to be made for it, or, being under way, to go on.
        is_rolled_back: nothing more is tried, and what works is to be restored, or has been.
        change: its fingerprint, for that migration; "" when none is wanted.
        failures: the migrations that were made for it in vain; None when nobody looked.
        migration: name of the one that is under way for it; "" when none is.
        waiting_since: since when the dynamic path is tried; None when it is not.
        again_at: when time alone will have changed this; None when only a change can.
        why_moved: for an event, why the VM is migrated and by which migration, without what that waits for now: its
            state of a moment ago may have ended. "" when the message says nothing else.
        lost_by_pod: for the record, as is `rollback_cause`.
    """

    operation: OperationType
    path: OperationPath
    phase: OperationPhase
    reason: Reason
    message: str
    remedy: str = ""
    next_attempt: datetime | None = None
    wants_migration: bool = False
    is_rolled_back: bool = False
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
    """Everything that a check may look at.

    Attributes:
        network: of the interface's name, in the VMI or, before it is there, in the template.
        siblings: all NICs of the VM, in the order of `in_precedence`.
        pod: the pod that runs the guest.
        row: the NIC's row of `status.interfaces`, as it will be after this pass.
        annotation: what the pod is asked for.
        chooser: chooses the path.
        in_progress: the migration that is under way; None when there is none.
        record: as it was before this pass.
    """

    view: VmiView
    interface: Interface
    network: Network | None
    siblings: Siblings
    pod: LauncherPod | None
    row: Mapping[str, Any] | None
    annotation: AnnotationDecision
    chooser: Chooser
    in_progress: MigrationInProgress | None
    record: InterfaceOperation | None

    @property
    def in_guest(self) -> bool:
        """The node agent has seen the NIC in the guest."""
        return has_source(self.row, DOMAIN)

    @property
    def is_in_spec(self) -> bool:
        """The VMI itself asks for it; what only the template asks for reaches it a moment later, or never."""
        return (self.interface.name, self.interface.is_absent) in _asked_for(self.view.vmi)

    @property
    def arrived_with(self) -> str:
        """The migration that the NIC came with; "" when it came in another way."""
        record, pod = self.record, self.pod
        if record is None or pod is None or record.path != OperationPath.MIGRATION:
            return ""
        state = self.view.vmi.migration_state
        return record.migration if state.target_pod == pod.key.name else ""

    @property
    def is_on_its_way(self) -> bool:
        """The pod that the VM moves or has just moved to was made with the NIC, which the guest has not got yet."""
        in_progress = self.in_progress
        if self.in_guest or self.interface.is_absent or not self.reference:
            return False
        if in_progress is None:
            return bool(self.arrived_with) and has_source(self.row, MULTUS_STATUS)
        return in_progress.has_target and (in_progress.networks or {}).get(self.interface.name) == self.reference

    @property
    def operation(self) -> OperationType:
        """The operation that the spec asks for, unless a check knows better."""
        return OperationType.UNPLUG if self.interface.is_absent else OperationType.PLUG

    @property
    def attempts(self) -> Attempts | None:
        """At bringing about what the pod is asked for; None when nothing is waited for."""
        return self.annotation.attempts.get(self.interface.name)

    @property
    def due_again(self) -> datetime | None:
        """When the pod is asked again; None before the first time. Stays the same until it has been."""
        return self.attempts.due_at if self.attempts is not None else None

    @property
    def next_attempt(self) -> datetime | None:
        """When the pod is asked again; None also while the first attempt may still succeed."""
        attempts = self.attempts
        return None if attempts is None or (attempts.count < 2 and not attempts.error) else attempts.due_at

    @property
    def reference(self) -> str:
        """The network's definition, `<namespace>/<name>`; "" for none."""
        network = self.network
        if network is None or not network.is_secondary:
            return ""
        return "/".join(network.attachment_reference(namespace=self.view.vmi.key.namespace))

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
        """The path of what the spec asks for."""
        return self.chooser.choose(operation=self.operation, interface=self.interface, network=self.network)

    def finding(
        self, path: OperationPath, phase: OperationPhase, reason: Reason, message: str, remedy: str = ""
    ) -> Finding:
        """A finding about what the spec asks for."""
        return Finding(operation=self.operation, path=path, phase=phase, reason=reason, message=message, remedy=remedy)

    def blocked(self, refusal: Refusal) -> Finding:
        """It never reaches a pod as things are."""
        return self.finding(
            OperationPath.NONE, OperationPhase.BLOCKED, Reason(refusal.reason), refusal.message, refusal.remedy
        )


@once_per_pass
def _asked_for(vmi: VirtualMachineInstance) -> frozenset[tuple[str, bool]]:
    return frozenset((item.name, item.is_absent) for item in vmi.interfaces)


Check = Callable[[Situation], Finding | None]


def gate_is_off(situation: Situation) -> Finding | None:
    """Hot-plug is not enabled. What is on its way when the gate is removed still arrives."""
    view = situation.view
    if situation.is_on_its_way:
        return None
    refusal = refuse_hotplug(view.config, kubevirt_namespace=view.settings.kubevirt_namespace)
    return situation.blocked(refusal) if refusal is not None else None


def api_server_refuses(situation: Situation) -> Finding | None:
    """A write for this VMI, or for its VM, was refused."""
    denied = situation.view.refusal or situation.view.vm_refusal
    if denied is None:
        return None
    message = f"the API server refused it; retrying: {denied.message}"
    return situation.finding(OperationPath.DYNAMIC, OperationPhase.FAILED, Reason(denied.reason), message, WHEN_REFUSED)


def network_status_is_unreadable(situation: Situation) -> Finding | None:
    """The interfaces of the pod are unknown; what was known before is kept."""
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
    """Nothing is written over what a person has broken.

    Nor is a list without elements a way out: the NICs would be taken from under the guest.
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


# What is wrong with the lists of a spec as such: two of a name, a name in one list only, or one that was deleted.
#
# KubeVirt's admission refuses such objects; nicplug has no webhook, and meets them.


def name_is_doubled(situation: Situation) -> Finding | None:
    """The first one is served: which of two was meant, nobody can tell."""
    name = situation.interface.name
    if _name_counts(situation.view.vmi)[name] < 2:
        return None
    return situation.finding(
        OperationPath.NONE,
        OperationPhase.BLOCKED,
        Reason.DUPLICATE_NAME,
        f'two interfaces are named "{shortened(name)}": the first is served',
        "Rename or remove the other",
    )


def interface_is_missing(situation: Situation) -> Finding | None:
    """A network that no interface names goes nowhere."""
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
    """Node agents take out of a guest what is absent, not what is missing: KubeVirt's never notices either."""
    name = situation.interface.name
    if not situation.in_guest or _has_interface(situation):
        return None
    return situation.finding(
        OperationPath.RESTART,
        OperationPhase.BLOCKED,
        Reason.ENTRY_DELETED,
        f'the guest still has the NIC, as the entries of "{shortened(name)}" were deleted without asking it to let go',
        "Write them back with state: absent, and they go when the NIC has left; or restart the VM",
    )


def _has_interface(situation: Situation) -> bool:
    """One that the template wants gone says nothing about what became of the VMI's."""
    vm, name = situation.view.vm, situation.interface.name
    return name in first_by_name(situation.view.vmi.interfaces) or (
        vm is not None and name in wanted_by_name(vm.interfaces)
    )


@once_per_pass
def _name_counts(vmi: VirtualMachineInstance) -> Mapping[str, int]:
    return Counter(item.name for item in vmi.interfaces)


SPEC_CHECKS: tuple[Check, ...] = (name_is_doubled, interface_is_missing, entry_was_deleted)


# What a VM's template asks for, and `vmRolloutStrategy: Stage` keeps there until a restart: told for each NIC.
#
# Only of the template: what somebody asks of the VMI itself is no change of the VM, and goes its way.


def plug_is_staged(situation: Situation) -> Finding | None:
    """A NIC that the template alone has."""
    if not keeps_from_vmi(situation) or _of_vmi(situation) is not None:
        return None
    return staged(situation, OperationType.PLUG, "the NIC")


def unplug_is_staged(situation: Situation) -> Finding | None:
    """A NIC that the VMI does not let go."""
    mine = _of_vmi(situation)
    if not keeps_from_vmi(situation) or mine is None or mine.is_absent:
        return None
    return staged(situation, OperationType.UNPLUG, "the NIC to go")


def keeps_from_vmi(situation: Situation) -> bool:
    """True if the template's wish for the NIC does not reach the VMI: staged, or rolled back."""
    view = situation.view
    if view.config is None or not view.config.stages_changes:
        return False
    return not (view.keeps_rollbacks and is_rolled_back(situation.interface.name, vm=view.vm, vmi=view.vmi))


def staged(situation: Situation, operation: OperationType, wish: str) -> Finding:
    """The finding.

    Args:
        wish: what the template asks for.
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
