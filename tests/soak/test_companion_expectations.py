"""What a soak beside KubeVirt checks really fails when it should: a good world, and one thing wrong at a time."""

import copy
from collections.abc import Callable

import pytest
from tests.perf.concurrency import Concurrency, MigrationSight
from tests.soak.bodies import vm_body
from tests.soak.companion_expectations import companion_violations, doubled, explained, left_behind, makers
from tests.soak.expectations import Found
from tests.soak.users import Declared

from nicplug_sandbox.node.api import Json

NIC = "blue"
Spoil = Callable[[dict[str, Json]], object]


def world() -> dict[str, Json]:
    """A VM with one NIC, as it is when all is well."""
    vm = vm_body("vm", NIC, home="node01")
    vm["metadata"] |= {"uid": "vm-uid", "generation": 3}
    owner = [{"uid": "vm-uid", "controller": True}]
    rows = [{"name": "default", "infoSource": "domain"}, {"name": NIC, "infoSource": "domain, multus-status"}]
    vmi: Json = {
        "metadata": {"name": "vm", "uid": "vmi-uid", "ownerReferences": owner},
        "spec": copy.deepcopy(vm["spec"]["template"]["spec"]),
        "status": {"phase": "Running", "interfaces": rows},
    }
    report: Json = {
        "metadata": {"name": "vm", "uid": "report-uid", "ownerReferences": owner},
        "status": {
            "vmiUid": "vmi-uid",
            "observedGeneration": 3,
            "interfaceOperations": [{"name": NIC, "phase": "Ready", "reason": "Attached"}],
            "conditions": [{"type": "InterfacesReady", "status": "True"}],
        },
    }
    migration: Json = {
        "metadata": {"name": "nicplug-0123456789"},
        "spec": {"vmiName": "vm"},
        "status": {"phase": "Succeeded"},
    }
    return {"vm": vm, "vmi": vmi, "report": report, "migration": migration}


def found(objects: dict[str, Json]) -> Found:
    vms, vmis, reports, jobs = (
        tuple(objects[key] for key in (kind,) if key in objects) for kind in ("vm", "vmi", "report", "migration")
    )
    return Found(vms=vms, vmis=vmis, pods=(), reports=reports, migrations=jobs)


def declared(**members: object) -> dict[str, Declared]:
    wanted = Declared(template={NIC: "up"})
    for name, value in members.items():
        setattr(wanted, name, value)
    return {"vm": wanted}


def lose_nic(objects: dict[str, Json], *, phase: str, reason: str, ready: str = "False") -> None:
    """The guest does not have the NIC, and the report says this about it."""
    objects["vmi"]["status"]["interfaces"].pop()
    status = objects["report"]["status"]
    status["interfaceOperations"] = [{"name": NIC, "phase": phase, "reason": reason, "message": "why"}]
    status["conditions"] = [{"type": "InterfacesReady", "status": ready}]


def test_a_world_as_declared_has_no_violations() -> None:
    assert companion_violations(found(world()), declared()) == []
    assert explained(found(world()), declared()) == []


def test_a_nic_that_is_not_in_the_guest_is_allowed_if_its_report_says_why() -> None:
    objects = world()
    lose_nic(objects, phase="Failed", reason="MigrationFailed")
    assert companion_violations(found(objects), declared()) == []
    assert explained(found(objects), declared()) == [f"vm: NIC {NIC}: MigrationFailed: why"]


def test_a_halted_vm_has_no_instance() -> None:
    objects = world()
    assert "halted" in companion_violations(found(objects), declared(runs=False))[0]
    del objects["vmi"]
    assert companion_violations(found(objects), declared(runs=False)) == []


def test_a_deleted_vm_leaves_nothing() -> None:
    objects = world()
    told = companion_violations(found(objects), declared(exists=False))
    assert [text.split(" ")[0] for text in told] == ["VM", "VMI", "InterfaceReport"]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        pytest.param(lambda o: o.pop("vm"), "VM vm: is missing", id="no VM"),
        pytest.param(lambda o: o.pop("vmi"), "no instance of its own", id="no VMI"),
        pytest.param(lambda o: o["vmi"]["status"].update(phase="Scheduling"), "is not Running", id="not running"),
        pytest.param(lambda o: o.pop("report"), "InterfaceReport vm: is missing", id="no report"),
        pytest.param(lambda o: o["report"]["status"].update(vmiUid="old"), "vmiUid is old", id="of another VMI"),
        pytest.param(
            lambda o: o["report"]["status"].update(observedGeneration=2), "observedGeneration is 2", id="outdated"
        ),
        pytest.param(lambda o: o["report"]["metadata"].update(ownerReferences=[]), "owner is , not vm-uid", id="owner"),
        pytest.param(
            lambda o: lose_nic(o, phase="Pending", reason="WaitingForSlot"), "is only wanted", id="waits for ever"
        ),
        pytest.param(lambda o: lose_nic(o, phase="Ready", reason="Attached"), "is only wanted", id="not there at all"),
        pytest.param(lambda o: lose_nic(o, phase="Failed", reason=""), "is only wanted", id="no reason"),
        pytest.param(
            lambda o: lose_nic(o, phase="Failed", reason="MigrationFailed", ready="True"),
            "InterfacesReady is True",
            id="ready too early",
        ),
        pytest.param(
            lambda o: o["report"]["status"]["conditions"][0].update(status="False"),
            "InterfacesReady is False",
            id="never ready",
        ),
        pytest.param(
            lambda o: o["report"]["status"]["interfaceOperations"][0].update(phase="Plugging"),
            "is as declared, and its record Plugging",
            id="record behind",
        ),
        pytest.param(
            lambda o: o["vmi"]["status"]["interfaces"].append({"name": "red", "infoSource": "domain"}),
            "NIC red is only in the guest",
            id="not wanted",
        ),
        pytest.param(
            lambda o: o["migration"]["status"].update(phase="Pending"),
            "migration nicplug-0123456789 of vm: is Pending",
            id="migration goes on",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_told(spoil: Spoil, text: str) -> None:
    objects = world()
    spoil(objects)
    told = companion_violations(found(objects), declared())
    assert any(text in line for line in told), told


def test_two_migrations_of_nicplugs_at_once_are_told_and_one_beside_anothers_is_not() -> None:
    seen = Concurrency(doubled=["soak/vm: nicplug-1, nicplug-2", "soak/vm: job-1, nicplug-3"])
    assert doubled(seen) == ["two unfinished migrations of nicplug's: soak/vm: nicplug-1, nicplug-2"]


def test_migrations_are_told_apart_by_their_makers() -> None:
    names = ("nicplug-1", "kubevirt-workload-update-x", "kubevirt-evacuation-x", "job-x", "other")
    sights = [MigrationSight(version=1, at=0.0, uid=name, name=name, vmi="soak/vm", phase="Failed") for name in names]
    seen = Concurrency(phases=dict.fromkeys(names, "Failed"))
    assert list(makers(sights, seen).values()) == [
        "nicplug Failed",
        "updater Failed",
        "evacuation Failed",
        "users Failed",
        "somebody Failed",
    ]


@pytest.mark.parametrize(
    ("one", "text"),
    [
        ("vm", "VM vm: is left"),
        ("vmi", "VMI vm: is left"),
        ("report", "InterfaceReport vm: is left"),
        ("migration", "migration nicplug-0123456789: is left"),
    ],
)
def test_what_is_left_after_all_vms_were_deleted(one: str, text: str) -> None:
    assert left_behind(found({})) == []
    assert left_behind(found({one: world()[one]})) == [text]


def test_a_finished_migration_of_a_users_may_stay() -> None:
    job = world()["migration"]
    job["metadata"]["name"] = "job-1"
    assert left_behind(found({"migration": job})) == []
