"""The node side of one VM, played by writes: no simulator."""

import json
from datetime import UTC, datetime

from tests.integration.user import POD, VMI, Json, User
from tests.integration.waiting import until

NODE = "made-by-hand"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        state = {"running": {"startedAt": now()}}
        container = {"name": "compute", "ready": True, "image": "x", "imageID": "", "restartCount": 0, "state": state}
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now()} for kind in ("Ready", "Initialized")
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
