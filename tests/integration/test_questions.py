"""`plan` and `why` of a namespace's editor, who cannot read nodes and DaemonSets, through a real kube-apiserver."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result
from tests.integration.conftest import Sandbox
from tests.integration.user import DAEMON_SET, VM, User
from tests.integration.virtctl import GROUP
from tests.integration.waiting import until
from tests.manifests import nics, vm

from nicplug.cli.main import main
from nicplug_sandbox.api_process import ApiProcess, add_api, stop_api


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Iterator[ApiProcess]:
    """nicplug api as its ServiceAccount, registered."""
    started = add_api(directory=sandbox.directory, admin=sandbox.admin)
    yield started
    log = started.log.read_text()
    stop_api(started)
    assert "Traceback" not in log


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def bind(user: User, who: str, role: str) -> User:
    """Somebody with a role in the namespace of `user`."""
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    user.create("rolebindings", {"metadata": {"name": who}, "roleRef": reference, "subjects": [subject]})
    return User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as=who)


def nicplug(user: User, who: str, *arguments: str) -> Result:
    """A command of `who` in the namespace of `user`."""
    command, *rest = arguments
    options = [command, f"--kubeconfig={user.kubeconfig}", "--namespace", user.namespace, *rest]
    return CliRunner().invoke(main, [*options, "--as", who] if who else options)


def document(done: Result) -> dict[str, Any]:
    """What -o json has printed."""
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("unharmed", "api")
@pytest.mark.parametrize("role", ["edit", "view"])
def test_who_cannot_read_nodes_is_answered_by_the_api(user: User, role: str) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    who = f"{role}-{user.namespace}"
    tenant = bind(user, who, role)
    until(lambda: tenant.get(VM, "a"))
    assert tenant.request("GET", "/api/v1/nodes")[0] == 403
    until(lambda: tenant.request("GET", story_path(user))[0] == 200)
    stored = user.get(VM, "a")

    ask = ("plan", "a", "--add", "blue=lan", "--persist", "-o", "json")
    planned, by_admin = document(nicplug(user, who, *ask)), document(nicplug(user, "", *ask))
    assert (planned["evidenceFrom"], by_admin["evidenceFrom"]) == ("api", "kubeconfig")
    assert user.get(VM, "a") == stored, "a plan changes nothing"
    (mine,), (admins,) = planned["nics"], by_admin["nics"]
    told = ("name", "network", "outcome", "path", "phase", "reason", "message")
    assert [mine[member] for member in told] == [admins[member] for member in told]
    assert (mine["outcome"], planned["unknown"]) == ("InPlace", [])
    assert mine["evidence"]["candidates"]["fitting"] == 1
    for name in strangers(user, node=planned["node"]):
        assert name not in json.dumps(planned)
    assert "in place" in nicplug(user, who, *ask[:-2]).stdout

    story = document(nicplug(user, who, "why", "a", "main", "-o", "json"))
    assert (story["evidenceFrom"], story["nic"]["name"], story["unknown"]) == ("api", "main", [])
    missing = nicplug(user, who, "why", "a", "red")
    assert missing.exit_code == 3
    assert "It has: main" in missing.output


def story_path(user: User) -> str:
    return f"/apis/{GROUP}/v1/namespaces/{user.namespace}/virtualmachines/a/nicstory"


def strangers(user: User, *, node: str) -> list[str]:
    """What the cluster has, and does not concern the VM."""
    _, listed = user.request("GET", "/api/v1/nodes")
    _, controllers = user.request("GET", f"/apis/apps/v1/namespaces/kube-system/{DAEMON_SET}")
    names = [item["metadata"]["name"] for body in (listed, controllers) for item in body["items"]]
    assert len(names) > 2
    return [name for name in names if name != node]


@pytest.mark.usefixtures("unharmed", "api")
def test_an_editor_plans_then_plugs_then_asks_why(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    who = f"owner-{user.namespace}"
    tenant = bind(user, who, "edit")
    until(lambda: tenant.request("GET", story_path(user))[0] == 200)
    planned = document(nicplug(user, who, "plan", "a", "--add", "blue=lan", "--persist", "-o", "json"))
    done = nicplug(user, who, "add", "a", "--network", "lan", "--name", "blue", "--persist", "--wait")
    assert done.exit_code == 0, done.output
    until(lambda: nics(user.get(VM, "a")) == ["main", "blue"])
    assert user.record("a", "blue")["path"] == planned["nics"][0]["path"]
    story = document(nicplug(user, who, "why", "a", "blue", "-o", "json"))
    assert story["evidenceFrom"] == "api"
    assert any("InterfacePlugged" in moment["what"] for moment in story["moments"])


@pytest.mark.usefixtures("unharmed", "api")
def test_an_editor_s_mac_address_was_asked_for_without_a_look_at_the_policy(
    user: User, set_policy: Callable[..., None]
) -> None:
    """The KubeVirt object lies in another namespace, which a RoleBinding does not reach."""
    set_policy(nadPolicy="SameNamespace", sharedNamespaces=[])
    user.create(VM, vm("a"))
    user.until_running("a")
    who = f"mac-{user.namespace}"
    tenant = bind(user, who, "edit")
    until(lambda: tenant.get(VM, "a"))
    ask = ("add", "a", "--persist", "--mac", "02:00:00:00:00:01")
    refused = nicplug(user, who, *ask, "--network", "kube-system/lan")
    assert refused.exit_code == 4, refused.output
    assert "may not use network attachment definitions of namespace kube-system" in refused.stderr
    done = nicplug(user, who, *ask, "--network", "lan", "--name", "blue")
    assert done.exit_code == 0, done.output
    assert "kubevirts cannot be read" not in done.stderr
    until(lambda: nics(user.get(VM, "a")) == ["main", "blue"])


@pytest.mark.usefixtures("unharmed", "api")
def test_of_a_vm_in_another_namespace_nothing_is_said(user: User) -> None:
    user.create(VM, vm("a", strategy="Halted"))
    code, body = User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as="somebody-else").request(
        "GET", story_path(user)
    )
    assert (code, body["reason"]) == (403, "Forbidden")
    for command in (("plan", "a", "--add", "lan", "--persist"), ("why", "a")):
        assert nicplug(user, "somebody-else", *command).exit_code == 4


@pytest.fixture
def without_default_role(sandbox: Sandbox) -> Iterator[None]:
    """The cluster admin has taken the right to read KubeVirt objects from those who have signed in."""
    admin, binding = sandbox.user("default"), "clusterrolebindings/kubevirt.io:default"
    path = f"/apis/rbac.authorization.k8s.io/v1/{binding}"
    code, before = admin.request("GET", path)
    assert (code, admin.request("DELETE", path)[0]) == (200, 200)
    yield
    kept = {"name": before["metadata"]["name"], "labels": before["metadata"].get("labels", {})}
    assert admin.request("POST", path.rpartition("/")[0], {**before, "metadata": kept})[0] == 201


@pytest.mark.usefixtures("unharmed", "api", "without_default_role")
def test_an_owner_who_may_not_read_the_kubevirt_object_was_not_told_that_the_gate_is_off(
    user: User, set_gates: Callable[..., None]
) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    who = f"gated-{user.namespace}"
    tenant = bind(user, who, "edit")
    until(lambda: tenant.request("GET", story_path(user))[0] == 200)
    kubevirts = "/apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
    until(lambda: tenant.request("GET", kubevirts)[0] == 403)
    set_gates("Other")
    request = {"addInterfaceOptions": {"name": "blue", "networkAttachmentDefinitionName": "lan"}}
    user.merge(VM, "a", {"status": {"interfaceRequests": [request]}}, status=True)
    off = "hot-plug is off in KubeVirt CR kubevirt/kubevirt"

    def waits_for() -> str:
        return str(document(nicplug(user, who, "status", "a", "-o", "json"))["inFlight"]["requestsWaitFor"])

    until(lambda: off in waits_for())
    shown = nicplug(user, who, "status", "a").stdout
    assert f"{off}\n" in shown
    assert 'To do: Add "HotplugNICs" to' in shown
    assert "FeatureGateDisabled" in nicplug(user, who, "status").stdout
    done = nicplug(user, who, "wait", "a", "blue", "--timeout", "30s")
    assert done.exit_code == 9, done.output
    assert off in done.stderr
    assert off in nicplug(user, who, "why", "a", "blue").stdout


@pytest.mark.usefixtures("unharmed", "api")
def test_both_questions_are_in_discovery_with_their_verbs(user: User) -> None:
    _, listed = user.request("GET", f"/apis/{GROUP}/v1")
    verbs = {item["name"]: item["verbs"] for item in listed["resources"]}
    for resource in ("virtualmachines", "virtualmachineinstances"):
        assert (verbs[f"{resource}/nicplan"], verbs[f"{resource}/nicstory"]) == (["update"], ["get"])
