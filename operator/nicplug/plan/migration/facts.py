"""Facts of one migration, read once from the view: its VMI, its pods, the node agents' state.

Also the results of its decisions: `Ending`, why it fails, and `Progress`, what it waits for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from nicplug.model.conditions import FALSE, TRUE
from nicplug.model.migration import Migration, MigrationPhase, MigrationState
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.nic.path.blame import may_be_networks_fault
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView, PodsView
from nicplug.plan.vmi.own_pods import target_key


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFacts:
    """Facts of one migration.

    Attributes:
        vmi: the VMI that it moves; None when there is none, or only a later one of the same name.
        is_replaced: another VMI has its name.
        state: the VMI's state of its present or last migration.
        target: the pod that nicplug created for this migration.
        start_failure: why the last attempt to start the waiting target pod failed; "" when no failure is reported.
        is_networks_fault: it is, or may be, of a network of the VMI.
        node_trouble: why the target pod's node may not start it; "" if no reason is known.
        others: the VMI's other pods that may still run, the source among them.
        has_turn: the limit of the target pod's node has room for the migration.
        queue: position in the queue as the ledger reports it, as text; "" when it reports none.
    """

    migration: Migration
    vmi: VirtualMachineInstance | None
    is_replaced: bool
    state: MigrationState
    target: LauncherPod | None
    others: tuple[LauncherPod, ...]
    start_failure: str = ""
    is_networks_fault: bool = False
    node_trouble: str = ""
    has_turn: bool = False
    queue: str = ""

    @property
    def is_ours(self) -> bool:
        """True if the VMI's migration state is about this migration."""
        return self.state.migration_uid == self.migration.uid

    @property
    def is_handed_off(self) -> bool:
        """True if the state is the one that this controller's hand-off writes: a forged one names other pods."""
        target = self.target
        return (
            self.is_ours
            and target is not None
            and (self.state.target_pod, self.state.target_node) == (target.key.name, target.node_name)
        )

    @property
    def source(self) -> LauncherPod | None:
        """The pod that the guest leaves; None unless there is exactly one candidate."""
        if self.vmi is None or len(self.others) != 1:
            return None
        (pod,) = self.others
        return pod if pod.node_name == self.vmi.node_name and not pod.is_down_or_going else None

    @property
    def names_of_others(self) -> str:
        """The names of the VMI's other pods, for a sentence."""
        return ", ".join(sorted(pod.key.name for pod in self.others)) or "none"

    @property
    def can_move(self) -> bool:
        """True if the VMI has a running guest that is not being deleted."""
        return self.vmi is not None and self.vmi.phase is VmiPhase.RUNNING and not self.vmi.deleting


def gather_migration_facts(view: MigrationView) -> MigrationFacts:
    """Read the facts from a view."""
    migration, vmi = view.migration, view.vmi
    is_replaced = vmi is not None and not migration.is_for(vmi_uid=vmi.uid)
    if vmi is None or is_replaced:
        return MigrationFacts(
            migration=migration, vmi=None, is_replaced=is_replaced, state=MigrationState(), target=None, others=()
        )
    target = find_target(view, migration)
    failure = find_start_failure(view, target)
    return MigrationFacts(
        migration=migration,
        vmi=vmi,
        is_replaced=False,
        state=vmi.migration_state,
        target=target,
        start_failure=failure.message if failure is not None else "",
        is_networks_fault=may_be_networks_fault(failure, vmi=vmi, known=view.attachments),
        node_trouble=node_trouble(view, target),
        others=tuple(pod for pod in (*view.pods, *_replaced_by_others(view)) if pod != target and not pod.is_finished),
        has_turn=target is not None and bool(target.node_name) and view.slot.inbound_node == target.node_name,
        queue=view.slot.message,
    )


def _replaced_by_others(view: MigrationView) -> Iterator[LauncherPod]:
    """Target pods that an earlier migration replaced, ended or not, and whose deletion was not requested yet.

    Those of this migration are deleted before its next one is created.
    """
    replaced = {item.uid for item in view.records if item.is_replaced and item.migration_uid != view.migration.uid}
    return (pod for pod in view.foreign_pods if pod.uid in replaced and not pod.deleting)


def find_start_failure(view: PodsView, target: LauncherPod | None) -> PodFailure | None:
    """Find why the kubelet could not start a pod that has a node; it retries repeatedly."""
    if target is None or not target.node_name or target.phase != "Pending":
        return None
    return next((failure for failure in view.start_failures if failure.pod_uid == target.uid), None)


def node_trouble(view: PodsView, target: LauncherPod | None) -> str:
    """Problem of the pod's node; none for a deleted node, as its pods are deleted with it."""
    name = target.node_name if target is not None else ""
    is_unready = any(node.name == name and not node.is_ready for node in view.nodes or ())
    return f"node {name} is not ready" if is_unready else ""


def find_target(view: MigrationView, migration: Migration) -> LauncherPod | None:
    """Find the target pod of a migration of this VMI."""
    if view.vmi is None:
        return None
    key = target_key(view, view.vmi, migration_uid=migration.uid)
    return next((pod for pod in view.pods if pod.key == key), None)


def first_in_line(view: MigrationView) -> Migration:
    """The only one of the VMI's unfinished migrations that may continue; all others fail.

    Order: the one that the node agents have, one with a target pod, a user's (it waits for no back-off), one that was
    accepted, the oldest. All leaders agree, even about two migrations of the same millisecond.
    """
    vmi = view.vmi
    mine = [item for item in view.migrations if vmi is None or item.is_for(vmi_uid=vmi.uid)]
    unfinished = [item for item in mine if not item.is_final]
    present = {item.uid: position for position, item in enumerate(unfinished)}
    state = view.vmi.migration_state if view.vmi is not None else MigrationState()

    def rank(item: Migration) -> tuple[bool, bool, bool, bool, int]:
        return (
            not (state.is_active and state.migration_uid == item.uid),
            not (item.has_target or item.is_between_targets or find_target(view, item) is not None),
            view.vmi is not None and item.is_workload_update(vmi_uid=view.vmi.uid),
            item.phase is MigrationPhase.UNSET,
            present[item.uid],
        )

    return min(unfinished, key=rank, default=view.migration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Failure of a migration.

    Attributes:
        event: KubeVirt's text.
        message: message of the condition, if it has more than the event.
    """

    reason: Reason
    event: str
    message: str = ""

    @property
    def explanation(self) -> str:
        """Return the message, or the event if there is none."""
        return self.message or self.event


CANCELED = Ending(reason=Reason.MIGRATION_CANCELED, event="Migration failed due to being canceled")
"""The migration was cancelled before the node agents had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Content of the condition `Progressing`.

    Attributes:
        is_stuck: nicplug can do nothing until something changes.
        again_at: for an obstacle, when it passes without any other event; None if only a change can remove it.
        gives_up_at: for an obstacle, when the migration fails because of it; None if it waits indefinitely.
    """

    reason: Reason | str
    message: str
    is_stuck: bool = False
    again_at: datetime | None = None
    gives_up_at: datetime | None = None

    @property
    def status(self) -> str:
        """Status of the condition."""
        return FALSE if self.is_stuck else TRUE
