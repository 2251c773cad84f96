"""Who may use which network, on a real API server and with a Multus that isolates namespaces, or does not."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.conftest import Sandbox, SetPolicy, a_user
from tests.integration.user import NAD, POD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import nad, plug, vm, vmi

MULTUS, CONFIG = "configmaps", "multus-daemon-config"
Isolate = Callable[..., None]


@pytest.fixture
def isolate(sandbox: Sandbox) -> Iterator[Isolate]:
    """Write what Multus isolates; put right at the end."""
    admin = sandbox.user("kube-system")
    before = json.loads((admin.get(MULTUS, CONFIG) or {})["data"]["daemon-config.json"])

    def write(**config: Any) -> None:
        admin.merge(MULTUS, CONFIG, {"data": {"daemon-config.json": json.dumps({**before, **config})}})

    yield write
    write()


@pytest.fixture
def victim(sandbox: Sandbox) -> User:
    """Somebody else, with a network of his own."""
    somebody = a_user(sandbox)
    somebody.create(NAD, nad("secret"))
    return somebody


def reason(user: User, nic: str = "blue") -> Any:
    return user.record("a", nic).get("reason")


def test_a_foreign_network_is_plugged_in_place_only_where_multus_allows_it(
    user: User, victim: User, isolate: Isolate
) -> None:
    isolate(namespaceIsolation=True)
    user.create(VMI, vmi("a"))
    user.until_running("a")
    user.change(VMI, "a", plug("blue", attachment=f"{victim.namespace}/secret"))
    user.change(VMI, "a", plug("red", attachment=f"{victim.namespace}/none"))
    user.change(VMI, "a", plug("green"))
    user.until_ready("a", "green")
    until(lambda: reason(user) == reason(user, "red") == "NetworkNotAllowed")
    told = [user.record("a", name)["message"].replace("/secret", "/none") for name in ("blue", "red")]
    assert told[0] == told[1]
    assert victim.namespace not in (user.annotation("a") or "")
    isolate(namespaceIsolation=False)
    user.until_ready("a", "blue")


def test_a_vm_starts_without_a_foreign_network_and_gets_it_when_it_may(
    user: User, victim: User, isolate: Isolate
) -> None:
    """Multus would have let its pod hang in ContainerCreating."""
    isolate(namespaceIsolation=True)
    body = vm("a", "blue")
    body["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] = f"{victim.namespace}/secret"
    user.create(VM, body)
    until(lambda: reason(user) == "NetworkNotAllowed")
    isolate(namespaceIsolation=True, globalNamespaces=f"default,{victim.namespace}")
    user.until_ready("a", "blue")


def test_what_multus_itself_refuses_nicplug_does_not_ask_for(user: User, victim: User, isolate: Isolate) -> None:
    """The simulated Multus reads the same ConfigMap: a pod of somebody else's with that network does not start."""
    isolate(namespaceIsolation=True)
    annotations = {"k8s.v1.cni.cncf.io/networks": f"{victim.namespace}/secret"}
    spec = {"containers": [{"name": "main", "image": "none"}]}
    user.create("pods", {"metadata": {"name": "plain", "annotations": annotations}, "spec": spec})
    until(
        lambda: any(
            "namespace isolation enabled, annotation violates permission" in event.get("note", "")
            for event in user.items("events")
        )
    )


def test_a_vm_with_a_default_network_of_somebody_else_does_not_start(
    user: User, victim: User, isolate: Isolate
) -> None:
    isolate(namespaceIsolation=True)
    body = vmi("a")
    name = body["spec"]["networks"][0]["name"]
    multus = {"networkName": f"{victim.namespace}/secret", "default": True}
    body["spec"]["networks"][0] = {"name": name, "multus": multus}
    body["spec"]["domain"]["devices"]["interfaces"][0] = {"name": name, "bridge": {}}
    user.create(VMI, body)
    until(lambda: user.condition("a", "Synchronized").get("reason") == "NetworkNotAllowed")
    assert user.items("pods") == []
    isolate()
    user.until_running("a")


def test_the_policy_of_the_admin_holds_at_start_in_place_and_in_a_migration(
    user: User, sandbox: Sandbox, victim: User, set_policy: SetPolicy
) -> None:
    sharer = a_user(sandbox)
    shared, secret, default = f"{sharer.namespace}/lan", f"{victim.namespace}/secret", "default/shared"
    set_policy(nadPolicy="SameNamespace", sharedNamespaces=[sharer.namespace])
    body = vmi("a", "green", "red", "blue")
    for number, name in ((2, shared), (3, secret)):
        body["spec"]["networks"][number]["multus"]["networkName"] = name
    user.create(VMI, body)
    until(lambda: reason(user, "blue") == "NetworkNotAllowed")
    until(lambda: all("domain" in user.row("a", name).get("infoSource", "") for name in ("green", "red")))
    user.change(VMI, "a", plug("white", attachment=secret))
    user.change(VMI, "a", plug("grey", attachment=default))
    user.change(VMI, "a", plug("black", attachment=shared))
    user.until_ready("a", "black")
    until(lambda: reason(user, "white") == reason(user, "grey") == "NetworkNotAllowed")
    assert user.record("a", "black")["path"] == "Dynamic"

    shares = [sharer.namespace, "a-mark"]
    set_policy(nadPolicy="SameNamespace", sharedNamespaces=shares, dynamicPath="Never")
    # A watch of its own: nothing orders it before that of the VMI. What the refusal names tells that it was heard.
    until(lambda: "a-mark" in user.record("a", "blue")["message"])
    user.change(VMI, "a", plug("brown", attachment=shared))
    user.until_ready("a", "brown")
    assert user.record("a", "brown")["path"] == "Migration"
    names = [name for item in user.items(POD) for name in str(item["metadata"]["annotations"]).split('"')]
    assert not {secret, default, victim.namespace} & {*names}
    assert {reason(user, name) for name in ("blue", "white", "grey")} == {"NetworkNotAllowed"}

    admin = sandbox.user("default")
    admin.create(NAD, nad("shared"))
    set_policy(nadPolicy="SameNamespace")
    user.until_ready("a", "grey")
    assert reason(user, "blue") == reason(user, "white") == "NetworkNotAllowed"
    set_policy(nadPolicy="Any")
    user.until_ready("a", "blue")
    user.until_ready("a", "white")
    admin.delete(NAD, "shared")
