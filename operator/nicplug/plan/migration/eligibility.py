"""Checks before a migration gets a target pod: what admission refuses, and what it waits for."""

from datetime import datetime

from nicplug.model.conditions import FALSE, LIVE_MIGRATABLE
from nicplug.model.times import format_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.candidates import find_candidates, node_needs
from nicplug.plan.checks import first_result
from nicplug.plan.migration.facts import (
    CANCELED,
    Ending,
    MigrationFacts,
    Progress,
    first_in_line,
    gather_migration_facts,
)
from nicplug.plan.migration.target_networks import nics_not_brought, target_selector, unusable_networks
from nicplug.plan.migration.timeouts import pending_timeout, stuck_since, unschedulable_timeout
from nicplug.plan.nic.path.migration_history import RECENT, backoff_until, spaced_until
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.new_pod_networks import refuse_default_network, refuse_unregistered_plugin

# A migration that KubeVirt's webhook would reject on creation is accepted here, and fails with KubeVirt's message: a
# webhook that is down blocks the API.
#
# Source: KubeVirt 1.9 `migration-create-admitter.go`.


def find_refusal(view: MigrationView, facts: MigrationFacts) -> Ending | None:
    """Find the reason why a migration is not accepted; None if it is."""
    return first_result(_REFUSALS, view, facts)


def _refuse_canceled(_view: MigrationView, facts: MigrationFacts) -> Ending | None:
    return CANCELED if facts.migration.deleting else None


def _refuse_invalid(_view: MigrationView, facts: MigrationFacts) -> Ending | None:
    """Refuse a request that is invalid in itself, whatever the VMI."""
    migration = facts.migration
    spec = migration.read_spec()
    if not migration.vmi.name:
        event = "spec.vmiName is missing: make another migration that names its VMI, as a spec cannot be changed"
        return Ending(reason=Reason.VMI_NAME_MISSING, event=event)
    if spec.get("sendTo") or spec.get("receive"):
        event = "migrations between clusters or namespaces (sendTo, receive) are not carried out by nicplug"
        return Ending(reason=Reason.MIGRATION_NOT_SUPPORTED, event=event)
    return None


def _refuse_missing(_view: MigrationView, facts: MigrationFacts) -> Ending | None:
    """Refuse a migration without a VMI; a VMI created a moment earlier may not have been observed yet."""
    if facts.vmi is not None:
        return None
    fault = "is not the one that the migration was made for" if facts.is_replaced else "does not exist"
    return Ending(reason=Reason.VMI_MISSING, event=f'the VMI "{facts.migration.vmi}" {fault}')


def _refuse_final(_view: MigrationView, facts: MigrationFacts) -> Ending | None:
    is_final = facts.vmi is not None and facts.vmi.is_final
    return Ending(reason=Reason.VMI_FINAL, event="Cannot migrate VMI in finalized state.") if is_final else None


def _refuse_immovable(_view: MigrationView, facts: MigrationFacts) -> Ending | None:
    why = _refusal_by_condition(facts.vmi) if facts.vmi is not None else ""
    return Ending(reason=Reason.NOT_LIVE_MIGRATABLE, event=f"Cannot migrate VMI, {why}") if why else None


def _refusal_by_condition(vmi: VirtualMachineInstance) -> str:
    """Reason and message of a False LiveMigratable condition; "" when it is absent, Unknown or True."""
    condition = vmi.status.condition(LIVE_MIGRATABLE)
    return f"Reason: {condition.reason}, Message: {condition.message}" if condition.status == FALSE else ""


def refuse_second(view: MigrationView, _facts: MigrationFacts) -> Ending | None:
    """Refuse a second migration of the VMI: one at a time. Checked until the node agents have this one."""
    first = first_in_line(view)
    if first.uid == view.migration.uid:
        return None
    if first.is_handed_off:
        said = "VMI is not eligible for migration because another migration job is in progress."
    else:
        said = (
            f"in-flight migration detected. Active migration job ({first.uid}) is currently already in progress "
            f"for VMI {first.vmi.name}."
        )
    message = f"{first.key.name} is already moving {first.vmi.name}: {said}"
    # KubeVirt's text names the other migration by uid at most, which users cannot look up.
    event = f"{said} Its name is {first.key.name}."
    return Ending(reason=Reason.MIGRATION_IN_FLIGHT, event=event, message=message)


_REFUSALS = (_refuse_canceled, _refuse_invalid, _refuse_missing, _refuse_final, _refuse_immovable, refuse_second)

POD_REFUSED = (Reason.FAILED_CREATE, Reason.NAME_TAKEN)
"""The API server refused to create the target pod."""


def find_obstacle(view: MigrationView, *, now: datetime) -> Progress | None:
    """Find what keeps this migration from a target pod, other than the limits; it takes no slot meanwhile."""
    return first_result(_CHECKS, view, gather_migration_facts(view), now)


def _is_accepted(view: MigrationView, facts: MigrationFacts, _now: datetime) -> Progress | None:
    refusal = first_result((_refuse_missing, _refuse_canceled, refuse_second), view, facts)
    return Progress(reason=refusal.reason, message=refusal.explanation) if refusal is not None else None


def _runs(_view: MigrationView, facts: MigrationFacts, _now: datetime) -> Progress | None:
    """Wait for a guest that has not started yet."""
    if facts.vmi is None or facts.can_move:
        return None
    state = "is being deleted" if facts.vmi.deleting else f"is in phase {facts.vmi.phase or 'Pending'}, not Running"
    return Progress(reason=Reason.VMI_NOT_RUNNING, message=f"VMI {facts.vmi.key.name} {state}")


def _is_migratable(view: MigrationView, facts: MigrationFacts, now: datetime) -> Progress | None:
    why = _refusal_by_condition(facts.vmi) if facts.vmi is not None else ""
    return _stuck(view, now, Reason.NOT_LIVE_MIGRATABLE, f"Cannot migrate VMI, {why}") if why else None


def _has_waited(view: MigrationView, _facts: MigrationFacts, now: datetime) -> Progress | None:
    backoff = backoff_until(view.migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments)
    if backoff is None or now >= backoff[0]:
        return None
    until, failures = backoff
    earlier = "1 migration" if failures == 1 else f"{failures} migrations in a row"
    message = f"{earlier} of {view.migration.vmi.name} failed: next try at {format_time(until)}"
    return Progress(reason=Reason.MIGRATION_BACKOFF, message=message, again_at=until)


def _is_spaced(view: MigrationView, _facts: MigrationFacts, now: datetime) -> Progress | None:
    spacing = spaced_until(view.migration, migrations=view.migrations, vmi=view.vmi)
    if spacing is None or now >= spacing[0]:
        return None
    until, count = spacing
    within = f"{RECENT.total_seconds() / 60:.0f} minutes"
    message = f"{count} automatic migrations of {view.migration.vmi.name} in {within}: next one at {format_time(until)}"
    return Progress(reason=Reason.MIGRATION_RATE_LIMITED, message=message, again_at=until)


def _has_one_pod(view: MigrationView, facts: MigrationFacts, now: datetime) -> Progress | None:
    if facts.target is not None or facts.source is not None:
        return None
    message = "exactly one launcher pod, on the VM's node, has to be there before a second is made; found: "
    message += facts.names_of_others
    return _stuck(view, now, Reason.SEVERAL_LAUNCHER_PODS, message)


def _has_networks(view: MigrationView, facts: MigrationFacts, now: datetime) -> Progress | None:
    """Require on the target every network that the guest uses; NICs that cannot be plugged now follow later."""
    if facts.vmi is None:
        return None
    for name, why in unusable_networks(facts.vmi, known=view.attachments).items():
        if name in facts.vmi.status.given:
            message = f'NIC "{name}" is in the guest, and the target pod cannot have it: {why.sentence}'
            return _stuck(view, now, Reason(why.reason), message)
    if default := refuse_default_network(vmi=facts.vmi, known=view.attachments):
        return _stuck(view, now, Reason(default.reason), f"the target pod cannot be made: {default.message}")
    refusal = refuse_unregistered_plugin(vmi=facts.vmi, config=view.config)
    if refusal is None:
        return None
    return _stuck(view, now, Reason.FAILED_CREATE, f"failed to render launch manifest: {refusal.message}")


def _has_candidates(view: MigrationView, facts: MigrationFacts, now: datetime) -> Progress | None:
    if facts.vmi is None or facts.target is not None:
        return None
    needs = node_needs(
        facts.vmi,
        attachments=view.attachments,
        added_node_selector=target_selector(view, facts.vmi),
        left_out=nics_not_brought(view, facts.vmi),
    )
    candidates = find_candidates(view.nodes, source=facts.vmi.node_name, needs=needs)
    if not candidates.is_impossible:
        return None
    return _stuck(view, now, Reason.NO_CANDIDATE_NODE, candidates.message)


def _is_not_refused(view: MigrationView, facts: MigrationFacts, now: datetime) -> Progress | None:
    """Wait before retrying a target pod that the API server refused."""
    refusal, before = view.refusal, view.migration.progress_reason
    if facts.target is not None:
        return None
    due = stuck_since(view.migration, now=now) + pending_timeout(view.migration)
    if refusal is None or refusal.reason not in POD_REFUSED:
        # The first refusal counts between two retries; else the migration would be retried indefinitely.
        if before not in POD_REFUSED or now < due:
            return None
        return Progress(reason=Reason(before), message=view.migration.progress, is_stuck=True, gives_up_at=due)
    if "exceeded quota" in refusal.message:  # as KubeVirt recognises it
        message = f"the target pod is asked for again: {refusal.message}"
        return Progress(reason=Reason.REJECTED_BY_QUOTA, message=message)
    message = f"Error creating pod: {refusal.message}"
    return Progress(reason=Reason(refusal.reason), message=message, is_stuck=True, gives_up_at=due)


_CHECKS = (
    _is_accepted,
    _runs,
    _is_migratable,
    _has_waited,
    _is_spaced,
    _has_one_pod,
    _has_networks,
    _has_candidates,
    _is_not_refused,
)


def _stuck(view: MigrationView, now: datetime, reason: Reason, message: str) -> Progress:
    """Wait as long as an unschedulable target pod may: something may change, and the obstacle is reported."""
    due = stuck_since(view.migration, now=now) + unschedulable_timeout(view.migration)
    return Progress(reason=reason, message=message, is_stuck=True, gives_up_at=due)
