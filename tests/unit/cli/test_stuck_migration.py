"""A NIC whose migration waits for somebody: `status`, `why` and `wait` say so, and say it once."""

import json

import pytest
from tests.build import VM_UID, kubevirt, migration, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
TOLD = 'NIC "red" is in the guest, and the target pod cannot have it: namespace default may not use it; given up at 5'
REMEDY = "Ask the cluster admin to allow that network"
OUTDATED = {
    "type": "OutdatedNetworkAttachments",
    "status": "True",
    "reason": "NetworkNotAllowed",
    "message": 'NIC "red" is in the guest and stays there, but no new pod gets it',
}
RECORD = operation(
    "blue",
    phase="Migrating",
    path="Migration",
    reason="NoDynamicController",
    message=f"the cluster has no dynamic networks controller: migrating the VM by job ({TOLD})",
    migration="job",
    remedy=REMEDY,
)


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NICPLUG_NAMESPACE", raising=False)
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    running = vmi(
        primary(),
        nic("red"),
        nic("blue"),
        name="V",
        owner_uid=VM_UID,
        operations=[RECORD],
        rows=rows,
        conditions=[OUTDATED],
    )
    stuck = {"type": "Progressing", "status": "False", "reason": "NetworkNotAllowed", "message": TOLD}
    phases = [{"phase": "Pending", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}]
    status = {"conditions": [stuck], "phaseTransitionTimestamps": phases}
    job = migration("Pending", name="job", vmi_name="V", status=status)
    away = refusal(503, "ServiceUnavailable", "no watches here")
    said = {"involvedObject": {"uid": job["metadata"]["uid"], "name": "job"}, "reason": "NetworkNotAllowed"}
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, vm(primary(), nic("red"), nic("blue"), name="V")),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, running),
        f"GET {OBJECT}/virtualmachines": away,
        f"GET {OBJECT}/virtualmachineinstances": away,
        f"GET {OBJECT}/virtualmachineinstancemigrations": collection(job),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/namespaces/default/pods": collection(),
        "GET /apis/apps/v1/namespaces/default/controllerrevisions": collection(),
        "GET /api/v1/namespaces/default/events": collection(
            {**said, "message": TOLD, "lastTimestamp": "2026-01-02T03:04:06Z", "metadata": {}}
        ),
        LEASE: refusal(403, "Forbidden", "you cannot get leases"),
    }


def test_what_a_migration_waits_for_stood_twice_in_status(nicplug: CommandLine) -> None:
    told = nicplug("status", "V").stdout
    assert told.count(TOLD) == 1
    assert "blue       the cluster has no dynamic networks controller: migrating the VM by job\n" in told
    assert f"           To do: {REMEDY}\n" in told
    assert json.loads(nicplug("status", "V", "-o", "json").stdout)["nics"][2]["message"].endswith(f"({TOLD})")


def test_status_did_not_show_that_a_network_is_no_longer_allowed(nicplug: CommandLine) -> None:
    assert f"outdated   {OUTDATED['message']}\n" in nicplug("status", "V").stdout
    assert json.loads(nicplug("status", "V", "-o", "json").stdout)["outdatedAttachments"] == OUTDATED["message"]


def test_what_a_migration_waits_for_stood_five_times_in_why(nicplug: CommandLine) -> None:
    told = nicplug("why", "V", "blue").stdout
    assert told.count(TOLD) == 1
    assert f"  waits for  migration job: {TOLD}\n" in told
    assert 'Pending: as "waits for" says' in told
    assert 'NetworkNotAllowed: as "waits for" says' in told
    assert f"  to do      {REMEDY}\n" in told


def test_wait_went_on_to_the_end_though_somebody_had_to_act(
    nicplug: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nicplug.cli.wait.PATIENCE_SECONDS", 0.01)
    done = nicplug("wait", "V", "blue")
    assert (done.exit_code, REMEDY in done.stderr) == (9, True), done.output


def test_the_reason_of_the_overview_is_that_of_the_nic_that_needs_action(
    nicplug: CommandLine, server: PlayedServer
) -> None:
    waiting = operation("amber", phase="Pending", reason="WaitingForPodInterface")
    running = vmi(primary(), nic("amber"), nic("blue"), name="V", owner_uid=VM_UID, operations=[waiting, RECORD])
    server.answers |= {
        f"GET {OBJECT}/virtualmachines": collection(),
        f"GET {OBJECT}/virtualmachineinstances": collection(running),
    }
    assert nicplug("status").stdout.splitlines()[1].endswith("NoDynamicController")
