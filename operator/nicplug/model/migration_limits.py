"""How many migrations may be under way at a time: KubeVirt's limits, and nicplug's own one of the target node."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CLUSTER_LIMIT = "parallelMigrationsPerCluster"
OUTBOUND_LIMIT = "parallelOutboundMigrationsPerNode"
INBOUND_LIMIT = "parallelInboundMigrationsPerNode"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationLimits:
    """The limits; 0 lets no migration begin."""

    per_cluster: int = 5
    outbound_per_node: int = 2
    inbound_per_node: int = 2

    def named(self) -> dict[str, int]:
        """By their names in the KubeVirt CR."""
        return {
            CLUSTER_LIMIT: self.per_cluster,
            OUTBOUND_LIMIT: self.outbound_per_node,
            INBOUND_LIMIT: self.inbound_per_node,
        }


def parse_limits(migrations: Mapping[str, Any], hotplug: Mapping[str, Any]) -> MigrationLimits:
    """The limits of the KubeVirt CR; a value that is no count has no effect.

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
