"""Says who has the next move, by reason, for users who ask why a NIC is not there."""

from collections.abc import Mapping
from enum import StrEnum

from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationPhase, needs_person
from nicplug.plan.reasons import Reason


class Mover(StrEnum):
    """Who must act next; `{node}` is the VM's, `{pod}` its launcher pod."""

    NOBODY = "nobody"
    OPERATOR = "nicplug"
    CONTROLLER = "the dynamic networks controller on node {node}"
    NODE_AGENT = "virt-handler on node {node}"
    GUEST = "the guest, which has to let the NIC go"
    SCHEDULER = "the scheduler and the kubelet of the target node"
    NODE_AGENTS = "virt-handler on the source and the target node"
    QUEUE = "other migrations, which were first"
    TIME = "the end of a back-off"
    OWNER = "the VM's owner"
    ADMIN = "the cluster admin"
    KUBEVIRT = "KubeVirt's virt-controller"
    INTRUDER = "the party that changes what nicplug writes"


_BY_MOVER: Mapping[Mover, tuple[Reason, ...]] = {
    Mover.NOBODY: (
        Reason.ATTACHED,
        Reason.ALL_INTERFACES_READY,
        Reason.LINK_SET,
        Reason.POD_INTERFACE_RESTORED,
        Reason.MIGRATION_SUCCEEDED,
        Reason.MIGRATION_CANCELED,
        Reason.VMI_FINAL,
    ),
    Mover.OPERATOR: (
        Reason.CREATING_TARGET_POD,
        Reason.TARGET_POD_REPLACED,
        Reason.AFTER_MIGRATION,
        Reason.CANCELING,
        Reason.FAILED_DELETE,
        Reason.FAILED_CHANGE_ABORTION,
        Reason.FAILED_UPDATE,
        Reason.FAILED_POD_PATCH,
        Reason.FAILED_GUARANTEE,
        Reason.FAILED_HAND_OVER,
        Reason.FAILED_ABORT,
        Reason.BINDING_NEEDS_MIGRATION,
        Reason.NETWORK_CHANGE_NEEDS_MIGRATION,
        Reason.DYNAMIC_PATH_NEVER,
        Reason.NO_DYNAMIC_CONTROLLER,
        Reason.MIGRATION_IN_FLIGHT,
        Reason.VMI_NOT_RUNNING,
    ),
    Mover.CONTROLLER: (
        Reason.WAITING_FOR_POD_INTERFACE,
        Reason.WAITING_FOR_POD_RELEASE,
        Reason.ATTACH_FAILED,
        Reason.DETACH_FAILED,
        Reason.POD_INTERFACE_LOST,
        Reason.DYNAMIC_CONTROLLER_NOT_READY,
        Reason.DYNAMIC_TIMEOUT,
    ),
    Mover.NODE_AGENT: (
        Reason.WAITING_FOR_GUEST,
        Reason.WAITING_FOR_LINK,
        Reason.NETWORK_STATUS_UNREADABLE,
        Reason.LINK_STATE_NOT_SUPPORTED,
    ),
    Mover.GUEST: (Reason.WAITING_FOR_GUEST_RELEASE,),
    Mover.SCHEDULER: (
        Reason.WAITING_FOR_LAUNCHER_POD,
        Reason.WAITING_FOR_TARGET_POD,
        Reason.TARGET_POD_CONTAINERS_NOT_READY,
        Reason.TARGET_POD_UNSCHEDULABLE,
        Reason.TARGET_POD_NOT_READY,
        Reason.TARGET_POD_LATE,
        Reason.TARGET_POD_SANDBOX_FAILED,
        Reason.TARGET_POD_LOST,
        Reason.POD_SANDBOX_FAILED,
        Reason.LAUNCHER_POD_LOST,
        Reason.NODE_LOST,
    ),
    Mover.NODE_AGENTS: (
        Reason.MIGRATING,
        Reason.FOREIGN_MIGRATION,
        Reason.PREPARING_TARGET,
        Reason.WAITING_FOR_SOURCE,
        Reason.COPYING,
        Reason.FINISHING_MIGRATION,
        Reason.MIGRATION_STATE_LOST,
    ),
    Mover.QUEUE: (Reason.WAITING_FOR_SLOT, Reason.NO_SLOT_IN_TIME, Reason.EVACUATION_FIRST),
    Mover.TIME: (Reason.MIGRATION_BACKOFF, Reason.MIGRATION_RATE_LIMITED, Reason.MIGRATION_FAILED),
    Mover.OWNER: (
        Reason.GUEST_NOT_RUNNING,
        Reason.BINDING_NEEDS_RESTART,
        Reason.NO_PCI_SLOT,
        Reason.NETWORK_NEEDS_RESTART,
        Reason.NETWORK_CHANGE_NEEDS_RESTART,
        Reason.UNPLUG_NEEDS_RESTART,
        Reason.ENTRY_DELETED,
        Reason.ROLLOUT_STRATEGY_STAGE,
        Reason.NO_NETWORK,
        Reason.INVALID_NAME,
        Reason.INVALID_MAC_ADDRESS,
        Reason.DUPLICATE_MAC_ADDRESS,
        Reason.DUPLICATE_NAME,
        Reason.NO_INTERFACE,
        Reason.INVALID_INTERFACE,
        Reason.INVALID_STATE,
        Reason.NOT_ADMITTED,
        Reason.INVALID_ATTACHMENT_REFERENCE,
        Reason.ATTACHMENT_DEFINITION_CHANGED,
        Reason.ATTACHMENT_DEFINITION_MISSING,
        Reason.ATTACHMENT_DEFINITION_INVALID,
        Reason.INVALID_HOTPLUG_POLICY,
        Reason.NOT_LIVE_MIGRATABLE,
        Reason.ROLLED_BACK,
        Reason.MIGRATION_NOT_SUPPORTED,
        Reason.VMI_NAME_MISSING,
        Reason.VMI_MISSING,
        Reason.ORDINAL_INTERFACE_NAMES,
        Reason.RUN_STRATEGY_NOT_SUPPORTED,
        Reason.INVALID_STATE_CHANGE_REQUEST,
        Reason.NAME_TAKEN,
        Reason.ANNOTATION_TOO_LARGE,
        Reason.POD_INTERFACE_NAME_TAKEN,
        Reason.ERR_IMAGE_PULL,
        Reason.IMAGE_PULL_BACK_OFF,
    ),
    Mover.ADMIN: (
        Reason.FEATURE_GATE_DISABLED,
        Reason.KUBEVIRT_CR_MISSING,
        Reason.NETWORK_NOT_ALLOWED,
        Reason.MULTUS_NOT_INSTALLED,
        Reason.EVACUATION_BLOCKED,
        Reason.NO_CANDIDATE_NODE,
        Reason.MIGRATION_FORBIDDEN,
        Reason.WORKLOAD_UPDATE_FORBIDS,
        Reason.SLOT_LEDGER_REFUSED,
        Reason.REJECTED_BY_QUOTA,
        Reason.FAILED_CREATE,
        Reason.WEBHOOK_UNAVAILABLE,
        Reason.HOTPLUG_ERROR,
    ),
    Mover.KUBEVIRT: (
        Reason.VIRT_CONTROLLER_SILENT,
        Reason.WAITING_FOR_VIRT_CONTROLLER,
        Reason.UPDATERS_TURN,
        Reason.UPDATER_REPEATS,
        Reason.MIGRATION_LEFT_PENDING,
    ),
    Mover.INTRUDER: (
        Reason.ANNOTATION_CONTESTED,
        Reason.ANNOTATION_UNREADABLE,
        Reason.SEVERAL_LAUNCHER_PODS,
        Reason.FOREIGN_POD,
    ),
}

_OF_MIGRATIONS = frozenset({Mover.SCHEDULER, Mover.NODE_AGENTS, Mover.QUEUE})
MOVERS: Mapping[str, Mover] = {str(reason): mover for mover, reasons in _BY_MOVER.items() for reason in reasons}
"""By reason, as spelt on the wire."""


_BY_POLICY: Mapping[str, str] = {
    Reason.MIGRATION_FORBIDDEN: "migration",
    Reason.NO_DYNAMIC_CONTROLLER: "dynamicPath",
}
"""The field of the policy that forbids what a NIC needs, by the reason of its record."""


def waits_for(reason: str, *, phase: str = "", policy: HotplugPolicy | None = None, node: str, pod: str) -> str:
    """Return who has the next move, for a sentence; "" for an unknown reason, or if nobody has.

    Args:
        phase: that of the record: during the migration of a VM, a NIC's reason only says why it was created.
        policy: that of the VM: whoever set the field that forbids something can change it.
    """
    if phase == OperationPhase.MIGRATING and MOVERS.get(reason) not in _OF_MIGRATIONS:
        reason = Reason.MIGRATING
    mover = MOVERS.get(reason, Mover.NOBODY)
    if needs_person(phase) and (name := _BY_POLICY.get(reason)) is not None:
        mover = Mover.OWNER if policy is not None and name in policy.overridden else Mover.ADMIN
    return "" if mover is Mover.NOBODY else mover.value.format(node=node or "?", pod=pod or "?")
