"""The rules that a live migration runs by, as its node agents read them.

Source: KubeVirt 1.9 `api/core/v1/types.go` (`MigrationConfiguration`), `pkg/virt-config/configuration.go`.
"""

from collections.abc import Mapping
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze

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
    """What `spec.configuration.migrations` of the KubeVirt CR says, over the defaults."""
    return freeze({**_DEFAULTS, **{name: value for name, value in configured.items() if value is not None}})
