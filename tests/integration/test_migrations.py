"""Migrations that a user asks for, on a real API server: the page that started the project, cancellation, bad luck."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.kubectl import Kubectl
from tests.integration.user import MIGRATION, NAD, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, nics, plug, unplug, vm, vmi

from nicplug_sandbox.operator_process import ROOT

EXAMPLES = ROOT / "examples"
NODES = ("node01", "node02")
PREFIX = "sandbox.nicplug.io/"
JOB = "kubevirt.io/migrationJobUID"
LONG = "60s"

SetNode = Callable[..., None]


@pytest.fixture
def set_node(sandbox: Sandbox) -> Iterator[SetNode]:
    """Annotate a node, or change its spec; put right at the end."""
    admin = sandbox.user("default")
    changed: set[tuple[str, str]] = set()
    cordoned: set[str] = set()

    def write(node: str, *, cordon: bool | None = None, **roles: str | None) -> None:
        annotations = {f"{PREFIX}{role.replace('_', '-')}": value for role, value in roles.items()}
        changed.update((node, name) for name in annotations)
        patch: Json = {"metadata": {"annotations": annotations}}
        if cordon is not None:
            patch["spec"] = {"unschedulable": cordon}
            cordoned.add(node)
        admin.merge("nodes", node, patch)

    yield write
    for node, name in changed:
        admin.merge("nodes", node, {"metadata": {"annotations": {name: None}}})
    for node in cordoned:
        admin.merge("nodes", node, {"spec": {"unschedulable": None}})


def kubectl_of(user: User) -> Kubectl:
    return Kubectl(kubeconfig=user.kubeconfig, namespace=user.namespace)


def migrate(user: User, name: str = "a", *, job: str = "job", annotations: Json | None = None, **spec: Any) -> None:
    """kubectl create."""
    user.create(
        MIGRATION,
        {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": {"name": job, "annotations": annotations or {}},
            "spec": {"vmiName": name, **spec},
        },
    )


def phase_of(user: User, job: str = "job") -> str:
    return str(((user.get(MIGRATION, job) or {}).get("status") or {}).get("phase") or "")


def until_phase(user: User, phase: str, *, job: str = "job") -> None:
    until(lambda: phase_of(user, job) == phase, seconds=60)


def progressing(user: User, job: str = "job") -> Json:
    return user.condition(job, "Progressing", plural=MIGRATION)


def node_of(user: User, name: str = "a") -> str:
    return str((user.get(VMI, name) or {})["status"]["nodeName"])


def other(node: str) -> str:
    (found,) = set(NODES) - {node}
    return found


def running(user: User, *nics: str, annotations: Json | None = None) -> str:
    """A bare VMI `a` with these NICs, running; its node."""
    body = vmi("a", *nics)
    body["metadata"]["annotations"] = annotations or {}
    user.create(VMI, body)
    user.until_running("a")
    until(lambda: user.condition("a", "LiveMigratable").get("status") == "True")
    return node_of(user)


def pods(user: User) -> list[str]:
    return [pod["metadata"]["name"] for pod in user.items(POD, selector="kubevirt.io=virt-launcher")]


def is_as_it_was(user: User, sandbox: Sandbox, *, node: str, pod: str, guest: Json) -> None:
    """The guest is where it was with what it had, in the same pod, and nothing else is left."""
    until(lambda: pods(user) == [pod])
    assert sandbox.guests()[f"{user.namespace}/a"] == guest
    assert (user.phase("a"), node_of(user)) == ("Running", node)
    user.until_running("a")


class TestThePage:
    """`Migration based hotplug`, word for word."""

    def plugged(self, user: User, *, annotations: Json | None = None) -> Kubectl:
        """Until the interface is in the spec."""
        kubectl = kubectl_of(user)
        for name in ("vmi-fedora", "network-attachment-definition"):
            kubectl("apply", "-f", EXAMPLES / f"{name}.yaml")
        for name, value in (annotations or {}).items():
            kubectl("annotate", "vmi", "vmi-fedora", f"{name}={value}")
        user.until_running("vmi-fedora")
        until(lambda: user.condition("vmi-fedora", "LiveMigratable").get("status") == "True")
        interface = {"name": "dyniface1", "bridge": {}}
        network = {"name": "dyniface1", "multus": {"networkName": "new-fancy-net"}}
        operations = [
            {"op": "add", "path": "/spec/networks/-", "value": network},
            {"op": "add", "path": "/spec/domain/devices/interfaces/-", "value": interface},
        ]
        kubectl("patch", "vmi", "vmi-fedora", "--type=json", f"--patch={json.dumps(operations)}")
        return kubectl

    @pytest.mark.usefixtures("without_controllers", "unharmed")
    def test_migrating_the_vm_attaches_the_interface(self, user: User, sandbox: Sandbox) -> None:
        kubectl = self.plugged(user, annotations={"nicplug.io/migration": "Never"})
        until(lambda: user.record("vmi-fedora", "dyniface1").get("reason") == "MigrationForbidden")
        source = node_of(user, "vmi-fedora")
        assert [nic["name"] for nic in sandbox.guests()[f"{user.namespace}/vmi-fedora"]["nics"]] == ["defaultnetwork"]
        kubectl("apply", "-f", EXAMPLES / "migration.yaml")
        kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s", "vmim/migration-job")
        user.until_ready("vmi-fedora", "dyniface1")
        guest = sandbox.guests()[f"{user.namespace}/vmi-fedora"]
        assert (guest["node"], [nic["name"] for nic in guest["nics"]]) == (
            other(source),
            ["defaultnetwork", "dyniface1"],
        )
        rows = json.loads(kubectl("get", "vmi", "vmi-fedora", "-ojsonpath={ @.status.interfaces }"))
        assert [row["name"] for row in rows] == ["defaultnetwork", "dyniface1"]
        header, row = kubectl("get", "vmim").splitlines()
        assert header.split() == ["NAME", "PHASE", "VMI", "REASON", "SOURCE", "TARGET", "AGE"]
        told = ["migration-job", "Succeeded", "vmi-fedora", "MigrationSucceeded", source, other(source)]
        assert row.split()[:6] == told
        until(lambda: pods(user) == [guest["pod"]])

    @pytest.mark.usefixtures("without_controllers", "unharmed")
    def test_whoever_is_first_the_interface_comes(self, user: User, sandbox: Sandbox) -> None:
        """nicplug has made a migration by itself by the time the user makes one."""
        kubectl = self.plugged(user)
        kubectl("apply", "-f", EXAMPLES / "migration.yaml")
        user.until_ready("vmi-fedora", "dyniface1")
        ended = ("Succeeded", "Failed")
        until(lambda: all((item["status"] or {}).get("phase") in ended for item in user.items(MIGRATION)))
        guest = sandbox.guests()[f"{user.namespace}/vmi-fedora"]
        assert [nic["name"] for nic in guest["nics"]] == ["defaultnetwork", "dyniface1"]
        failed = [item for item in user.items(MIGRATION) if item["status"]["phase"] == "Failed"]
        for item in failed:
            rows = item["status"]["conditions"]
            assert [row["reason"] for row in rows if row["type"] == "Progressing"] == ["MigrationInFlight"]

    @pytest.mark.usefixtures("unharmed")
    def test_an_interface_that_came_in_place_moves_with_the_vm(self, user: User, sandbox: Sandbox) -> None:
        kubectl = self.plugged(user)
        user.until_ready("vmi-fedora", "dyniface1")
        before = sandbox.guests()[f"{user.namespace}/vmi-fedora"]
        kubectl("apply", "-f", EXAMPLES / "migration.yaml")
        kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s", "vmim/migration-job")
        after = sandbox.guests()[f"{user.namespace}/vmi-fedora"]
        assert after["node"] == other(before["node"])
        assert [(nic["name"], nic["mac"]) for nic in after["nics"]] == [
            (nic["name"], nic["mac"]) for nic in before["nics"]
        ]
        user.until_ready("vmi-fedora", "dyniface1")


CANCELLED = [
    pytest.param("Scheduling", {}, {"kubelet": "slow=20s"}, id="Scheduling"),
    pytest.param("PreparingTarget", {"migration-prepare": LONG}, {}, id="PreparingTarget"),
    pytest.param("TargetReady", {"migration-source": "absent"}, {}, id="TargetReady"),
    pytest.param("Running", {"migration-copy": LONG}, {}, id="Running"),
]


@pytest.mark.parametrize(("phase", "on_vmi", "on_node"), CANCELLED)
@pytest.mark.usefixtures("unharmed")
def test_cancelled_by_deletion(
    user: User, sandbox: Sandbox, set_node: SetNode, phase: str, on_vmi: Json, on_node: Json
) -> None:
    source = running(user, "blue", annotations={f"{PREFIX}{name}": value for name, value in on_vmi.items()})
    (pod,), guest = pods(user), sandbox.guests()[f"{user.namespace}/a"]
    set_node(other(source), **on_node)
    migrate(user)
    until_phase(user, phase)
    kubectl_of(user)("delete", "vmim", "job", "--timeout=30s")
    set_node(other(source), **dict.fromkeys(on_node))
    is_as_it_was(user, sandbox, node=source, pod=pod, guest=guest)
    user.merge(VMI, "a", {"metadata": {"annotations": {f"{PREFIX}{name}": None for name in on_vmi}}})
    migrate(user, job="again")
    until_phase(user, "Succeeded", job="again")
    until(lambda: sandbox.guests()[f"{user.namespace}/a"]["node"] == other(source))


BROKEN = [
    pytest.param("migration-target", "broken=prepare", "failed to prepare", id="preparation"),
    pytest.param("migration-source", "broken=copy", "Broken pipe", id="copy"),
    pytest.param("migration-target", "broken=load", "load of migration failed", id="cut-over"),
]


@pytest.mark.parametrize(("role", "how", "why"), BROKEN)
@pytest.mark.usefixtures("unharmed")
def test_a_failure_of_the_node_side_is_told_and_changes_nothing(
    user: User, sandbox: Sandbox, role: str, how: str, why: str
) -> None:
    source = running(user, "blue", annotations={f"{PREFIX}{role}": how})
    (pod,), guest = pods(user), sandbox.guests()[f"{user.namespace}/a"]
    migrate(user)
    until_phase(user, "Failed")
    assert progressing(user)["reason"] == "MigrationFailed"
    assert why in progressing(user)["message"]
    is_as_it_was(user, sandbox, node=source, pod=pod, guest=guest)
    user.merge(VMI, "a", {"metadata": {"annotations": {f"{PREFIX}{role}": None}}})
    migrate(user, job="again")
    until_phase(user, "Succeeded", job="again")


@pytest.mark.usefixtures("unharmed")
def test_agents_that_report_twice_and_late(user: User, sandbox: Sandbox) -> None:
    doubled = {f"{PREFIX}migration-target": "doubled=300ms", f"{PREFIX}migration-source": "doubled=500ms"}
    source = running(user, "blue", annotations=doubled)
    for job in ("there", "back"):
        migrate(user, job=job)
        until_phase(user, "Succeeded", job=job)
    until(lambda: sandbox.guests()[f"{user.namespace}/a"]["node"] == source)
    until(lambda: len(pods(user)) == 1)


class TestNoTarget:
    """Said at once, in plain words with numbers, and taken back at once when there is one."""

    def told(self, user: User) -> str:
        until(lambda: progressing(user).get("reason") == "NoCandidateNode")
        assert (phase_of(user), progressing(user)["status"]) == ("Pending", "False")
        assert not [pod for pod in user.items(POD) if JOB in pod["metadata"].get("labels", {})]
        return str(progressing(user)["message"])

    def test_only_the_source_node_is_left(self, user: User, set_node: SetNode) -> None:
        source = running(user)
        set_node(other(source), cordon=True)
        migrate(user)
        words = f"0 of 2 nodes can take the VM: {source} runs it, 1 is cordoned; given up at "
        assert self.told(user).startswith(words)
        until(lambda: any(event["reason"] == "NoCandidateNode" for event in user.items("events")))
        set_node(other(source), cordon=False)
        until_phase(user, "Succeeded")

    def test_a_selector_that_matches_nothing(self, user: User) -> None:
        source = running(user)
        migrate(user, addedNodeSelector={"zone": "b"})
        words = f"0 of 2 nodes can take the VM: {source} runs it, 1 lacks label zone=b; given up at "
        assert self.told(user).startswith(words)
        kubectl_of(user)("delete", "vmim", "job", "--timeout=30s")

    def test_no_node_with_the_resource_of_the_network(self, user: User, set_node: SetNode) -> None:
        source = running(user)
        fast = nad("fast")
        fast["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
        user.create(NAD, fast)
        body = {"name": "fast", "sriov": {}}

        def change(raw: Json) -> None:
            raw["spec"]["domain"]["devices"]["interfaces"].append(body)
            raw["spec"]["networks"].append({"name": "fast", "multus": {"networkName": "fast"}})
            raw["metadata"].setdefault("annotations", {})["nicplug.io/migration"] = "Never"

        user.change(VMI, "a", change)
        migrate(user)
        words = f"0 of 2 nodes can take the VM: {source} runs it, 1 lacks device example.com/fast; given up at "
        assert self.told(user).startswith(words)
        set_node(other(source), devices="example.com/fast=1")
        until_phase(user, "Succeeded")
        until(lambda: user.record("a", "fast").get("phase") == "Ready")


class TestRefused:
    """Failed in a moment, told, and deletable at once."""

    def failed(self, user: User, reason: str) -> str:
        until_phase(user, "Failed")
        assert progressing(user)["reason"] == reason
        kubectl_of(user)("delete", "vmim", "job", "--timeout=10s")
        return str(reason)

    def test_a_vmi_that_does_not_exist(self, user: User) -> None:
        migrate(user, "nobody")
        self.failed(user, "VmiMissing")

    def test_a_second_one(self, user: User) -> None:
        running(user, annotations={f"{PREFIX}migration-copy": LONG})
        migrate(user, job="first")
        until_phase(user, "Running", job="first")
        migrate(user)
        self.failed(user, "MigrationInFlight")


@pytest.mark.usefixtures("unharmed")
def test_an_image_that_cannot_be_pulled_on_the_target(user: User, sandbox: Sandbox, set_node: SetNode) -> None:
    source = running(user, "blue")
    (pod,), guest = pods(user), sandbox.guests()[f"{user.namespace}/a"]
    set_node(other(source), kubelet="broken=image-pull")
    migrate(user, annotations={"kubevirt.io/migrationPendingPodTimeoutSeconds": "4"})
    until(lambda: progressing(user).get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    until_phase(user, "Failed")
    assert progressing(user)["reason"] == "TargetPodLate"
    assert "within 4 s" in progressing(user)["message"]
    is_as_it_was(user, sandbox, node=source, pod=pod, guest=guest)


@pytest.mark.usefixtures("unharmed")
def test_a_network_whose_plugin_fails_is_quoted(user: User, sandbox: Sandbox) -> None:
    """In the kubelet's words; mended, the migration goes on."""
    source = running(user, "blue")
    user.merge(NAD, "lan", {"metadata": {"annotations": {f"{PREFIX}cni": "fails"}}})
    migrate(user)
    until(lambda: progressing(user).get("reason") == "TargetPodSandboxFailed")
    assert f"cannot start on {other(source)}: " in progressing(user)["message"]
    user.merge(NAD, "lan", {"metadata": {"annotations": {f"{PREFIX}cni": None}}})
    until_phase(user, "Succeeded")
    assert sandbox.guests()[f"{user.namespace}/a"]["node"] == other(source)


@pytest.mark.usefixtures("unharmed")
@pytest.mark.refused_calls(reason="sets a quota of one pod")
def test_a_quota_is_waited_for(user: User) -> None:
    running(user)
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "1"}}}
    user.create("resourcequotas", quota)
    until(lambda: ((user.get("resourcequotas", "small") or {}).get("status") or {}).get("used", {}).get("pods") == "1")
    migrate(user)
    until(lambda: progressing(user).get("reason") == "RejectedByResourceQuota")
    assert "exceeded quota: small" in progressing(user)["message"]
    user.delete("resourcequotas", "small")
    until_phase(user, "Succeeded")


def test_a_vm_that_is_stopped_on_the_way(user: User) -> None:
    body = vm("a")
    body["spec"]["template"]["metadata"]["annotations"] = {f"{PREFIX}migration-copy": LONG}
    user.create(VM, body)
    user.until_running("a")
    until(lambda: user.condition("a", "LiveMigratable").get("status") == "True")
    migrate(user)
    until_phase(user, "Running")
    user.change(VM, "a", lambda raw: raw["spec"].update(runStrategy="Halted"))
    user.until_gone(VMI, "a")
    until_phase(user, "Failed")
    until(lambda: pods(user) == [])
    until(lambda: ((user.get(VM, "a") or {}).get("status") or {}).get("printableStatus") == "Stopped")


KILLED = [
    pytest.param("Scheduling", {}, {"kubelet": "slow=1s"}, id="Scheduling"),
    pytest.param("PreparingTarget", {"migration-prepare": "3s"}, {}, id="PreparingTarget"),
    pytest.param("Running", {"migration-copy": "3s"}, {}, id="Running"),
]


@pytest.mark.parametrize(("phase", "on_vmi", "on_node"), KILLED)
def test_an_operator_that_is_killed_on_the_way(
    user: User, sandbox: Sandbox, set_node: SetNode, phase: str, on_vmi: Json, on_node: Json
) -> None:
    source = running(user, "blue", annotations={f"{PREFIX}{name}": value for name, value in on_vmi.items()})
    set_node(other(source), **on_node)
    migrate(user)
    until_phase(user, phase)
    sandbox.stop(grace_seconds=0)
    sandbox.start()
    until_phase(user, "Succeeded")
    until(lambda: sandbox.guests()[f"{user.namespace}/a"]["node"] == other(source))
    until(lambda: len(pods(user)) == 1)


@pytest.mark.usefixtures("without_controllers", "unharmed")
def test_plug_and_unplug_cost_one_migration_each_however_often(user: User) -> None:
    """Of two migrations of one second nobody can tell by their age which was the last."""
    user.create(VM, vm("a"))
    user.until_running("a")
    until(lambda: user.condition("a", "LiveMigratable").get("status") == "True")
    seen: set[str] = set()
    for number in range(2):
        user.change(VM, "a", plug(f"blue{number}"))
        user.until_ready("a", f"blue{number}")
        user.change(VM, "a", unplug(f"blue{number}"))
        until(lambda: nics(user.get(VMI, "a")) == ["main"])
        seen |= {item["metadata"]["uid"] for item in user.items(MIGRATION)}
    until(lambda: {(item.get("status") or {}).get("phase") for item in user.items(MIGRATION)} == {"Succeeded"})
    assert len(seen) == 2 * 2
