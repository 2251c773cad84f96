"""What a VM says to migrate (KubeVirt 1.0, with the refusals of its webhook)."""

from typing import Any

import pytest
from tests.build import NAME, VM_UID, Json, a_migration, a_vm, a_vmi, migration, vm, vmi

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Create
from nicplug.plan.subresources.answers import Answer
from nicplug.plan.subresources.migrate import ask_migrate

CONFLICT = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{NAME}": '
RUNNING = vmi(owner_uid=VM_UID)


def ask(body: Any = None, *, raw: Json | None = None, found: Json | None = RUNNING, others: Any = ()) -> Answer:
    return ask_migrate(
        {} if body is None else body,
        name=NAME,
        vm=a_vm(raw or vm()),
        vmi=a_vmi(found) if found is not None else None,
        migrations=[a_migration(item) for item in others],
    )


def made(answer: Answer) -> Json:
    assert answer.code == 202
    assert isinstance(answer.write, Create)
    body: Json = thaw(answer.write.body)
    assert body["metadata"]["name"] == answer.write.key.name
    return body


def test_a_migration_is_made() -> None:
    body = made(ask())
    assert body["spec"] == {"vmiName": NAME}
    assert body["metadata"]["labels"] == {"kubevirt.io/vmi-name": NAME}
    assert body["metadata"]["name"].startswith("kubevirt-migrate-vm-")


def test_where_to_is_passed_on() -> None:
    assert made(ask({"addedNodeSelector": {"zone": "b"}}))["spec"]["addedNodeSelector"] == {"zone": "b"}


def test_two_that_ask_at_once_make_the_same_one_and_the_next_makes_another() -> None:
    first, again = made(ask()), made(ask())
    later = made(ask(others=[migration("Succeeded")]))
    assert first == again
    assert later["metadata"]["name"] != first["metadata"]["name"]


@pytest.mark.parametrize("option", ["dryRun", "dryrun", "DryRun"])
def test_a_dry_run_makes_none(option: str) -> None:
    answer = ask({option: ["All"]})
    assert (answer.code, answer.write) == (202, None)


NOT_MIGRATABLE = {"type": "LiveMigratable", "status": "False", "reason": "X", "message": "a disk is local"}


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"found": None}, 404, f'virtualmachineinstance.kubevirt.io "{NAME}" not found'),
        ({"found": vmi(phase="Scheduling", owner_uid=VM_UID)}, 409, f"{CONFLICT}VM is not running"),
        ({"found": vmi(owner_uid="another")}, 409, f"{CONFLICT}VM is not running"),
        (
            {"found": vmi(owner_uid=VM_UID, conditions=[NOT_MIGRATABLE])},
            409,
            f"{CONFLICT}Cannot migrate VMI, Reason: X, Message: a disk is local",
        ),
        (
            {"others": [migration("Failed", uid="a"), migration("Pending", uid="b")]},
            409,
            f"{CONFLICT}in-flight migration detected. Active migration job (b) is currently already in progress for "
            f"VMI {NAME}.",
        ),
        (
            {"body": {"addedNodeSelector": {"zone": 1}}},
            400,
            "Can not unmarshal Request body to struct, error: json: cannot unmarshal number into Go struct field "
            "MigrateOptions.addedNodeSelector of type string",
        ),
    ],
)
def test_refusal(given: Any, code: int, message: str) -> None:
    answer = ask(**given)
    assert (answer.code, answer.message, answer.write) == (code, message, None)


def test_no_such_vm() -> None:
    answer = ask_migrate({}, name=NAME, vm=None, vmi=a_vmi(RUNNING), migrations=())
    assert (answer.code, answer.message) == (404, f'virtualmachine.kubevirt.io "{NAME}" not found')
