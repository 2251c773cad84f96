"""The configuration of live migrations, and how many run at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze

# Source: KubeVirt 1.9 `api/core/v1/types.go` (`MigrationConfiguration`), `pkg/virt-config/configuration.go`.

_DEFAULTS: Mapping[str, Any] = {
    "allowAutoConverge": False,
    "allowPostCopy": False,
    "allowWorkloadDisruption": False,
    "bandwidthPerMigration": "0Mi",
    "completionTimeoutPerGiB": 150,
    "disableTLS": False,
    "maxDowntimeMs": 900,
    "nodeDrainTaintKey": "kubevirt.io/drain",
    "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2,
    "progressTimeout": 150,
    "unsafeMigrationOverride": False,
    "utilityVolumesTimeout": 150,
}


def migration_configuration(configured: Mapping[str, Any]) -> FrozenJson:
    """Return `spec.configuration.migrations` of the KubeVirt CR, merged over the defaults."""
    return freeze({**_DEFAULTS, **{name: value for name, value in configured.items() if value is not None}})


CLUSTER_LIMIT = "parallelMigrationsPerCluster"
OUTBOUND_LIMIT = "parallelOutboundMigrationsPerNode"
INBOUND_LIMIT = "parallelInboundMigrationsPerNode"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationLimits:
    """The limits; 0 allows no migration."""

    per_cluster: int = 5
    outbound_per_node: int = 2
    inbound_per_node: int = 2

    def named(self) -> dict[str, int]:
        """Return the limits by their names in the KubeVirt CR."""
        return {
            CLUSTER_LIMIT: self.per_cluster,
            OUTBOUND_LIMIT: self.outbound_per_node,
            INBOUND_LIMIT: self.inbound_per_node,
        }


def parse_limits(migrations: Mapping[str, Any], hotplug: Mapping[str, Any]) -> MigrationLimits:
    """Return the limits of the KubeVirt CR; a value that is not a count has no effect.

    Args:
        migrations: `spec.configuration.migrations`.
        hotplug: `spec.configuration.network.hotplug`.
    """
    default = MigrationLimits()
    return MigrationLimits(
        per_cluster=_count(migrations.get(CLUSTER_LIMIT), default.per_cluster),
        outbound_per_node=_count(migrations.get(OUTBOUND_LIMIT), default.outbound_per_node),
        inbound_per_node=_count(hotplug.get(INBOUND_LIMIT), default.inbound_per_node),
    )


def _count(value: Any, default: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else default
