"""A node side that is no simulator: the test itself plays kubelet, Multus and virt-handler, by kubectl-like writes.

Proves that the operator depends on the contract alone (docs/architecture.md), not on signs of our simulator.
"""

from collections.abc import Iterator

import pytest
from tests.integration.by_hand import NODE, Hand, now
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import nics, plug, unplug, vm


@pytest.fixture
def node(sandbox: Sandbox) -> Iterator[str]:
    """A node that nobody simulates, and onto which only pods go that ask for it."""
    admin = sandbox.user("")
    taint = {"key": "by-hand", "effect": "NoSchedule"}
    admin.create("nodes", {"metadata": {"name": NODE, "labels": {"by": "hand"}}, "spec": {"taints": [taint]}})
    capacity = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    condition = {"type": "Ready", "status": "True", "reason": "ByHand", "message": "", "lastHeartbeatTime": now()}
    status = {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [{**condition, "lastTransitionTime": now()}],
    }
    admin.merge("nodes", NODE, {"status": status}, status=True)
    yield NODE
    admin.delete("nodes", NODE)


@pytest.mark.usefixtures("node")
def test_a_whole_life_on_a_node_that_nobody_simulates(user: User) -> None:
    toleration = {"key": "by-hand", "operator": "Exists"}
    user.create(VM, vm("a", nodeSelector={"by": "hand"}, tolerations=[toleration]))
    hand = Hand(user, "a")
    hand.run_pod()
    until(lambda: user.phase("a") == "Scheduled")
    body = user.get(VMI, "a") or {}
    assert body["metadata"]["labels"]["kubevirt.io/nodeName"] == NODE
    assert body["status"]["nodeName"] == NODE
    hand.guest("main")
    user.until_running("a")

    user.change(VM, "a", plug("blue"))
    until(lambda: user.annotation("a"))
    hand.attach()
    until(lambda: user.row("a", "blue").get("infoSource") == "multus-status")
    hand.guest("main", "blue")
    user.until_ready("a", "blue")

    user.change(VM, "a", unplug("blue"))
    until(lambda: user.record("a", "blue").get("reason") == "WaitingForGuestRelease")
    assert user.annotation("a") != ""
    hand.guest("main")
    until(lambda: user.annotation("a") == "")
    hand.attach()
    until(lambda: "infoSource" not in user.row("a", "blue"))
    hand.forget("blue")
    until(lambda: nics(user.get(VMI, "a")) == ["main"] and nics(user.get(VM, "a")) == ["main"])

    user.delete(VM, "a")
    until(lambda: "deletionTimestamp" in user.pod_of("a").get("metadata", {}))
    hand.end_pod()
    for plural in (VM, VMI):
        user.until_gone(plural, "a")
