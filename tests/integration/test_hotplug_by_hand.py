"""A node side that is no simulator: the test itself plays kubelet, Multus and virt-handler, by kubectl-like writes.

Proves that the operator depends on the contract alone (docs/architecture.md), not on signs of our simulator.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import POD, VM, VMI, Json, User, nics, plug, unplug, vm
from tests.integration.waiting import until

NODE = "made-by-hand"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def node(sandbox: Sandbox) -> Iterator[str]:
    """A node that nobody simulates, and onto which only pods go that ask for it."""
    admin = sandbox.user("")
    taint = {"key": "by-hand", "effect": "NoSchedule"}
    admin.create("nodes", {"metadata": {"name": NODE, "labels": {"by": "hand"}}, "spec": {"taints": [taint]}})
    capacity = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    condition = {"type": "Ready", "status": "True", "reason": "ByHand", "message": "", "lastHeartbeatTime": _now()}
    status = {
        "capacity": capacity,
        "allocatable": capacity,
        "conditions": [{**condition, "lastTransitionTime": _now()}],
    }
    admin.merge("nodes", NODE, {"status": status}, status=True)
    yield NODE
    admin.delete("nodes", NODE)


class Hand:
    """The node side of one VM."""

    def __init__(self, user: User, name: str) -> None:
        self._user = user
        self._name = name

    def run_pod(self) -> None:
        """kubelet and Multus: attached, running, ready."""
        user, name = self._user, self._name
        until(lambda: user.pod_of(name).get("spec", {}).get("nodeName") == NODE)
        self.attach()
        state = {"running": {"startedAt": _now()}}
        container = {"name": "compute", "ready": True, "image": "x", "imageID": "", "restartCount": 0, "state": state}
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": _now()} for kind in ("Ready", "Initialized")
        ]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": [container]}
        user.merge(POD, user.pod_of(name)["metadata"]["name"], {"status": status}, status=True)

    def attach(self) -> None:
        """Multus: network-status is what the annotation asks for."""
        elements = json.loads(self._user.annotation(self._name) or "[]")
        rows: list[Json] = [{"name": "cbr0", "interface": "eth0", "default": True, "dns": {}}]
        rows += [{"name": f"{item['namespace']}/{item['name']}", "interface": item["interface"]} for item in elements]
        pod = self._user.pod_of(self._name)["metadata"]["name"]
        self._user.merge(POD, pod, {"metadata": {"annotations": {NETWORK_STATUS: json.dumps(rows)}}})

    def guest(self, *names: str, phase: str = "Running") -> None:
        """virt-handler: the guest runs with these NICs."""

        def change(body: Json) -> None:
            old = {row["name"]: row for row in body["status"].get("interfaces") or []}
            body["status"]["phase"] = phase
            body["status"]["interfaces"] = [_row(old.get(name, {"name": name}), in_guest=name in names) for name in
                                            dict.fromkeys([*names, *old])]  # fmt: skip

        self._user.change(VMI, self._name, change, status=True)

    def forget(self, nic: str) -> None:
        """virt-handler: nothing is left of the NIC."""

        def change(body: Json) -> None:
            body["status"]["interfaces"] = [row for row in body["status"]["interfaces"] if row["name"] != nic]

        self._user.change(VMI, self._name, change, status=True)

    def end_pod(self) -> None:
        """kubelet: the containers have ended."""
        pod = self._user.pod_of(self._name)["metadata"]["name"]
        path = f"/api/v1/namespaces/{self._user.namespace}/pods/{pod}"
        self._user.request("DELETE", path, {"gracePeriodSeconds": 0})


def _row(row: Json, *, in_guest: bool) -> Json:
    tokens = [item for item in row.get("infoSource", "").split(", ") if item not in ("", "domain")]
    sources = ", ".join((["domain"] if in_guest else []) + tokens)
    rest = {key: value for key, value in row.items() if key != "infoSource"}
    return {**rest, "infoSource": sources} if sources else rest


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
