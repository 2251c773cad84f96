"""`nicplug api` as a process of its own, with the rights of its ServiceAccount, behind the sandbox's API server.

The API server reaches it through a Service of type ExternalName: loopback addresses are not allowed in endpoints.
The group is registered while the process serves, and not before or after: a registered group that nobody serves keeps
namespaces from being deleted, and every kubectl complains about it.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicplug_sandbox import nicplug_process, processes
from nicplug_sandbox.apply import FIELD_MANAGER, apply_manifests, load
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.nicplug_process import API, BASE, COMMAND, STOP_GRACE_SECONDS, http_get, ports_in, wait
from nicplug_sandbox.operator_process import NAMESPACE, service_account_kubeconfig
from nicplug_sandbox.processes import RecordedProcess

SERVICE_ACCOUNT = "nicplug-api"
SERVICE = "nicplug-api"
RIGHTS = (
    "serviceaccount",
    "clusterrole",
    "clusterrolebinding",
    "questions-clusterrole",
    "questions-clusterrolebinding",
    "role",
    "rolebinding",
    "authentication-reader",
)
REGISTRATIONS = BASE / "api" / "apiservices.yaml"
WEBHOOK = BASE / "api" / "eviction-webhook.yaml"
READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiProcess:
    """One running aggregated API server.

    Attributes:
        process: pid, start time and log (JSON lines).
        port: of the API on 127.0.0.1, with TLS.
        metrics_port: of /metrics, /healthz and /readyz.
        admin: kubeconfig by which it was registered.
    """

    process: RecordedProcess
    port: int
    metrics_port: int
    admin: Path

    @property
    def log(self) -> Path:
        """What it has logged."""
        return self.process.log

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages without TLS; status 0 when it does not answer."""
        return http_get(self.metrics_port, path)


def add_api(*, directory: Path, admin: Path) -> ApiProcess:
    """Give a sandbox its aggregated API: rights, a process, and the registration. `install_operator` comes before.

    Args:
        directory: of the sandbox.
        admin: kubeconfig of an admin.

    Raises:
        SandboxError: with the tail of its log; nothing is left running or registered then.
    """
    install_api(kubeconfig=admin)
    account = service_account_kubeconfig(admin=admin, path=directory / "api.kubeconfig", name=SERVICE_ACCOUNT)
    return start_api(directory=directory, kubeconfig=account, admin=admin)


def install_api(*, kubeconfig: Path) -> None:
    """Apply the rights of nicplug api and of people; its namespace must exist.

    Args:
        kubeconfig: of an admin.

    Raises:
        SandboxError: the API server refuses them.
    """
    rights = [BASE / "api" / f"{name}.yaml" for name in RIGHTS]
    apply_manifests(kubeconfig=kubeconfig, paths=[*rights, BASE / "users"])


def start_api(
    *,
    directory: Path,
    kubeconfig: Path,
    admin: Path,
    name: str = API,
    command: Sequence[str] = COMMAND,
    variables: Mapping[str, str] | None = None,
    ready_seconds: float = READY_SECONDS,
) -> ApiProcess:
    """Start `nicplug api`, register it, and wait until the API server hands requests on to it.

    Args:
        directory: gets `logs/NAME.log`.
        kubeconfig: what it shall run with: that of its ServiceAccount.
        admin: kubeconfig of somebody who may register an API.
        name: tells replicas apart in logs and errors.
        command: how to start nicplug.
        variables: NICPLUG_API_* settings.
        ready_seconds: bound of the whole.

    Raises:
        SandboxError: with the tail of its log; nothing is left running or registered then.
    """
    deadline = time.monotonic() + ready_seconds
    process = _spawn(directory=directory, kubeconfig=kubeconfig, name=name, command=command, variables=variables)
    try:
        ports = wait(lambda: ports_in(process.log), process=process, deadline=deadline, what="did not say its port")
        made = ApiProcess(process=process, port=ports["port"], metrics_port=ports["metrics_port"], admin=admin)
        register(port=made.port, admin=admin)
        wait(lambda: made.get("/readyz")[0] == 200, process=process, deadline=deadline, what="was not ready")
        wait(lambda: is_available(admin), process=process, deadline=deadline, what="was not available")
    except BaseException:
        unregister(admin)
        processes.end([process], grace_seconds=0)
        raise
    return made


def stop_api(api: ApiProcess, *, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """Take the registration away, and end the process by SIGTERM, by SIGKILL after the grace.

    Raises:
        SandboxError: it survived SIGKILL.
    """
    unregister(api.admin)
    processes.end([api.process], grace_seconds=grace_seconds)


def keep_registered(process: RecordedProcess, *, admin: Path, ready_seconds: float = READY_SECONDS) -> None:
    """Register an API that runs again, where an upgrade, a rollback or a new installation has overwritten that.

    Manifests name the port of the pods, on which nobody listens here.

    Raises:
        SandboxError: with the tail of its log; it goes on running.
    """
    deadline = time.monotonic() + ready_seconds
    register(port=ports_in(process.log)["port"], admin=admin)
    wait(lambda: is_available(admin), process=process, deadline=deadline, what="was not available")


def is_available(admin: Path) -> bool:
    """Whether the API server takes both versions for available, and hands requests on.

    The condition alone is not enough: the proxy hears of condition and certificate by a watch of its own, and answers
    503 for another second.
    """
    names = [document["metadata"]["name"] for document in load([REGISTRATIONS])]
    done = _kubectl(admin, "get", "apiservices", *names, "-o", "json", "--ignore-not-found")
    if done.returncode != 0 or not done.stdout.strip():
        return False
    items = json.loads(done.stdout).get("items", [])
    return (
        len(items) == len(names)
        and all(map(_is_available, items))
        and all(_kubectl(admin, "get", "--raw", _discovery(item)).returncode == 0 for item in items)
    )


def unregister(admin: Path) -> None:
    """Take both versions and the webhook away from the API server."""
    paths = ("-f", str(REGISTRATIONS), "-f", str(WEBHOOK))
    _kubectl(admin, "delete", "--ignore-not-found", "--wait=false", *paths)


def _is_available(item: Mapping[str, Any]) -> bool:
    conditions = item.get("status", {}).get("conditions", [])
    return any(row["type"] == "Available" and row["status"] == "True" for row in conditions)


def _discovery(item: Mapping[str, Any]) -> str:
    """The path that says what a version has, and that every user may read."""
    return f"/apis/{item['spec']['group']}/{item['spec']['version']}"


def register(*, port: int, admin: Path) -> None:
    """Point Service, APIServices and webhook to the API on this host. What they point to already stays as it is.

    Args:
        port: where it listens.
        admin: kubeconfig of somebody who may register an API.

    Raises:
        SandboxError: the API server refuses it.
    """
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    items = [service]
    for document in load([REGISTRATIONS]):
        document["spec"]["service"]["port"] = port
        items.append(document)
    for document in load([WEBHOOK]):
        document["webhooks"][0]["clientConfig"]["service"]["port"] = port
        items.append(document)
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    options = ("--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-")
    done = _kubectl(admin, "apply", *options, stdin=body)
    if done.returncode != 0:
        raise SandboxError("the aggregated API could not be registered", detail=done.stderr)


def _kubectl(admin: Path, *arguments: str, stdin: str | None = None) -> Any:
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        return Kubectl(kubeconfig=admin, cache=Path(cache)).run(*arguments, stdin=stdin)


def _spawn(
    *, directory: Path, kubeconfig: Path, name: str, command: Sequence[str], variables: Mapping[str, str] | None
) -> RecordedProcess:
    options = [f"--kubeconfig={kubeconfig}", "--port=0", "--metrics-port=0", "--log-format=json"]
    addresses = {"NICPLUG_API_ADDRESS": "127.0.0.1", "NICPLUG_API_METRICS_ADDRESS": "127.0.0.1"}
    # The registration changes within moments, and nobody waits for the next look at a real cluster's pace.
    pace = {"NICPLUG_API_REFRESH_SECONDS": "1"}
    return nicplug_process.spawn(
        directory=directory,
        name=name,
        argv=[*command, "api", *options],
        variables={**addresses, **pace, **(variables or {})},
    )
