"""VMs on a cluster that the stand-in of KubeVirt runs: started, plugged, migrated, and what is said of them."""

from typing import Any

from tests.integration.kubevirt.conftest import conditions
from tests.integration.user import MIGRATION, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import network, nic, vm

COPY = "sandbox.nicplug.io/migration-copy"
HOST = "kubernetes.io/hostname"


def on(node: str, *others: str) -> Json:
    """Where the guest may run."""
    terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [node, *others]}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def started(user: User, name: str, *nodes: str, copy_seconds: float | None = None, **spec: Any) -> Json:
    """A VM that runs; its VMI."""
    body = vm(name, affinity=on(*nodes), **spec)
    if copy_seconds is not None:
        body["spec"]["template"]["metadata"] = {"annotations": {COPY: f"{copy_seconds}s"}}
    user.create(VM, body)
    found = until(lambda: live(user, name))
    assert found is not None
    return found


def live(user: User, name: str) -> Json | None:
    """The VMI once it is Ready and can migrate."""
    found = user.get(VMI, name) or {"status": {}}
    told = conditions(found)
    return found if told.get("Ready") == told.get("LiveMigratable") == "True" else None


def plug(user: User, name: str) -> None:
    """One more NIC in the VM's template."""

    def add(body: Json) -> None:
        inner = body["spec"]["template"]["spec"]
        inner["domain"]["devices"]["interfaces"].append(nic("lan"))
        inner["networks"].append(network("lan"))

    user.change(VM, name, add)


def in_guest(user: User, name: str) -> bool:
    """Whether the NIC is in the guest and its row says so wholly."""
    return set(str(user.row(name, "lan").get("infoSource", "")).split(", ")) >= {"domain", "multus-status"}


def migrate(user: User, name: str, **metadata: Any) -> tuple[int, Json]:
    """Somebody makes a migration; the answer."""
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"generateName": "by-hand-", **metadata},
        "spec": {"vmiName": name},
    }
    return user.request("POST", user.path(MIGRATION), body)


def told(user: User, name: str) -> dict[str, str]:
    """The last event about objects of that name, by reason."""
    found = user.items("events")
    return {item["reason"]: item["note"] for item in found if item["regarding"]["name"] == name}


def until_final(user: User, migration: Json) -> Json:
    """The migration once it has given its finalizer back."""
    name = migration["metadata"]["name"]

    def settled() -> Json | None:
        found = user.get(MIGRATION, name)
        return found if found and not found["metadata"].get("finalizers") else None

    found = until(settled)
    assert found is not None
    return found


def refused(answer: tuple[int, Json]) -> str:
    """What the webhook says."""
    code, body = answer
    assert code == 422, body
    return str(body["message"]).partition("denied the request: ")[2]
