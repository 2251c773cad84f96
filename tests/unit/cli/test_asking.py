"""`plan` and `why` of somebody who may not read nodes: whom they ask, and what they do without an answer."""

import json
from typing import Any

import pytest
from tests.build import kubevirt, nad, nic, operation, pod, primary, row, vmi
from tests.unit.cli.played import NOT_SERVED, Answer, CommandLine, PlayedServer, collection, refusal

Json = dict[str, Any]
NAME = "vmi-fedora"
KUBEVIRT, PODS = "/apis/kubevirt.io/v1", "/api/v1/namespaces/default/pods"
OF_VM = f"/apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/{NAME}"
OF_VMI = OF_VM.replace("virtualmachines", "virtualmachineinstances")
NO_VM = refusal(404, "NotFound", f'virtualmachine.kubevirt.io "{NAME}" not found')
FORBIDDEN = refusal(403, "Forbidden", 'nodes is forbidden: User "alice" cannot list resource "nodes"')
PLAN: Json = {
    "apiVersion": "cli.nicplug.io/v1",
    "kind": "Plan",
    "target": {"kind": "VirtualMachine", "namespace": "default", "name": NAME},
    "arrives": True,
    "node": "node01",
    "nics": [],
    "pciSlots": {"before": None, "after": None},
    "migration": "nicplug-x",
    "migrationSlots": None,
    "policy": [],
    "policyProblems": [],
    "refusals": [],
    "unknown": [],
}
STORIES: Json = {
    "apiVersion": "cli.nicplug.io/v1",
    "kind": "NicStoryList",
    "items": [
        {
            "kind": "NicStory",
            "target": {"namespace": "default", "name": NAME},
            "nic": {
                "name": "blue",
                "network": "lan",
                "operation": "Plug",
                "phase": "Pending",
                "path": "Dynamic",
                "reason": "WaitingForPodInterface",
                "message": "m",
                "lastError": None,
            },
            "meaning": "m",
            "waitsFor": "somebody",
            "since": "2026-01-01T00:00:00+00:00",
            "todo": None,
            "next": [{"at": None, "what": "then"}],
            "moments": [{"at": "2026-01-01T00:00:00+00:00", "source": "record", "what": "it began"}],
            "unknown": [],
        }
    ],
}


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    """One VMI; everything may be read, and nobody serves the aggregated API."""
    waiting = vmi(primary(), nic("blue", attachment="lan"), operations=[operation("blue")], rows=[row("default")])
    server.answers |= {
        f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        f"GET {KUBEVIRT}/namespaces/default/virtualmachineinstances/{NAME}": (200, waiting),
        f"GET {KUBEVIRT}/namespaces/default/virtualmachines/{NAME}": refusal(404, "NotFound", "not found: vm"),
        f"GET {KUBEVIRT}/namespaces/default/virtualmachineinstancemigrations": collection(),
        f"GET {PODS}": collection(pod()),
        "GET /api/v1/nodes": collection(),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        "GET /api/v1/namespaces/default/events": collection(),
        "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/lan": (200, nad("lan")),
    }


def asked(server: PlayedServer) -> list[str]:
    """The requests to the aggregated API."""
    prefix = "/apis/subresources.kubevirt.io"
    return [f"{item.method} {item.path}" for item in server.requests if item.path.startswith(prefix)]


DENIALS = [
    pytest.param("GET /api/v1/nodes", id="nodes"),
    pytest.param("GET /apis/apps/v1/namespaces/kube-system/daemonsets", id="DaemonSets"),
    pytest.param(f"GET {PODS}", id="pods"),
    pytest.param(f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts", id="the KubeVirt CR"),
]


def test_who_may_read_everything_asks_nobody(server: PlayedServer, nicplug: CommandLine) -> None:
    planned = json.loads(nicplug("plan", NAME, "-o", "json").stdout)
    story = json.loads(nicplug("why", NAME, "blue", "-o", "json").stdout)
    assert (planned["evidenceFrom"], story["evidenceFrom"]) == ("kubeconfig", "kubeconfig")
    assert asked(server) == []


@pytest.mark.parametrize("denied", DENIALS)
class TestWithoutARight:
    @pytest.fixture(autouse=True)
    def _denied(self, server: PlayedServer, denied: str) -> None:
        server.answers |= {
            denied: FORBIDDEN,
            f"PUT {OF_VM}/nicplan": (200, PLAN),
            f"GET {OF_VM}/nicstory": (200, STORIES),
        }

    def test_a_plan_is_asked_for(self, server: PlayedServer, nicplug: CommandLine) -> None:
        done = nicplug("plan", NAME, "--add", "green=lan", "--remove", "blue", "--persist", "-o", "json")
        assert done.exit_code == 0, done.output
        planned = json.loads(done.stdout)
        assert (planned["evidenceFrom"], planned["node"]) == ("api", "node01")
        [request] = [item for item in server.requests if item.path.endswith("nicplan")]
        assert json.loads(request.body) == {
            "add": [{"name": "green", "networkAttachmentDefinitionName": "lan"}],
            "remove": [{"name": "blue"}],
            "persist": True,
        }

    def test_it_is_shown_as_any_other(self, nicplug: CommandLine) -> None:
        done = nicplug("plan", NAME)
        assert done.exit_code == 0, done.output
        shown = done.stdout
        assert f"VirtualMachine default/{NAME} on node01" in shown
        assert "nicplug-x would be made\n" in shown, "how many slots are taken is not known"

    def test_what_waits_for_a_restart_is_shown(self, server: PlayedServer, nicplug: CommandLine) -> None:
        red: Json = {"name": "red", "operation": "Change", "affected": True, "network": "lan", "binding": "bridge"}
        red |= {"outcome": "NeedsRestart", "path": "Restart", "phase": "Pending", "reason": "RestartRequired"}
        red |= {"message": 'interface "red" model: changed', "evidence": None, "otherwise": None}
        changed = {**PLAN, "arrives": False, "nics": [red], "restartFields": ["domain.memory", "domain.cpu"]}
        server.answers[f"PUT {OF_VM}/nicplan"] = (200, changed)
        done = nicplug("plan", NAME)
        assert done.exit_code == 9
        assert 'change NIC "red" on lan (bridge): not before the VM is restarted\n' in done.stdout
        assert '  why          RestartRequired: interface "red" model: changed\n' in done.stdout
        assert "  restart      needed for domain.memory, domain.cpu\n" in done.stdout

    def test_a_story_is_asked_for(self, server: PlayedServer, nicplug: CommandLine) -> None:
        story = json.loads(nicplug("why", NAME, "blue", "-o", "json").stdout)
        assert (story["evidenceFrom"], story["waitsFor"]) == ("api", "somebody")
        assert asked(server) == [f"GET {OF_VM}/nicstory?nic=blue"]
        assert "it began" in nicplug("why", NAME, "blue").stdout

    def test_a_vmi_that_belongs_to_no_vm(self, server: PlayedServer, nicplug: CommandLine) -> None:
        server.answers |= {f"PUT {OF_VM}/nicplan": NO_VM, f"PUT {OF_VMI}/nicplan": (200, PLAN)}
        assert json.loads(nicplug("plan", NAME, "-o", "json").stdout)["evidenceFrom"] == "api"

    @pytest.mark.parametrize(
        "answer", [NOT_SERVED, FORBIDDEN, refusal(503, "ServiceUnavailable", "no endpoints")], ids=["404", "403", "503"]
    )
    def test_where_nobody_can_be_asked_the_own_rights_have_to_do(
        self, server: PlayedServer, nicplug: CommandLine, denied: str, answer: Answer
    ) -> None:
        server.answers |= {f"PUT {OF_VM}/nicplan": answer, f"GET {OF_VM}/nicstory": answer}
        planned, told = nicplug("plan", NAME, "-o", "json"), nicplug("why", NAME, "blue", "-o", "json")
        if denied in (f"GET {PODS}", f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts"):
            code = 4 if answer is FORBIDDEN else 6
            assert (planned.exit_code, told.exit_code) == (code, code)
            return
        for document in (json.loads(planned.stdout), json.loads(told.stdout)):
            assert document["evidenceFrom"] == "kubeconfig"
            assert document["unknown"]


def test_why_printed_no_json_when_every_nic_is_ready(server: PlayedServer, nicplug: CommandLine) -> None:
    ready = vmi(primary(), rows=[row("default", "domain")])
    server.answers[f"GET {KUBEVIRT}/namespaces/default/virtualmachineinstances/{NAME}"] = (200, ready)
    empty = {"apiVersion": "cli.nicplug.io/v1", "kind": "NicStoryList", "items": []}
    found = json.loads(nicplug("why", NAME, "-o", "json").stdout)
    assert {member: found[member] for member in empty} == empty
    assert nicplug("why", NAME, "-o", "name").stdout == ""
    assert nicplug("why", NAME).stdout.startswith(f"every NIC of {NAME} is ready\n")


NO_KUBEVIRTS = refusal(403, "Forbidden", 'kubevirts.kubevirt.io is forbidden: User "alice" cannot list resource')
NO_VMS = refusal(403, "Forbidden", 'virtualmachines.kubevirt.io "V" is forbidden: User "alice" cannot get resource')
NO_NICPLAN = refusal(403, "Forbidden", 'User "alice" cannot update resource "virtualmachines/nicplan"')


@pytest.mark.parametrize("arguments", [("plan", NAME), ("why", NAME, "blue")])
class TestANamespaceUser:
    """Who may read VMs, and neither the KubeVirt CR nor nodes."""

    @pytest.fixture(autouse=True)
    def _denied(self, server: PlayedServer) -> None:
        server.answers[f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts"] = NO_KUBEVIRTS

    def test_a_stopped_api_was_a_missing_right(
        self, server: PlayedServer, nicplug: CommandLine, arguments: tuple[str, ...]
    ) -> None:
        down = refusal(503, "ServiceUnavailable", "no endpoints")
        server.answers |= {f"PUT {OF_VM}/nicplan": down, f"GET {OF_VM}/nicstory": down}
        done = nicplug(*arguments)
        assert done.exit_code == 6
        assert "nicplug's aggregated API does not answer" in done.stderr
        assert "kubevirts" not in done.stderr

    @pytest.mark.parametrize(("of_vm", "said"), [(NO_VMS, "virtualmachines.kubevirt.io"), (NO_VM, "/nicplan")])
    def test_who_may_not_read_vms_was_refused_the_kubevirt_cr(
        self, server: PlayedServer, nicplug: CommandLine, arguments: tuple[str, ...], of_vm: Answer, said: str
    ) -> None:
        server.answers |= {
            f"PUT {OF_VM}/nicplan": NO_NICPLAN,
            f"GET {OF_VM}/nicstory": NO_NICPLAN,
            f"GET {KUBEVIRT}/namespaces/default/virtualmachines/{NAME}": of_vm,
        }
        done = nicplug(*arguments)
        assert done.exit_code == 4
        assert said in done.stderr
        assert "kubevirts" not in done.stderr


class TestAManifestOfANamespaceUser:
    """`plan -f` of who may read VMs, and neither the KubeVirt CR nor nodes."""

    MANIFEST = json.dumps(vmi(primary(), nic("blue", attachment="lan")))

    @pytest.fixture(autouse=True)
    def _denied(self, server: PlayedServer) -> None:
        server.answers |= {
            f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts": NO_KUBEVIRTS,
            f"PATCH {KUBEVIRT}/namespaces/default/virtualmachineinstances/{NAME}": (200, json.loads(self.MANIFEST)),
        }

    @pytest.mark.parametrize(
        ("answer", "code", "said"),
        [
            (refusal(503, "ServiceUnavailable", "no endpoints"), 6, "nicplug's aggregated API does not answer"),
            (NOT_SERVED, 6, "does not serve subresources.kubevirt.io"),
            (NO_NICPLAN, 4, "virtualmachines/nicplan"),
        ],
        ids=["503", "404", "403"],
    )
    def test_a_stopped_api_was_a_missing_right(
        self, server: PlayedServer, nicplug: CommandLine, answer: Answer, code: int, said: str
    ) -> None:
        server.answers[f"PUT {OF_VM}/nicplan"] = answer
        done = nicplug("plan", "-f", "-", stdin=self.MANIFEST)
        assert done.exit_code == code, done.output
        assert said in done.stderr
        assert "kubevirts" not in done.stderr

    def test_a_vm_that_the_manifest_makes_is_not_asked_about(self, server: PlayedServer, nicplug: CommandLine) -> None:
        server.answers |= {f"PUT {OF_VM}/nicplan": NO_VM, f"PUT {OF_VMI}/nicplan": NO_VM}
        done = nicplug("plan", "-f", "-", stdin=self.MANIFEST)
        assert done.exit_code == 4
        assert "kubevirts" in done.stderr

    def test_the_api_answers(self, server: PlayedServer, nicplug: CommandLine) -> None:
        server.answers[f"PUT {OF_VM}/nicplan"] = (200, PLAN)
        done = nicplug("plan", "-f", "-", "-o", "json", stdin=self.MANIFEST)
        assert json.loads(done.stdout)["evidenceFrom"] == "api", done.output


def test_a_time_that_is_known_to_the_second_had_a_fraction(server: PlayedServer, nicplug: CommandLine) -> None:
    moments = [
        {"at": "2026-01-01T00:00:00+00:00", "source": "migration m", "what": "created"},
        {"at": "2026-01-01T00:00:00.250000+00:00", "source": "record", "what": "it began"},
    ]
    items = [{**STORIES["items"][0], "moments": moments}]
    server.answers |= {"GET /api/v1/nodes": FORBIDDEN, f"GET {OF_VM}/nicstory": (200, {**STORIES, "items": items})}
    told = [line.split()[0] for line in nicplug("why", NAME, "blue").stdout.splitlines()[-2:]]
    assert [len(item) for item in told] == [len("00:00:00"), len("00:00:00.250")], told


def test_a_nic_without_an_operation_had_two_spaces(server: PlayedServer, nicplug: CommandLine) -> None:
    story = STORIES["items"][0]
    items = [{**story, "nic": {**story["nic"], "operation": None, "phase": "Ready", "path": None}}]
    server.answers |= {"GET /api/v1/nodes": FORBIDDEN, f"GET {OF_VM}/nicstory": (200, {**STORIES, "items": items})}
    assert nicplug("why", NAME, "blue").stdout.startswith('NIC "blue" on lan: Ready\n')


def test_what_is_wrong_with_the_question_is_said(server: PlayedServer, nicplug: CommandLine) -> None:
    wrong = refusal(400, "BadRequest", "VM vmi-fedora has no VMI to change. Add --persist to plan for the template.")
    server.answers |= {"GET /api/v1/nodes": FORBIDDEN, f"PUT {OF_VM}/nicplan": wrong}
    done = nicplug("plan", NAME, "--add", "lan")
    assert done.exit_code == 7
    assert "Add --persist" in done.output


def test_a_dry_run_that_the_api_server_refuses_is_in_the_plan(server: PlayedServer, nicplug: CommandLine) -> None:
    server.answers |= {
        "GET /api/v1/nodes": FORBIDDEN,
        f"PUT {OF_VM}/nicplan": (200, PLAN),
        f"PATCH {KUBEVIRT}/namespaces/default/virtualmachineinstances/{NAME}": refusal(
            422, "Invalid", "policy says no"
        ),
    }
    done = nicplug("plan", NAME, "--add", "red=lan", "-o", "json")
    planned = json.loads(done.stdout)
    assert (planned["arrives"], done.exit_code) == (False, 9)
    assert "policy says no" in planned["refusals"][0]


def test_no_credentials_are_no_missing_right(server: PlayedServer, nicplug: CommandLine) -> None:
    server.answers[f"GET {PODS}"] = refusal(401, "Unauthorized", "Unauthorized")
    assert nicplug("plan", NAME).exit_code == 4
    assert asked(server) == []
