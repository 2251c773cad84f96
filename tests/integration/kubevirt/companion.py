"""nicplug beside the stand-in of KubeVirt, as a process with the rights of its ServiceAccount."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.kubevirt.conftest import Cluster
from tests.integration.kubevirt.own_writes import writes
from tests.integration.user import Json, User

from nicplug_sandbox import audit
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.nicplug_process import ROOT
from nicplug_sandbox.operator_process import (
    OperatorProcess,
    service_account_kubeconfig,
    start_operator,
    stop_operator,
    wait_until_leading,
)

REPORTS = "interfacereports"
_KUSTOMIZE = ROOT / "deploy" / "kustomize"
_ACCOUNT = ("namespace", "serviceaccount", "clusterrolebinding", "rolebinding")
_RIGHTS = [
    ROOT / "crds" / "nicplug.io",
    *(_KUSTOMIZE / "base" / "operator" / f"{name}.yaml" for name in _ACCOUNT),
    *(_KUSTOMIZE / "overlays" / "companion" / f"{name}.yaml" for name in ("clusterrole", "role")),
]


@dataclass(slots=True)
class Companion:
    """The operator of a cluster, which may be started again.

    Attributes:
        account: kubeconfig of its ServiceAccount.
        operator: the process that runs; None between an end and the next start.
    """

    admin: Path
    account: Path
    operator: OperatorProcess | None = None
    _starts: int = 0

    def start(self, *options: str) -> None:
        """Start it, with more options of `nicplug run`, and wait until it works."""
        self._starts += 1
        self.operator = start_operator(
            directory=self.admin.parent,
            kubeconfig=self.account,
            name=f"companion-{self._starts}",
            arguments=["--mode=companion", *options],
        )
        wait_until_leading(self.operator)

    def stop(self, *, grace_seconds: float = 8.0) -> None:
        """End it; with a grace of 0 at once, as a crash does."""
        if self.operator is not None:
            stop_operator(self.operator, grace_seconds=grace_seconds)
            self.operator = None

    def mark(self) -> int:
        """Where the audit log ends now."""
        return (self.admin.parent / "audit.log").stat().st_size

    def writes(self, *, since: int = 0) -> list[Json]:
        """Its writes from the audit log; its Lease left out."""
        found = writes(audit.entries(self.admin.parent / "audit.log", offset=since))
        return [entry for entry in found if (entry.get("objectRef") or {}).get("resource") != "leases"]

    def log(self) -> str:
        """What all its processes have logged."""
        return "".join(path.read_text() for path in sorted((self.admin.parent / "logs").glob("companion-*.log")))


@contextmanager
def companion_of(cluster: Cluster) -> Iterator[Companion]:
    """Install and start nicplug."""
    apply_manifests(kubeconfig=cluster.admin, paths=_RIGHTS)
    account = service_account_kubeconfig(admin=cluster.admin, path=cluster.admin.parent / "companion.kubeconfig")
    found = Companion(admin=cluster.admin, account=account)
    try:
        found.start()
        yield found
        assert writes(audit.entries(cluster.admin.parent / "audit.log")), "none of its account in the audit log"
    finally:
        found.stop()


def report(user: User, name: str) -> Json:
    """The InterfaceReport of that name; empty without one."""
    return user.get(REPORTS, name) or {}


def record(user: User, name: str, nic: str) -> Json:
    """The record of a NIC in its report; empty without one."""
    rows = (report(user, name).get("status") or {}).get("interfaceOperations") or []
    return next((row for row in rows if row["name"] == nic), {})


def ready(user: User, name: str) -> Json:
    """The condition InterfacesReady of a report; empty without one."""
    rows = (report(user, name).get("status") or {}).get("conditions") or []
    found: Any = next((row for row in rows if row["type"] == "InterfacesReady"), {})
    return dict(found)
