"""`nicplug migrations`: the table of the queue."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.build import kubevirt, migration
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.model.times import format_micro_time

MIGRATIONS = "GET /apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
LEDGER = "GET /api/v1/namespaces/nicplug-system/configmaps/nicplug-migration-slots"
IN_FRONT = "1st in the queue, behind move-a"


def moving(name: str, phase: str, *, created: str, reason: str = "", message: str = "", **state: str) -> dict[str, Any]:
    progressing = {"type": "Progressing", "status": "False", "reason": reason, "message": message}
    status = {"conditions": [progressing] if reason else [], "migrationState": state}
    return migration(
        phase, name=name, uid=f"uid-{name}", vmi_name=f"vm-{name}", status=status, creationTimestamp=created
    )


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    entry = {"namespace": "default", "migration": "a", "vmi": "vm-a", "sourceNode": "node01"}
    server.answers |= {
        MIGRATIONS: collection(
            moving("ended", "Succeeded", created="2026-01-01T00:00:00Z", sourceNode="node03", targetNode="node01"),
            moving("c", "Pending", created="2026-01-01T00:03:00Z", reason="WaitingForSlot", message="2nd in the queue"),
            moving("b", "Pending", created="2026-01-01T00:02:00Z", reason="WaitingForSlot", message=IN_FRONT),
            moving("a", "Running", created="2026-01-01T00:01:00Z", sourceNode="node01", targetNode="node02"),
        ),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        LEDGER: (200, {"data": {"uid-a": json.dumps(entry)}}),
        LEASE: (200, {"spec": {"holderIdentity": "a", "renewTime": format_micro_time(datetime.now(UTC))}}),
    }


def test_the_table(nicplug: CommandLine) -> None:
    done = nicplug("migrations")
    assert (done.exit_code, done.stderr) == (0, "")
    title, headings, *rest = done.stdout.splitlines()
    assert title.startswith("1 of 5 cluster migration slots in use; at most 2 away from each node, ")
    assert headings.split() == ["#", "MIGRATION", "VM", "PHASE", "REASON", "FROM", "TO", "AGE"]
    assert [told.split()[:7] for told in rest[:3]] == [
        ["-", "default/a", "vm-a", "Running", "-", "node01", "node02"],
        ["1", "default/b", "vm-b", "Pending", "WaitingForSlot", "-", "-"],
        ["2", "default/c", "vm-c", "Pending", "WaitingForSlot", "-", "-"],
    ]
    assert rest[3:] == [f"b: {IN_FRONT}", "c: 2nd in the queue"]


def test_those_that_have_ended_are_shown_when_asked_for(nicplug: CommandLine) -> None:
    assert "default/ended" not in nicplug("migrations").stdout
    told = nicplug("migrations", "--all").stdout.splitlines()
    assert told[5].split()[1:7] == ["default/ended", "vm-ended", "Succeeded", "-", "node03", "node01"]


def test_names_are_one_a_line(nicplug: CommandLine) -> None:
    assert nicplug("migrations", "-o", "name").stdout == "default/a\ndefault/b\ndefault/c\n"


def test_none(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[MIGRATIONS] = collection()
    assert "no migrations are running or waiting\n" in nicplug("migrations").stdout
    server.answers[MIGRATIONS] = collection(moving("ended", "Succeeded", created="2026-01-01T00:00:00Z"))
    told = "no migrations are running or waiting; 1 has ended: nicplug migrations -a\n"
    assert told in nicplug("migrations").stdout


def test_who_may_not_read_the_ledger_is_told_so(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[LEDGER] = refusal(403, "Forbidden", 'User "alice" cannot get resource "configmaps"')
    told = nicplug("migrations").stdout
    assert told.startswith("? of 5 cluster migration slots in use")
    assert "not known: which slots are taken" in told
