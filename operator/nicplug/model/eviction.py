"""What an eviction of its launcher pod means for a guest: `evictionStrategy`, of the VMI or of the cluster.

Source: KubeVirt 1.9 `api/core/v1/types.go` (`EvictionStrategy`), `pkg/util/migrations` (`VMIEvictionStrategy`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from nicplug.model.conditions import LIVE_MIGRATABLE, is_true
from nicplug.model.metadata import objects


class EvictionStrategy(StrEnum):
    """`spec.evictionStrategy` of a VMI, and `spec.configuration.evictionStrategy` of the KubeVirt CR."""

    NONE = "None"
    LIVE_MIGRATE = "LiveMigrate"
    LIVE_MIGRATE_IF_POSSIBLE = "LiveMigrateIfPossible"
    EXTERNAL = "External"


def parse_strategy(value: Any) -> EvictionStrategy | None:
    """The strategy; None where none is set, or none that exists: the CRDs refuse those."""
    return EvictionStrategy(value) if value in tuple(EvictionStrategy) else None


def reports_migratable(status: Mapping[str, Any]) -> bool:
    """The condition `LiveMigratable` of a VMI status is True."""
    return is_true(objects(status.get("conditions")), LIVE_MIGRATABLE)


def is_protected(strategy: EvictionStrategy, *, is_migratable: bool) -> bool:
    """An eviction must not end the guest: it is migrated, or somebody else sees to it."""
    match strategy:
        case EvictionStrategy.LIVE_MIGRATE | EvictionStrategy.EXTERNAL:
            return True
        case EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE:
            return is_migratable
        case EvictionStrategy.NONE:
            return False
