"""The migrations that nicplug makes by itself: as KubeVirt's workload updater writes them."""

from typing import Any

from tests.build import VMI_UID, Json, a_vmi, vmi

from nicplug.model.frozen_json import thaw
from nicplug.plan.vmi.migration_request import create_workload_update, migration_key


def _body(**members: Any) -> Json:
    body: Json = thaw(create_workload_update(a_vmi(vmi(**members)), cause="generation 2, attempt 1", nics={}).body)
    return body


def test_what_the_workload_updater_and_the_webhook_write() -> None:
    body = _body()
    assert body["spec"] == {"vmiName": "vmi-fedora", "priority": "user-triggered"}
    assert body["metadata"]["annotations"]["kubevirt.io/workloadUpdateMigration"] == ""
    assert body["metadata"]["finalizers"] == ["kubevirt.io/migrationJobFinalize"]
    assert body["metadata"]["labels"] == {"kubevirt.io/vmi-name": "vmi-fedora"}


def test_its_owner_is_the_very_vmi() -> None:
    (owner,) = _body()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachineInstance", VMI_UID, True)
    assert create_workload_update(a_vmi(vmi()), cause="x", nics={}).owner_uid == VMI_UID


def test_one_name_per_vmi_and_cause() -> None:
    record, other = a_vmi(vmi()), a_vmi(vmi(uid="another"))
    assert migration_key(record, cause="1") == migration_key(record, cause="1")
    assert len({migration_key(item, cause=cause) for item in (record, other) for cause in "12"}) == 4
    assert migration_key(record, cause="1").name.startswith("kubevirt-workload-update-")


def test_the_label_of_a_name_that_is_longer_than_a_label() -> None:
    label = _body(name="a" * 100)["metadata"]["labels"]["kubevirt.io/vmi-name"]
    assert len(label) == 63
    assert label.startswith("a" * 54 + "-")


def test_it_says_for_which_nics_it_is_made() -> None:
    made = create_workload_update(a_vmi(vmi()), cause="x", nics={"red": "2/", "blue": "1/3"})
    assert thaw(made.body)["metadata"]["annotations"]["nicplug.io/interfaces"] == '{"blue":"1/3","red":"2/"}'
