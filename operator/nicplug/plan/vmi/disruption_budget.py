"""The PodDisruptionBudget of a VMI, and how many of its pods it protects.

Source: KubeVirt 1.0 `pkg/virt-controller/watch/drain/disruptionbudget`, `watch/migration.go` (`expandPDB`).
"""

from datetime import datetime

from nicplug.model.eviction import (
    AT_REST,
    WHILE_MOVING,
    DisruptionBudget,
    EvictionStrategy,
    budget_key,
    budget_labels,
    budget_spec,
    is_protected,
)
from nicplug.model.frozen_json import freeze
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Action, Create, Delete, Kind, PatchBudget
from nicplug.plan.outcome import Plan
from nicplug.plan.views import BudgetView, MigrationView
from nicplug.plan.vmi.launcher_pod import controlled_by


def eviction_strategy(vmi: VirtualMachineInstance, config: KubevirtConfig | None) -> EvictionStrategy | None:
    """The VMI's own strategy, else the cluster's; None when that cannot be known without a KubeVirt CR."""
    if vmi.eviction_strategy is not None:
        return vmi.eviction_strategy
    return config.eviction_strategy if config is not None else None


def plan_budget(view: BudgetView, *, now: datetime) -> Plan:
    """Plan the budget of one VMI; the end of the VMI deletes its budget.

    Args:
        now: current time, UTC; no decision here depends on it.
    """
    vmi, budget = view.vmi, view.budget
    if not view.is_readable or view.refusal is not None or vmi.deleting:
        return Plan()
    if budget is not None and budget.deleting:
        return Plan(notes=("waits for the end of the budget before it makes another one",))
    action = _create(view) if budget is None else _adjust(view)
    return Plan(actions=(action,)) if action is not None else Plan()


def raise_budget(view: MigrationView, vmi: VirtualMachineInstance) -> tuple[Action, ...]:
    """Raise the budget before the target pod is created: once both pods are healthy, either could be evicted.

    A VMI without a budget is migrated all the same: nothing protects it either way.
    """
    budget, migration_uid = view.budget, view.migration.uid
    if budget is None or budget.deleting or budget.owner_uid != vmi.uid:
        return ()
    if budget.min_available == WHILE_MOVING and budget.migration_uid == migration_uid:
        return ()
    return (_patch(budget, min_available=WHILE_MOVING, migration_uid=migration_uid),)


def _is_wanted(view: BudgetView) -> bool | None:
    """True if a budget is wanted; None if the cluster's setting is unknown, and the present state stays."""
    strategy = eviction_strategy(view.vmi, view.config)
    if view.vmi.is_final:
        return False
    return is_protected(strategy, is_migratable=view.vmi.is_migratable) if strategy is not None else None


def _create(view: BudgetView) -> Create | None:
    vmi = view.vmi
    if not _is_wanted(view):
        return None
    key = budget_key(vmi.key, uid=vmi.uid)
    body = {
        "apiVersion": "policy/v1",
        "kind": Kind.BUDGET.value,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": budget_labels(view.migration_uid),
            "ownerReferences": [controlled_by(vmi)],
        },
        "spec": budget_spec(vmi_uid=vmi.uid, min_available=WHILE_MOVING if view.is_moving else AT_REST),
    }
    return Create(kind=Kind.BUDGET, key=key, owner_uid=vmi.uid, body=freeze(body))


def _adjust(view: BudgetView) -> Delete | PatchBudget | None:
    """Raise for a guest that moves, lower when nothing can move it any more, otherwise leave it as it is."""
    budget, is_calm = view.budget, not (view.is_moving or view.may_move)
    if budget is None:
        return None
    if _is_wanted(view) is False:
        is_free = is_calm or view.vmi.is_final
        return Delete(kind=Kind.BUDGET, key=budget.key, uid=budget.uid) if is_free else None
    if view.is_moving and budget.min_available != WHILE_MOVING:
        return _patch(budget, min_available=WHILE_MOVING, migration_uid=view.migration_uid or budget.migration_uid)
    if is_calm and (budget.min_available, budget.migration_uid) != (AT_REST, None):
        return _patch(budget, min_available=AT_REST, migration_uid=None)
    if budget.min_available is None or not budget.is_labelled:
        return _patch(budget, min_available=budget.min_available or AT_REST, migration_uid=budget.migration_uid)
    return None


def _patch(budget: DisruptionBudget, *, min_available: int, migration_uid: str | None) -> PatchBudget:
    return PatchBudget(
        key=budget.key,
        uid=budget.uid,
        vmi_uid=budget.owner_uid,
        generation=budget.generation,
        seen_migration=budget.migration_uid,
        min_available=min_available,
        migration_uid=migration_uid,
        has_labels=budget.has_labels,
    )
