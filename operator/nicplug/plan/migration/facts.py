"""What the decisions on a migration look at, read once from the view: its VMI, its pods, what the node agents say."""

from collections.abc import Iterator
from dataclasses import dataclass

from nicplug.model.attachments import attachment_key
from nicplug.model.migration import Migration, MigrationPhase, MigrationState
from nicplug.model.networks import Network
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import target_key

# Whose network the kubelet's words about a target pod name, where they name one.


def nics_named(view: MigrationView, vmi: VirtualMachineInstance, failure: PodFailure | None) -> tuple[str, ...]:
    """The NICs of the VMI on the network that is named, in spec order; several may be on one."""
    if failure is None or not failure.network:
        return ()
    return tuple(item.name for item in vmi.networks if item.attachment and _is_named(item, failure.network, view))


def is_of_networks(view: MigrationView, vmi: VirtualMachineInstance, failure: PodFailure | None) -> bool:
    """One of the VMI's networks is named, or may be: by what name Multus quotes a definition stands in it.

    Else it is the node's container runtime, the cluster's own network, or a chained plugin that somebody puts into
    every pod: nobody could fix that by an edit of the VM or of its networks.
    """
    if failure is None:
        return False
    if failure.is_of_networks or nics_named(view, vmi, failure):
        return True
    definitions = view.attachments.definitions
    namespace = view.migration.key.namespace
    is_known = all(attachment_key(item, namespace=namespace) in definitions for item in vmi.networks if item.attachment)
    return bool(failure.network) and "/" not in failure.network and not is_known


def _is_named(network: Network, name: str, view: MigrationView) -> bool:
    key = attachment_key(network, namespace=view.migration.key.namespace)
    if "/" in name:
        return name == f"{key.namespace}/{key.name}"
    definition = view.attachments.definitions.get(key)
    return name == (definition.network_name if definition is not None else key.name)


# What a migration's decisions look at, read once from the view: its VMI, its pods, what the node agents say.


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFacts:
    """The facts of one migration.

    Attributes:
        vmi: the VMI that it moves; None when there is none, or only a later one of its name.
        is_replaced: there is a VMI of its name, and it is another one.
        state: what the VMI's status says about its present or last migration, whichever that is.
        target: the pod that nicplug has made for this very migration.
        start_failure: why the target pod, which waits for its start, could not when that was last tried; "" when
            nobody has said so.
        named_nics: those of the VMI on the network that it names.
        is_networks_fault: it is, or may be, of a network of the VMI.
        node_trouble: why the target pod's node may not start it; "" when nothing is known against the node.
        others: the VMI's other pods that may still run, the source among them.
        has_turn: the limit of the target pod's node leaves the migration a place there.
        queue: what the ledger says of its turn, for a sentence; "" when it has said nothing.
    """

    migration: Migration
    vmi: VirtualMachineInstance | None
    is_replaced: bool
    state: MigrationState
    target: LauncherPod | None
    others: tuple[LauncherPod, ...]
    start_failure: str = ""
    named_nics: tuple[str, ...] = ()
    is_networks_fault: bool = False
    node_trouble: str = ""
    has_turn: bool = False
    queue: str = ""

    @property
    def is_ours(self) -> bool:
        """The VMI's migration state is about this migration."""
        return self.state.migration_uid == self.migration.uid

    @property
    def is_handed_off(self) -> bool:
        """The state is the one that this controller's hand-off writes: a forged one names other pods."""
        target = self.target
        return (
            self.is_ours
            and target is not None
            and (self.state.target_pod, self.state.target_node) == (target.key.name, target.node_name)
        )

    @property
    def source(self) -> LauncherPod | None:
        """The pod that the guest leaves; None unless exactly one can be it."""
        if self.vmi is None or len(self.others) != 1:
            return None
        (pod,) = self.others
        return pod if pod.node_name == self.vmi.node_name and not pod.is_down_or_going else None

    @property
    def can_move(self) -> bool:
        """The VMI has a guest that stays."""
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
    failure = _start_failure(view, target)
    return MigrationFacts(
        migration=migration,
        vmi=vmi,
        is_replaced=False,
        state=vmi.migration_state,
        target=target,
        start_failure=failure.message if failure is not None else "",
        named_nics=nics_named(view, vmi, failure),
        is_networks_fault=is_of_networks(view, vmi, failure),
        node_trouble=_node_trouble(view, target),
        others=tuple(pod for pod in (*view.pods, *_replaced_by_others(view)) if pod != target and not pod.is_finished),
        has_turn=target is not None and bool(target.node_name) and view.slot.inbound_node == target.node_name,
        queue=view.slot.message,
    )


def _replaced_by_others(view: MigrationView) -> Iterator[LauncherPod]:
    """Target pods that an earlier migration has replaced, ended since or not, and that nobody has asked to go yet.

    Those of this migration go before the next one is made.
    """
    replaced = {item.uid for item in view.records if item.is_replaced and item.migration_uid != view.migration.uid}
    return (pod for pod in view.foreign_pods if pod.uid in replaced and not pod.deleting)


def _start_failure(view: MigrationView, target: LauncherPod | None) -> PodFailure | None:
    """Of a pod that has a node: the kubelet tries again and again."""
    if target is None or not target.node_name or target.phase != "Pending":
        return None
    return next((failure for failure in view.start_failures if failure.pod_uid == target.uid), None)


def _node_trouble(view: MigrationView, target: LauncherPod | None) -> str:
    """The pods of a node that is gone go, too: it is not for this to say so."""
    name = target.node_name if target is not None else ""
    is_unready = any(node.name == name and not node.is_ready for node in view.nodes or ())
    return f"node {name} is not ready" if is_unready else ""


def find_target(view: MigrationView, migration: Migration) -> LauncherPod | None:
    """The target pod of a migration of this VMI."""
    if view.vmi is None:
        return None
    key = target_key(view, view.vmi, migration_uid=migration.uid)
    return next((pod for pod in view.pods if pod.key == key), None)


def first_in_line(view: MigrationView) -> Migration:
    """Of the migrations of this VMI that have not ended, the one that may go on; all others fail.

    The one that the node agents have, then one with a target pod, then a person's, which waits for no back-off, then
    one that was accepted, then the oldest: whoever looks decides the same, also about two of the same millisecond.
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
            view.vmi is not None and item.is_automatic(vmi_uid=view.vmi.uid),
            item.phase is MigrationPhase.UNSET,
            present[item.uid],
        )

    return min(unfinished, key=rank, default=view.migration)
