"""The migration that moves a guest off a node after an eviction request.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/drain/evacuation`: its annotation, names, event and priority. No
migration is created until a node can take the guest: KubeVirt creates one after the other, and each fails.
"""

from dataclasses import dataclass

from nicplug.model.eviction import EvictionStrategy
from nicplug.model.migration import Migration
from nicplug.model.names import EVACUATION_ANNOTATION, EVACUATION_PREFIX
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Action
from nicplug.plan.candidates import find_candidates, node_needs
from nicplug.plan.outcome import Announcement, Subject, normal, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.disruption_budget import eviction_strategy
from nicplug.plan.vmi.migration_request import create_migration, next_cause
from nicplug.plan.vmi.moving import is_moving

MARKED = "VMI is marked for eviction"
"""Message of the condition `EvictionRequested`, as KubeVirt has it; what the guest waits for is appended."""
_STRATEGIES = (EvictionStrategy.LIVE_MIGRATE, EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuation:
    """Plan for a guest that is to leave its node.

    Attributes:
        waits_for: the obstacle, as a sentence; "" when there is none, or no eviction is requested.
        is_stuck: it waits for a user or admin.
        has_left: the mark names a node that the guest has left.
    """

    actions: tuple[Action, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    waits_for: str = ""
    is_stuck: bool = False
    has_left: bool = False


NOTHING = Evacuation()


def plan_evacuation(view: VmiView) -> Evacuation:
    """Decide whether a migration is due, and what prevents it."""
    vmi = view.vmi
    if not vmi.evacuation_node or vmi.phase is not VmiPhase.RUNNING or vmi.deleting:
        return NOTHING
    if vmi.evacuation_node != vmi.node_name:
        return Evacuation(has_left=True)
    if eviction_strategy(vmi, view.config) not in _STRATEGIES:
        return NOTHING
    if under_way := next((item for item in view.migrations if not item.is_final), None):
        return _by(under_way)
    if not vmi.is_migratable:
        return Evacuation(waits_for="it cannot be live-migrated (condition LiveMigratable)", is_stuck=True)
    if is_moving(view) or sum(not pod.is_finished for pod in view.pods) > 1:
        return Evacuation(waits_for="an earlier migration has still to end")
    candidates = find_candidates(view.nodes, source=vmi.node_name, needs=node_needs(vmi, attachments=view.attachments))
    if candidates.is_impossible:
        return Evacuation(waits_for=candidates.message, is_stuck=True)
    return _make(view)


def _by(migration: Migration) -> Evacuation:
    """Evacuate by a migration in progress, of any creator: the guest leaves the node with it."""
    progress = f": {migration.progress}" if migration.progress else ""
    return Evacuation(waits_for=f"migration {migration.key.name}{progress}", is_stuck=migration.is_stuck)


def _make(view: VmiView) -> Evacuation:
    create = create_migration(
        view.vmi,
        cause=next_cause(view, prefix=EVACUATION_PREFIX),
        prefix=EVACUATION_PREFIX,
        priority="system-critical",
        annotations={EVACUATION_ANNOTATION: view.vmi.node_name},
    )
    event = normal(Subject.VMI, "SuccessfulCreate", f"Created Migration {create.key.name}")
    return Evacuation(
        actions=(create,), announcements=(event,), waits_for=f"migration {create.key.name}, which has just been made"
    )


def announce_stuck(evacuation: Evacuation, *, node: str, is_news: bool) -> tuple[Announcement, ...]:
    """Announce each cause once: a drain waits for this guest, and the guest for a user or admin."""
    if not is_news or not evacuation.is_stuck:
        return ()
    message = f"The guest cannot leave node {node}, which is being drained: {evacuation.waits_for}"
    return (warning(Subject.VMI, Reason.EVACUATION_BLOCKED, message),)
