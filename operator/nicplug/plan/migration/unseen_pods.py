"""The pods of a migration that are not in sight: asked for by name before anything is concluded from it.

Pods are watched by a label, and one that only lost it looks deleted. A migration that failed of it would leave its
target pod behind for ever, or take it from under a guest that is just arriving.
"""

from nicplug.model.keys import PodKey
from nicplug.model.migration import MigrationPhase
from nicplug.model.names import MIGRATION_FINALIZER
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import FindPod
from nicplug.plan.migration.facts import Facts
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import target_key, uids_of_target


def find_unseen_pod(view: MigrationView, facts: Facts) -> FindPod | None:
    """Ask for the pod that the next decision is about; None when it is in sight, or known not to exist."""
    vmi, migration = facts.vmi, facts.migration
    if vmi is None:
        return None
    if migration.is_between_targets:
        return _find_replaced(view, vmi)
    key = _needed(view, facts)
    if key is None or key in view.gone_pods or any(pod.key == key for pod in view.pods):
        return None
    return FindPod(
        key=key,
        migration=migration.key,
        migration_uid=migration.uid,
        owner_uid=vmi.uid,
        uids=uids_of_target(view, vmi, migration=migration),
    )


def _find_replaced(view: MigrationView, vmi: VirtualMachineInstance) -> FindPod | None:
    """Before the next one is made: it would never be deleted."""
    migration = view.migration
    replaced = migration.renewal.replaced[-1]
    is_seen = any(pod.uid == replaced.uid for pod in (*view.pods, *view.foreign_pods))
    if is_seen or replaced.key in view.gone_pods:
        return None
    return FindPod(
        key=replaced.key,
        migration=migration.key,
        migration_uid=migration.uid,
        owner_uid=vmi.uid,
        uids=frozenset({replaced.uid}),
    )


def _needed(view: MigrationView, facts: Facts) -> PodKey | None:
    vmi, migration = facts.vmi, facts.migration
    if vmi is None:
        return None
    target = target_key(view, vmi, migration_uid=migration.uid)
    if not migration.is_final:
        return target if migration.has_target and not vmi.is_final else None
    # Once the finalizer is gone the migration has been through with its pods.
    if MIGRATION_FINALIZER not in migration.finalizers or migration.entered_at(MigrationPhase.PENDING) is None:
        return None
    if migration.phase is MigrationPhase.FAILED:
        return target
    source = migration.migration_state.source_pod
    return PodKey(vmi.key.namespace, source) if source else None
