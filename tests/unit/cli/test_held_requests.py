"""Requests that wait for somebody else than the operator: they were said to wait for it."""

import json

import pytest
from tests.build import VM_UID, Json, kubevirt, nad, nic, primary, row, vm, vmi
from tests.unit.cli.played import ACCEPTED, CommandLine, PlayedServer, collection, refusal

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
KUBEVIRTS = "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
OFF = "hot-plug is off in KubeVirt CR kubevirt/kubevirt"
REMEDY = 'Add "HotplugNICs" to spec.configuration.developerConfiguration.featureGates of the KubeVirt CR'
VM_PATH = "/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/V"
NICSTORY = f"GET {VM_PATH}/nicstory"
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


GATED: Json = {"name": "gated", "phase": "Blocked", "reason": "FeatureGateDisabled", "message": OFF, "remedy": REMEDY}
STORY: Json = {"nic": GATED, "todo": REMEDY}
WAITS: Json = {"nic": {**GATED, "phase": "Pending", "reason": None, "remedy": None}, "todo": None}


class TestOfAnOwnerWhoMayNotReadTheKubevirtCr:
    """Nothing was said of the gate: `nicplug api` tells it, about a VM that the owner may see."""

    @pytest.fixture(autouse=True)
    def _denied(self, server: PlayedServer) -> None:
        server.answers[KUBEVIRTS] = refusal(403, "Forbidden", 'User "tenant" cannot list kubevirts')
        self.told_by(server, STORY)

    def told_by(self, server: PlayedServer, *stories: Json) -> None:
        server.answers[NICSTORY] = 200, {"kind": "NicStoryList", "items": list(stories)}

    def asked(self, server: PlayedServer) -> int:
        return sum(item.path.startswith(NICSTORY.removeprefix("GET ")) for item in server.requests)

    def test_status(self, nicplug: CommandLine) -> None:
        told = nicplug("status", "V").stdout
        assert f"           {OFF}\n" in told
        assert f"           To do: {REMEDY}\n" in told
        assert OFF in json.loads(nicplug("status", "V", "-o", "json").stdout)["inFlight"]["requestsWaitFor"]

    def test_status_of_all_vms(self, nicplug: CommandLine, server: PlayedServer) -> None:
        asking = vm(primary(), name="V", status={"interfaceRequests": [ASKED]})
        server.answers |= {
            f"GET {OBJECT}/virtualmachines": collection(asking),
            f"GET {OBJECT}/virtualmachineinstances": collection(running()),
        }
        assert "FeatureGateDisabled" in nicplug("status").stdout
        (item,) = json.loads(nicplug("status", "-o", "json").stdout)["items"]
        assert (item["reason"], item["remedy"]) == ("FeatureGateDisabled", REMEDY)
        assert item["message"] == f'add NIC "gated" on network lan: {OFF}'

    @pytest.mark.parametrize("names", [("gated",), ()], ids=["a NIC", "all"])
    def test_wait(self, nicplug: CommandLine, names: tuple[str, ...]) -> None:
        done = nicplug("wait", "V", *names)
        assert done.exit_code == 9, done.output
        assert OFF in done.stderr
        assert REMEDY in done.stderr

    def test_wait_goes_on_where_the_api_says_that_the_gate_is_on(
        self, nicplug: CommandLine, server: PlayedServer
    ) -> None:
        self.told_by(server, WAITS)
        assert nicplug("wait", "V", "gated", "--timeout", "0.5s").exit_code == 8
        assert self.asked(server) == 1, "an answer costs the API a dozen reads"

    @pytest.mark.parametrize("code", [403, 404, 503])
    def test_without_an_answer_of_the_api_nothing_is_said(
        self, nicplug: CommandLine, server: PlayedServer, code: int
    ) -> None:
        server.answers[NICSTORY] = refusal(code, "No", "you cannot have it")
        done = nicplug("status", "V")
        assert done.exit_code == 0, done.output
        assert OFF not in done.stdout

    def test_nobody_asks_about_a_vm_without_requests(self, nicplug: CommandLine, server: PlayedServer) -> None:
        server.answers[f"GET {OBJECT}/virtualmachines/V"] = 200, vm(primary(), name="V")
        nicplug("status", "V")
        assert self.asked(server) == 0


def test_status_of_all_vms_says_what_requests_wait_for(nicplug: CommandLine, server: PlayedServer) -> None:
    asking = vm(primary(), name="V", status={"interfaceRequests": [ASKED]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines": collection(asking),
        f"GET {OBJECT}/virtualmachineinstances": collection(running()),
    }
    assert "FeatureGateDisabled" in nicplug("status").stdout
    server.answers[KUBEVIRTS] = collection(kubevirt())
    assert "Requested" in nicplug("status").stdout


class TestARequestToRemove:
    """The NIC was said to be ready, and that nobody had asked for it to go."""

    @pytest.fixture(autouse=True)
    def _asked_to_go(self, server: PlayedServer) -> None:
        request = {"removeInterfaceOptions": {"name": "red"}}
        nics = (primary(), nic("red", attachment="lan"))
        there = [row("default", "domain"), row("red", "domain", "multus-status")]
        server.answers |= {
            f"GET {OBJECT}/virtualmachines/V": (200, vm(*nics, name="V", status={"interfaceRequests": [request]})),
            f"GET {OBJECT}/virtualmachineinstances/V": (200, vmi(*nics, name="V", owner_uid=VM_UID, rows=there)),
        }

    def test_why_says_what_it_waits_for(self, nicplug: CommandLine) -> None:
        told = nicplug("why", "V", "red").stdout
        assert told.startswith('NIC "red" on lan: Unplug Blocked\n')
        assert f"why        FeatureGateDisabled: {OFF}\n" in told
        assert REMEDY in told

    def test_why_says_that_it_waits_for_the_operator(self, nicplug: CommandLine, server: PlayedServer) -> None:
        server.answers[KUBEVIRTS] = collection(kubevirt())
        told = nicplug("why", "V", "red").stdout
        assert told.startswith('NIC "red" on lan: Unplug Pending\n')
        assert "requested, waiting for the operator" in told

    def test_wait_ends(self, nicplug: CommandLine) -> None:
        done = nicplug("wait", "V", "red", "--for", "gone")
        assert done.exit_code == 9, done.output
        assert f'a request waits (remove NIC "red"): {OFF}' in done.stderr

    def test_wait_does_not_say_that_nobody_has_asked(self, nicplug: CommandLine, server: PlayedServer) -> None:
        server.answers[KUBEVIRTS] = collection(kubevirt())
        done = nicplug("wait", "V", "red", "--for", "gone", "--timeout", "0.1s")
        assert done.exit_code == 8, done.output
        assert "Nobody has asked" not in done.stderr
        assert "nicplug why V red" in done.stderr


def test_add_and_remove_looked_for_the_gate_in_the_namespace_kubevirt(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator serves the KubeVirt CR of another one."""
    monkeypatch.setenv("NICPLUG_KUBEVIRT_NAMESPACE", "hco")
    of_hco = kubevirt("Other")
    of_hco["metadata"]["namespace"] = "hco"
    server.answers |= {
        KUBEVIRTS: collection(),
        KUBEVIRTS.replace("/namespaces/kubevirt/", "/namespaces/hco/"): collection(of_hco),
        f"PUT {VM_PATH}/addinterface": ACCEPTED,
        "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/lan": (200, nad("lan")),
    }
    done = nicplug("add", "V", "--network", "lan", "--name", "gated", "--persist", "--wait")
    assert done.exit_code == 9, done.output
    assert "hot-plug is off in KubeVirt CR hco/kubevirt" in done.stderr


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
