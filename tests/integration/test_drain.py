"""`kubectl drain` of a node with virtual machines: they move, or the drain waits and says for whom."""

import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Sandbox, a_user
from tests.integration.evictions import BUDGETS, evict, protected
from tests.integration.kubectl import KUBECTL
from tests.integration.user import MIGRATION, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import vmi

from nicplug_sandbox.api_process import add_api, stop_api

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/nicplug-evictions"
NODE, OTHER = "node01", "node02"
COUNT = 10


@pytest.fixture(scope="module")
def with_webhook(sandbox: Sandbox) -> Iterator[None]:
    """`nicplug api` serves, and the API server knows where and by which CA."""
    api = add_api(directory=sandbox.directory, admin=sandbox.admin)
    try:
        until(lambda: _client(sandbox).get("caBundle"))
        yield
    finally:
        stop_api(api)


def _client(sandbox: Sandbox) -> Json:
    _, body = sandbox.user("default").request("GET", WEBHOOK)
    return dict(body["webhooks"][0]["clientConfig"])


@pytest.fixture
def user(sandbox: Sandbox, with_webhook: None) -> Iterator[User]:
    """Somebody with a namespace, on nodes that are in service again at the end."""
    yield a_user(sandbox)
    for node in (NODE, OTHER):
        sandbox.user("").merge("nodes", node, {"spec": {"unschedulable": None}})


def cordon(user: User, node: str, *, is_cordoned: bool) -> None:
    user.merge("nodes", node, {"spec": {"unschedulable": is_cordoned or None}})


def start(user: User, count: int) -> list[str]:
    """So many protected guests on NODE, by a label that their pods inherit; their names."""
    cordon(user, OTHER, is_cordoned=True)
    names = [f"vm{index}" for index in range(count)]
    for name in names:
        body = protected(vmi(name))
        body["metadata"]["labels"] = {"example.com/drain": user.namespace}
        user.create(VMI, body)
    for name in names:
        user.until_running(name)
    until(lambda: len(user.items(BUDGETS)) == count)
    assert places(user) == [NODE] * count
    return names


def places(user: User) -> list[str]:
    return [item["status"].get("nodeName", "") for item in user.items(VMI)]


def drain(sandbox: Sandbox, user: User, *, seconds: int) -> "subprocess.Popen[str]":
    """Of the guests of one namespace: other suites have theirs on the same node."""
    command = [
        str(KUBECTL),
        "--kubeconfig",
        str(sandbox.admin),
        "drain",
        NODE,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
    ]
    command += [f"--timeout={seconds}s", f"--pod-selector=example.com/drain={user.namespace}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_drain_of_ten_vms_ends_with_ten_vms_elsewhere(user: User, sandbox: Sandbox) -> None:
    names = start(user, COUNT)
    uids = {item["metadata"]["uid"] for item in user.items(VMI)}
    cordon(user, OTHER, is_cordoned=False)
    began = time.monotonic()
    drained = drain(sandbox, user, seconds=100)
    text, _ = drained.communicate(timeout=110)
    print(f"drained after {time.monotonic() - began:.1f} s\n{text}")
    assert drained.returncode == 0, text
    assert 'denied the request: Eviction triggered evacuation of VMI "' in text
    assert places(user) == [OTHER] * COUNT
    assert {user.phase(name) for name in names} == {"Running"}
    assert {item["metadata"]["uid"] for item in user.items(VMI)} == uids
    jobs = user.items(MIGRATION)
    assert {(job["spec"]["priority"], job["metadata"]["name"].startswith("kubevirt-evacuation-")) for job in jobs} == {
        ("system-critical", True)
    }
    until(lambda: all("evacuationNodeName" not in item["status"] for item in user.items(VMI)))
    until(lambda: {row["spec"]["minAvailable"] for row in user.items(BUDGETS)} == {1})


def test_with_nowhere_to_go_a_drain_waits_says_for_whom_and_goes_on_when_a_node_comes(
    user: User, sandbox: Sandbox
) -> None:
    (name,) = start(user, 1)
    pod = user.pod_of(name)["metadata"]["name"]
    drained = drain(sandbox, user, seconds=100)
    row = until(lambda: _blocked(user, name))
    assert (row["status"], row["reason"]) == ("True", "EvictionRequested")
    event = until(lambda: [item for item in user.items("events") if item["reason"] == "EvacuationBlocked"])[0]
    assert f"cannot leave node {NODE}" in event["note"]
    assert user.items(MIGRATION) == []
    assert evict(user, pod) == (429, _in_progress(user, name))
    assert user.phase(name) == "Running"
    cordon(user, OTHER, is_cordoned=False)
    text, _ = drained.communicate(timeout=110)
    assert drained.returncode == 0, text
    assert places(user) == [OTHER]


def _blocked(user: User, name: str) -> Json:
    row = user.condition(name, "EvictionRequested")
    return row if "0 of 2 nodes" in row.get("message", "") else {}


def _in_progress(user: User, name: str) -> str:
    webhook = 'admission webhook "virt-launcher-eviction-interceptor.kubevirt.io" denied the request: '
    return f'{webhook}Evacuation in progress: Eviction triggered evacuation of VMI "{user.namespace}/{name}"'


def test_a_dry_run_marks_nobody(user: User) -> None:
    user.create(VMI, protected(vmi("a")))
    user.until_running("a")
    pod = user.pod_of("a")["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    code, answer = user.request("POST", f"{user.path('pods', pod)}/eviction?dryRun=All", eviction)
    assert (code, "Eviction triggered evacuation" in answer["message"]) == (429, True)
    assert "evacuationNodeName" not in (user.get(VMI, "a") or {})["status"]


def test_the_token_of_the_api_says_nothing_else_of_a_guest(user: User, sandbox: Sandbox) -> None:
    """Whoever steals it could otherwise vouch for pods, as statuses say which of them are nicplug's."""
    user.create(VMI, protected(vmi("a")))
    user.until_running("a")
    account = "system:serviceaccount:nicplug-system:nicplug-api"
    thief = User(kubeconfig=sandbox.admin, namespace=user.namespace, acts_as=account)
    attempts: list[Json] = [{"phase": "Failed"}, {"launcherPods": []}, {"evacuationNodeName": "node09"}]
    for status in attempts:
        code, answer = thief.request(
            "PATCH", user.path(VMI, "a", status=True), {"status": status}, content_type="application/merge-patch+json"
        )
        assert code == 403, (status, answer)
        assert "evacuationNodeName" in answer["message"]
