"""One cluster in which operators of two versions take turns, and what must not change when they do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.user import MIGRATION, NAD, POD, VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, plug, vm, vmi
from tests.upgrade.release import Release

from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.guests import read_guests
from nicplug_sandbox.operator_process import (
    OperatorProcess,
    spawn_operator,
    stop_operator,
    wait_until_leading,
    wait_until_ready,
)
from nicplug_sandbox.policies import wait_for_policies
from nicplug_sandbox.processes import RecordedProcess

COPY = "sandbox.nicplug.io/migration-copy"
LAUNCHERS = "kubevirt.io=virt-launcher"
_REVISIONS = "controllerrevisions"
# node03 has no dynamic networks controller.
ON_NODE_01, ON_NODE_03 = ({"kubernetes.io/hostname": node} for node in ("node01", "node03"))


@dataclass(slots=True, kw_only=True)
class World:
    """The cluster.

    Attributes:
        admin: kubeconfig of its admin.
        account: kubeconfig of the operator's ServiceAccount.
        running: operators by the name of their version.
    """

    directory: Path
    admin: Path
    account: Path
    running: dict[str, OperatorProcess] = field(default_factory=dict)
    _starts: int = 0

    def user(self, namespace: str) -> User:
        """Somebody who may do everything."""
        return User(kubeconfig=self.admin, namespace=namespace)

    def apply_crds(self, release: Release) -> None:
        """The first step of an upgrade."""
        apply_manifests(kubeconfig=self.admin, paths=[release.crds])

    def apply_rights_and_policies(self, release: Release) -> None:
        """The second step."""
        apply_manifests(kubeconfig=self.admin, paths=[*release.rights, *release.policies])
        if release.policies:
            wait_for_policies(kubeconfig=self.admin)

    def start(self, release: Release) -> OperatorProcess:
        """One more replica, ready."""
        return self.until_ready(release, self.spawn(release))

    def spawn(self, release: Release) -> RecordedProcess:
        """One more replica, which may have to wait."""
        self._starts += 1
        return spawn_operator(
            directory=self.directory,
            kubeconfig=self.account,
            name=f"operator-{self._starts}-{release.name.replace(' ', '-')}",
            command=release.command,
        )

    def until_ready(self, release: Release, process: RecordedProcess) -> OperatorProcess:
        """Wait until a replica is ready."""
        operator = wait_until_ready(process, kubeconfig=self.account, seconds=60)
        self.running[release.name] = operator
        return operator

    def stop(self, release: Release, *, grace_seconds: float = 8.0) -> None:
        """By SIGTERM; with a grace of 0 as a crash."""
        stop_operator(self.running.pop(release.name), grace_seconds=grace_seconds)

    def lead(self, release: Release) -> None:
        """Wait until the replica of this version leads."""
        wait_until_leading(self.running[release.name], seconds=60)

    def calm(self) -> None:
        """No operator has met a bug."""
        for name, operator in self.running.items():
            assert operator.metric("nicplug_bugs_total") == 0, name
            assert "Traceback" not in operator.log.read_text(), name

    def guests(self, user: User) -> dict[str, Json]:
        """Node, pod and NICs of each guest of a namespace, by its VMI."""
        found = read_guests(self.directory)
        return {name: guest for name, guest in found.items() if name.startswith(f"{user.namespace}/")}


def on_node_without_controller(user: User, name: str, **annotations: str) -> None:
    """A VM that runs there, and may move."""
    body = vm(name, nodeSelector=ON_NODE_03)
    body["spec"]["template"]["metadata"]["annotations"] = annotations
    user.create(VM, body)
    user.until_running(name)
    until(lambda: user.condition(name, "LiveMigratable").get("status") == "True")
    user.change(VM, name, lambda body: body["spec"]["template"]["spec"].pop("nodeSelector"))
    until(lambda: not (user.get(VMI, name) or {})["spec"].get("nodeSelector"))


def failing(name: str) -> Json:
    """A network whose plugin fails on every node."""
    body = nad(name)
    body["metadata"]["annotations"] = {"sandbox.nicplug.io/cni": "fails"}
    return body


def populate(user: User, *, tag: str) -> None:
    """VMs whose NICs are everywhere on their way; each name begins with the tag.

    plugged: Ready, in place; bare: the same of an instance without a VM; moved: Ready, by migration; waiting: Blocked,
    its network does not exist; failed: Failed, no node can attach it and the VM may not move; migrating: its guest is
    being copied; halted: a VM that does not run, with a NIC in its template.
    """
    user.create(NAD, failing(f"{tag}-broken"))
    user.create(VM, vm(f"{tag}-halted", "blue", strategy="Halted"))
    user.create(VMI, vmi(f"{tag}-bare", nodeSelector=ON_NODE_01))
    for name in ("plugged", "waiting", "failed"):
        user.create(VM, vm(f"{tag}-{name}", nodeSelector=ON_NODE_01))
    on_node_without_controller(user, f"{tag}-moved")
    on_node_without_controller(user, f"{tag}-migrating", **{COPY: "60s"})
    for name in ("bare", "plugged", "waiting", "failed"):
        user.until_running(f"{tag}-{name}")
    user.change(VMI, f"{tag}-bare", plug("blue"))
    user.change(VM, f"{tag}-plugged", plug("blue"))
    user.change(VM, f"{tag}-moved", plug("blue"))
    user.change(VM, f"{tag}-waiting", plug("blue", attachment=f"{tag}-later"))
    user.change(VM, f"{tag}-failed", plug("blue", attachment=f"{tag}-broken"))
    for name in ("bare", "plugged", "moved"):
        user.until_ready(f"{tag}-{name}", "blue")
    until(lambda: user.record(f"{tag}-waiting", "blue").get("phase") == "Blocked")
    until(lambda: user.record(f"{tag}-failed", "blue").get("phase") == "Failed")
    user.change(VM, f"{tag}-migrating", plug("blue"))
    until(lambda: job_of(user, f"{tag}-migrating").get("status", {}).get("phase") == "Running")


QUIET = ("plugged", "bare", "moved", "waiting", "failed")
"""Of `populate`: those whose guests stand still."""


def job_of(user: User, name: str) -> Json:
    """The only migration of a VM; empty without one."""
    found = [job for job in user.items(MIGRATION) if job["spec"]["vmiName"] == name]
    assert len(found) <= 1, found
    return found[0] if found else {}


def stored(user: User) -> dict[str, Any]:
    """Spec and status of every object that the CRDs hold, as it is stored."""
    return {
        f"{plural}/{item['metadata']['name']}": (item["metadata"]["uid"], item.get("spec"), item.get("status"))
        for plural in (VM, VMI, MIGRATION)
        for item in user.items(plural)
    }


def standing(world: World, user: User, *, tag: str) -> dict[str, Any]:
    """What no change of version may touch, of the VMs whose guests stand still."""
    guests = world.guests(user)
    pods: dict[str, list[str]] = {}
    for pod in user.items(POD, selector=LAUNCHERS):
        owner = pod["metadata"]["ownerReferences"][0]["name"]
        pods.setdefault(owner, []).append(pod["metadata"]["uid"])
    revisions = [item["metadata"]["ownerReferences"][0]["name"] for item in user.items(_REVISIONS)]
    found: dict[str, Any] = {}
    for name in (f"{tag}-{name}" for name in QUIET):
        instance = user.get(VMI, name) or {}
        records = [
            (row["name"], row["operation"], row["phase"], row["reason"])
            for row in instance["status"].get("interfaceOperations", [])
        ]
        # A NIC that fails is asked for again now and then: what was seen of an attempt is not compared.
        is_tried = name == f"{tag}-failed"
        found[name] = {
            "uid": instance["metadata"]["uid"],
            "phase": instance["status"]["phase"],
            "pods": pods.get(name),
            "guest": guests[f"{user.namespace}/{name}"],
            "spec": instance["spec"],
            "template": ((user.get(VM, name) or {}).get("spec") or {}).get("template"),
            "annotation": "" if is_tried else user.annotation(name),
            "rows": [(row["name"], row.get("infoSource")) for row in instance["status"]["interfaces"]],
            "records": sorted(record[:2] if is_tried else record for record in records),
            "migrations": sorted(
                (job["metadata"]["uid"], job["status"]["phase"])
                for job in user.items(MIGRATION)
                if job["spec"]["vmiName"] == name
            ),
            "revisions": revisions.count(name),
        }
    return found
