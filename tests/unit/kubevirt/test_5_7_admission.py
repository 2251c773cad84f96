"""Sections 5.7 and 7.1: what the webhooks of virt-api refuse."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, condition, migration, uid, vmi

from nicplug_sandbox.kubevirt.admission import (
    VIRT_CONTROLLER,
    admitted_migration,
    refused_creation,
    refused_migration_update,
    refused_vmi_update,
)

NOT_LIVE = condition("LiveMigratable", "False", reason="DisksNotLiveMigratable", message="a disk")
SOMEBODY = "somebody"


def refusal(mig: Any, *, machine: Any = None, others: tuple[Any, ...] = (), user: str = SOMEBODY) -> str:
    found = refused_creation(mig, user=user, vmi=machine, migrations=list(others))
    return found.message if found else ""


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (None, 'the VMI "default/fedora" does not exist'),
        (vmi(phase="Failed"), "Cannot migrate VMI in finalized state."),
        (vmi(conditions=(NOT_LIVE,)), "Cannot migrate VMI, Reason: DisksNotLiveMigratable, Message: a disk"),
        (vmi(conditions=(LIVE,)), ""),
        (vmi(), ""),
        (vmi(conditions=(condition("LiveMigratable", "Unknown"),)), ""),
    ],
)
def test_creation(machine: Any, text: str) -> None:
    assert refusal(migration(), machine=machine) == text


@pytest.mark.parametrize(("phase", "refused"), [("", True), ("Running", True), ("Succeeded", False), ("Failed", False)])
def test_one_in_flight(phase: str, refused: bool) -> None:
    text = (
        f"in-flight migration detected. Active migration job ({uid('old')}) "
        "is currently already in progress for VMI fedora."
    )
    assert refusal(migration(), machine=vmi(), others=(migration("old", phase=phase),)) == (text if refused else "")


def test_vmi_name_and_priority() -> None:
    nameless = {"metadata": {"name": "x", "namespace": "default"}, "spec": {}}
    assert refusal(nameless) == "vmiName is missing"
    urgent = migration(priority="user-triggered")
    text = "Migration priority queue, only virt-controller is allowed to set priority field"
    assert refusal(urgent, machine=vmi()) == text
    assert refusal(urgent, machine=vmi(), user=VIRT_CONTROLLER) == ""


def test_a_stored_migration_has_the_label_and_the_finalizer() -> None:
    sent = {"metadata": {"name": "x", "namespace": "default"}, "spec": {"vmiName": "fedora"}}
    metadata = admitted_migration(sent)["metadata"]
    assert metadata["labels"] == {"kubevirt.io/vmi-name": "fedora"}
    assert metadata["finalizers"] == ["kubevirt.io/migrationJobFinalize"]


def test_updates_of_migrations() -> None:
    old = migration(phase="Running")
    assert refused_migration_update(old, old) is None
    other = {**old, "spec": {"vmiName": "other"}}
    assert (found := refused_migration_update(other, old)) is not None
    assert found.message == "update of Migration object's spec is restricted"
    bare = {**old, "metadata": {**old["metadata"], "labels": {}}}
    assert (found := refused_migration_update(bare, old)) is not None
    assert found.message == "selector label can't be removed from an in-flight migration"


def test_updates_of_vmis() -> None:
    old, new = vmi(), vmi()
    new["spec"]["networks"] = []
    assert (found := refused_vmi_update(new, old, user=SOMEBODY)) is not None
    assert found.message == "update of VMI object is restricted"
    assert refused_vmi_update(new, old, user=VIRT_CONTROLLER) is None
    moved = vmi(node="node07")
    assert (found := refused_vmi_update({**moved, "spec": old["spec"]}, old, user=SOMEBODY)) is not None
    assert "reserved kubevirt.io/ labels" in found.message
