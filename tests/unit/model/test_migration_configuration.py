"""What a migration runs by: KubeVirt's defaults, and what the admin says over them."""

from nicplug.model.frozen_json import thaw
from nicplug.model.migration_configuration import migration_configuration


def test_kubevirts_defaults() -> None:
    assert thaw(migration_configuration({})) == {
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


def test_what_the_admin_says() -> None:
    found = thaw(migration_configuration({"network": "migration-net", "allowPostCopy": True, "progressTimeout": None}))
    assert (found["network"], found["allowPostCopy"], found["progressTimeout"]) == ("migration-net", True, 150)
