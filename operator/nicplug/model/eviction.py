"""Evictions: what one means for a guest, and the PodDisruptionBudget that blocks it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.keys import DisruptionBudgetKey, VmiKey
from nicplug.model.metadata import mapping, text
from nicplug.model.names import (
    CREATED_BY_LABEL,
    KUBEVIRT_API_VERSION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    MIGRATION_JOB_LABEL,
    VMI_KIND,
)

# What an eviction of its launcher pod means for a guest: `evictionStrategy` of the VMI or of the cluster.
#
# Source: KubeVirt 1.9 `api/core/v1/types.go` (`EvictionStrategy`), `pkg/util/migrations` (`VMIEvictionStrategy`).


class EvictionStrategy(StrEnum):
    """`spec.evictionStrategy` of a VMI, and `spec.configuration.evictionStrategy` of the KubeVirt CR."""

    NONE = "None"
    LIVE_MIGRATE = "LiveMigrate"
    LIVE_MIGRATE_IF_POSSIBLE = "LiveMigrateIfPossible"
    EXTERNAL = "External"


def parse_strategy(value: Any) -> EvictionStrategy | None:
    """Return the strategy; None if it is unset or unknown: the CRDs refuse unknown ones."""
    return EvictionStrategy(value) if value in tuple(EvictionStrategy) else None


def is_protected(strategy: EvictionStrategy, *, is_migratable: bool) -> bool:
    """Report whether an eviction must not stop the guest: it is migrated, or an external controller handles it."""
    match strategy:
        case EvictionStrategy.LIVE_MIGRATE | EvictionStrategy.EXTERNAL:
            return True
        case EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE:
            return is_migratable
        case EvictionStrategy.NONE:
            return False


# The PodDisruptionBudget of a VMI: while it exists, no eviction stops the guest.
#
# It requires one healthy pod of the VMI more than an eviction would leave: one while the guest is not migrating, two
# from before a target pod is created until one pod is left (KubeVirt 1.0 `watch/drain/disruptionbudget`; KubeVirt 1.9
# has none, docs/differences.md).

AT_REST, WHILE_MOVING = 1, 2
"""`minAvailable` for a guest that is not migrating, and for one that has, or is about to have, two pods."""
_PREFIX = "kubevirt-disruption-budget-"
_DIGITS = 5
_LONGEST_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionBudget:
    """One PodDisruptionBudget whose controlling owner is a VMI and whose name derives from that VMI.

    Attributes:
        generation: how often its spec has changed; guards a change.
        min_available: how many pods of the VMI must remain; None if nicplug does not write such a spec.
        migration_uid: uid of the migration that it was last raised for; None if there is none.
        is_labelled: True if it has the label by which nicplug watches budgets.
        has_labels: True if it has any label.
    """

    key: DisruptionBudgetKey
    uid: str
    resource_version: int = field(compare=False)
    generation: int
    deleting: bool
    owner: VmiKey
    owner_uid: str
    min_available: int | None
    migration_uid: str | None
    is_labelled: bool
    has_labels: bool


def budget_key(vmi: VmiKey, *, uid: str) -> DisruptionBudgetKey:
    """Return `kubevirt-disruption-budget-<vmi>-<5 hex>`, from the VMI's uid: a repeated POST gets AlreadyExists."""
    digits = hashlib.sha256(uid.encode()).hexdigest()[:_DIGITS]
    longest = _LONGEST_NAME - len(_PREFIX) - 1 - _DIGITS
    return DisruptionBudgetKey(vmi.namespace, f"{_PREFIX}{vmi.name[:longest].rstrip('-.')}-{digits}")


def budget_spec(*, vmi_uid: str, min_available: int) -> dict[str, Any]:
    """Return the spec: it selects by the label that only launcher pods of this VMI have, as admission enforces."""
    return {"minAvailable": min_available, "selector": {"matchLabels": {CREATED_BY_LABEL: vmi_uid}}}


def budget_labels(migration_uid: str | None) -> dict[str, str]:
    """Return the labels: one selects the budgets that nicplug watches, one names the migration it was raised for."""
    return {MANAGED_BY_LABEL: MANAGED_BY, **({MIGRATION_JOB_LABEL: migration_uid} if migration_uid else {})}


def parse_budget(raw: Mapping[str, Any]) -> DisruptionBudget | None:
    """Parse a PodDisruptionBudget from the API; None if it is not the budget of a VMI."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    owner, namespace = meta.controller_reference(metadata), text(metadata.get("namespace"))
    if owner is None or owner.kind != VMI_KIND or owner.api_version != KUBEVIRT_API_VERSION:
        return None
    vmi = VmiKey(namespace, owner.name)
    key = budget_key(vmi, uid=owner.uid)
    if key.name != metadata.get("name"):
        return None
    labels = mapping(metadata.get("labels"))
    amounts = (AT_REST, WHILE_MOVING)
    migration_uid = labels.get(MIGRATION_JOB_LABEL)
    return DisruptionBudget(
        key=key,
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        generation=meta.generation(metadata),
        deleting=meta.is_deleting(metadata),
        owner=vmi,
        owner_uid=owner.uid,
        min_available=next((n for n in amounts if spec == budget_spec(vmi_uid=owner.uid, min_available=n)), None),
        migration_uid=text(migration_uid) if migration_uid is not None else None,
        is_labelled=labels.get(MANAGED_BY_LABEL) == MANAGED_BY,
        has_labels=bool(labels),
    )
