"""Whose migration is it? Only one that nicplug made for this very VMI may be taken back by it."""

from typing import Any

import pytest
from tests.build import NAME, VMI_UID, a_migration, migration, owner

OURS: dict[str, Any] = {
    "name": "kubevirt-workload-update-0123456789",
    "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
    "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
}


@pytest.mark.parametrize(
    ("changed", "is_workload_update"),
    [
        pytest.param({}, True, id="as nicplug makes it"),
        pytest.param({"name": "migration-job"}, False, id="another name"),
        pytest.param({"annotations": {}}, False, id="without the annotation"),
        pytest.param({"ownerReferences": []}, False, id="KubeVirt's workload updater's: no owner"),
        pytest.param(
            {"ownerReferences": [owner("VirtualMachineInstance", NAME, "another")]},
            False,
            id="for a VMI before this one",
        ),
    ],
)
def test_is_workload_update(changed: dict[str, Any], is_workload_update: bool) -> None:
    assert a_migration(migration(**(OURS | changed))).is_workload_update(vmi_uid=VMI_UID) is is_workload_update
