"""What virt-controller and nicplug do about a NIC, as `nicplug why` says it beside KubeVirt."""

from typing import Any

import pytest
from tests.build import (
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    a_migration,
    element,
    kubevirt,
    later,
    migration,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    vm,
    vmi,
    vmi_view,
)

from nicplug.insight.nic_rows import NicRow
from nicplug.insight.who_does_what import kubevirts_part, nicplugs_part
from nicplug.model.migration import Migration
from nicplug.plan.views import VmiView

BLUE = nic("blue")
ASKED = pod(networks=[element("blue")])


def row(name: str = "blue", **members: Any) -> NicRow:
    facts = {"network": f"default/{name}", "binding": "bridge", "operation": "Plug", "phase": "Waiting"}
    return NicRow(**{"name": name, **facts, **members})


def view(
    *nics: Nic,
    template: tuple[Nic, ...] | None = None,
    conditions: list[Json] | None = None,
    methods: tuple[str, ...] = (),
    launcher: Json = ASKED,
    records: tuple[Json, ...] = (),
    phase: str = "Running",
) -> VmiView:
    """A VMI with these NICs, whose template has the same unless another is given."""
    raw = vmi(primary(), *nics, rows=[primary_row()], operations=list(records), owner_uid=VM_UID, phase=phase)
    raw["status"] = {**raw["status"], "conditions": conditions or []}
    config = kubevirt()
    config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": list(methods)}
    owner_vm = vm(primary(), *(nics if template is None else template))
    return vmi_view(raw, launcher, vm=owner_vm, config=config, spec_seen_at=NOW)


def required(status: str, *, seconds_ago: float = 4) -> list[Json]:
    return [{"type": "MigrationRequired", "status": status, "lastTransitionTime": later(-seconds_ago).isoformat()}]


def kubevirt_does(nic_row: NicRow, found: VmiView, *migrations: Migration) -> str:
    return kubevirts_part(nic_row, found, migrations=migrations, now=NOW)


def nicplug_does(nic_row: NicRow, found: VmiView, *migrations: Migration) -> str:
    return nicplugs_part(nic_row, found, migrations=migrations, now=NOW)


class TestVirtController:
    @pytest.mark.parametrize(
        ("binding", "expected"),
        [
            ("bridge", "copies the NIC from the VM's template to the VMI"),
            ("masquerade", "does not plug a NIC with binding masquerade into a running VM: it comes at a restart"),
        ],
    )
    def test_a_nic_of_the_template_alone(self, binding: str, expected: str) -> None:
        assert kubevirt_does(row(), view(template=(nic("blue", binding=binding),))) == expected

    def test_a_migration_comes_before_the_pod_and_the_timer(self) -> None:
        found = view(BLUE, conditions=required("True"), launcher=pod(networks=[]))
        running, ended = a_migration(migration("Running", name="m2")), a_migration(migration("Failed", name="m1"))
        assert kubevirt_does(row(), found, ended, running) == "carries out migration m2 (Running)"
        assert kubevirt_does(row(), found, a_migration(migration("", name="m3"))).endswith("m3 (not accepted yet)")

    def test_a_nic_that_the_pod_is_not_asked_for(self) -> None:
        launcher = pod(networks=[])
        expected = f"asks pod {launcher['metadata']['name']} for the NIC, in its networks annotation"
        assert kubevirt_does(row(), view(BLUE, launcher=launcher)) == expected

    def test_the_timer_runs(self) -> None:
        does = kubevirt_does(row(), view(BLUE, conditions=required("False"), methods=("LiveMigrate",)))
        assert does == (
            "waits 11s more for the NIC in place, then marks the VM as one to migrate; "
            "its workload updater migrates the VM"
        )
        does = kubevirt_does(row(), view(BLUE, conditions=required("False", seconds_ago=60)))
        assert does.startswith("waits 0s more")

    def test_the_timer_has_ended(self) -> None:
        does = kubevirt_does(row(), view(BLUE, conditions=required("True"), methods=("LiveMigrate",)))
        assert does == "has marked the VM as one to migrate; its workload updater migrates the VM"
        does = kubevirt_does(row(), view(BLUE, conditions=required("True"), methods=("Evict",)))
        assert "nobody does, as workloadUpdateMethods" in does

    @pytest.mark.parametrize(("operation_", "verb"), [("Plug", "get the NIC"), ("Unplug", "give the NIC up")])
    def test_the_pod_is_asked(self, operation_: str, verb: str) -> None:
        does = kubevirt_does(row(operation=operation_, path="Dynamic"), view(BLUE))
        assert does == f"has asked pod {ASKED['metadata']['name']} to {verb}, and waits"

    def test_without_anything_to_do_it_is_not_mentioned(self) -> None:
        assert kubevirt_does(row(path="Migration"), view(BLUE)) == ""


class TestNicplug:
    def test_a_migration_is_its_own_or_not(self) -> None:
        mark = {"nicplug.io/interfaces": '{"blue":"Plug"}'}
        owners = [owner("VirtualMachineInstance", "vmi-fedora", VMI_UID)]
        own = migration("Running", name="nicplug-0123456789", annotations=mark, ownerReferences=owners)
        assert nicplug_does(row(), view(BLUE), a_migration(own)) == "created migration nicplug-0123456789 for it"
        other = a_migration(migration("Running", name="by-hand"))
        expected = "leaves it to migration by-hand, which it did not create"
        assert nicplug_does(row(), view(BLUE), other) == expected

    @pytest.mark.parametrize(
        ("members", "expected"),
        [
            ({"reason": "VirtControllerSilent"}, "waits until KubeVirt's virt-controller acts"),
            ({"reason": "WorkloadUpdateForbids", "phase": "Blocked"}, "only reports: it may not migrate the VM"),
            ({"reason": "NetworkAttachmentDefinitionMissing", "phase": "Blocked"}, "no migration would help"),
            ({"path": "Dynamic"}, "migrates the VM as soon as the evidence shows"),
            ({"path": "Migration"}, "migrates the VM for it"),
            ({"path": "Restart"}, "watches"),
        ],
        ids=lambda item: str(item) if isinstance(item, str) else "",
    )
    def test_what_its_record_says(self, members: dict[str, str], expected: str) -> None:
        found = view(BLUE, records=(operation("blue", phase="Waiting", reason="Requested"),))
        assert expected in nicplug_does(row(**members), found)

    def test_a_nic_that_it_has_not_seen(self) -> None:
        assert nicplug_does(row(path="Migration"), view(BLUE)) == "has not seen it yet"


@pytest.mark.parametrize(
    ("nic_row", "phase"),
    [(row(phase="Ready", path="Dynamic"), "Running"), (row(path="Dynamic"), "Scheduled")],
    ids=["ready", "not running"],
)
def test_nobody_has_anything_to_do(nic_row: NicRow, phase: str) -> None:
    found = view(BLUE, phase=phase, conditions=required("True"))
    assert kubevirt_does(nic_row, found) == ""
    assert nicplug_does(nic_row, found) == ""
