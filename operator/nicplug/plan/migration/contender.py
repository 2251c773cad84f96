"""What a migration wants of the limits, read from its own view: `plan.migration.slots` weighs all of them."""

from nicplug.model.metadata import text
from nicplug.model.migration import FOREIGN_MIGRATION_PHASES, Migration
from nicplug.model.migration_slot import Contender
from nicplug.plan.migration.facts import gather_facts
from nicplug.plan.outcome import Plan
from nicplug.plan.views import MigrationView

# Source: KubeVirt 1.9 `pkg/util/migrations/migrations.go`.
_PRIORITIES = {"system-critical": 100, "user-triggered": 50, "system-maintenance": 20}


def priority_of(migration: Migration) -> int:
    """Of its `spec.priority`; the higher goes first."""
    return _PRIORITIES.get(text(migration.read_spec().get("priority")), 0)


def contender_of(view: MigrationView, *, plan: Plan) -> Contender | None:
    """What it wants and has; None for one that has ended, or that is somebody else's.

    Args:
        plan: what was planned from that view.
    """
    migration = view.migration
    if migration.is_final or migration.phase in FOREIGN_MIGRATION_PHASES:
        return None
    facts = gather_facts(view)
    state, vmi, pod = facts.state, facts.vmi, facts.target
    # A state with our uid that names other pods is forged, and gives nobody a slot.
    is_handed_off = migration.is_handed_off or (facts.is_handed_off and state.is_active)
    holds = is_handed_off or migration.has_target or pod is not None
    if is_handed_off and facts.is_ours:
        source, target = state.source_node, state.target_node
    else:
        source, target = (vmi.node_name if vmi is not None else ""), (pod.node_name if pod is not None else "")
    return Contender(
        key=migration.key,
        uid=migration.uid,
        vmi=migration.vmi,
        created=migration.created,
        priority=priority_of(migration),
        source_node=source,
        target_node=target,
        holds=holds,
        is_handed_off=is_handed_off,
        wants=not holds and plan.wants_slot,
    )
