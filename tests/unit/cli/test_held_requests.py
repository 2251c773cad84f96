"""Requests that wait for somebody else than the operator: they were said to wait for it."""

import json

import pytest
from tests.build import VM_UID, Json, kubevirt, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
KUBEVIRTS = "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
OFF = "hot-plug is off in KubeVirt CR kubevirt/kubevirt"
REMEDY = 'Add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates of the KubeVirt CR'
ASKED = {"addInterfaceOptions": {"name": "gated", "networkAttachmentDefinitionName": "lan"}}


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that runs, with a request for a NIC; hot-plug is off."""
    monkeypatch.delenv("NICPLUG_NAMESPACE", raising=False)
    monkeypatch.setattr("nicplug.cli.wait.PATIENCE_SECONDS", 0.01)
    away = refusal(503, "ServiceUnavailable", "no watches here")
    asking = vm(primary(), name="V", status={"interfaceRequests": [ASKED]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, asking),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, running()),
        f"GET {OBJECT}/virtualmachines": away,
        f"GET {OBJECT}/virtualmachineinstances": away,
        f"GET {OBJECT}/virtualmachineinstancemigrations": collection(),
        KUBEVIRTS: collection(kubevirt("Other")),
        "GET /api/v1/namespaces/default/pods": collection(),
        "GET /apis/apps/v1/namespaces/default/controllerrevisions": collection(),
        "GET /api/v1/namespaces/default/events": collection(),
        LEASE: refusal(403, "Forbidden", "you cannot get leases"),
    }


def running() -> Json:
    return vmi(primary(), name="V", owner_uid=VM_UID, rows=[row("default", "domain")])


def test_a_request_that_waits_for_the_gate_was_said_to_wait_for_the_operator(nicplug: CommandLine) -> None:
    told = nicplug("why", "V", "gated").stdout
    assert f"why        FeatureGateDisabled: {OFF}\n" in told
    assert "waits for  the cluster admin\n" in told
    assert REMEDY in told


def test_status_says_what_requests_wait_for(nicplug: CommandLine) -> None:
    told = nicplug("status", "V").stdout
    assert 'requested  add NIC "gated" on network lan\n' in told
    assert f"           {OFF}\n" in told
    assert OFF in json.loads(nicplug("status", "V", "-o", "json").stdout)["inFlight"]["requestsWaitFor"]


def test_wait_ran_to_its_end_though_the_gate_was_off(nicplug: CommandLine) -> None:
    done = nicplug("wait", "V", "gated")
    assert done.exit_code == 9, done.output
    assert OFF in done.stderr
    assert REMEDY in done.stderr


def test_wait_goes_on_where_the_gate_is_on_or_nobody_may_tell(nicplug: CommandLine, server: PlayedServer) -> None:
    for answer in (collection(kubevirt()), refusal(403, "Forbidden", "you cannot list kubevirts")):
        server.answers[KUBEVIRTS] = answer
        assert nicplug("wait", "V", "gated", "--timeout", "0.1s").exit_code == 8


def test_a_plan_without_a_change_said_that_nothing_would_happen_to_a_request(nicplug: CommandLine) -> None:
    done = nicplug("plan", "V", "-o", "json")
    assert done.exit_code == 9, done.output
    (gated,) = json.loads(done.stdout)["nics"]
    assert (gated["name"], gated["outcome"], gated["reason"]) == ("gated", "Stuck", "FeatureGateDisabled")
    assert OFF in gated["message"]


@pytest.mark.parametrize("names", [("gated",), ()], ids=["a NIC", "all"])
def test_wait_ran_to_its_end_for_a_vm_that_is_stopped(
    nicplug: CommandLine, server: PlayedServer, names: tuple[str, ...]
) -> None:
    server.answers[KUBEVIRTS] = collection(kubevirt())
    stopped = vm(primary(), name="V", run_strategy="Halted", status={"interfaceRequests": [ASKED]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, stopped),
        f"GET {OBJECT}/virtualmachineinstances/V": refusal(404, "NotFound", "no VMI"),
    }
    done = nicplug("wait", "V", *names)
    assert done.exit_code == 9, done.output
    assert "VM V is stopped: its NICs come when it starts" in done.stderr
    assert "nicplug start V --namespace default" in done.stderr
