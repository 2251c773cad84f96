"""The operator as a process of its own, with the rights of its ServiceAccount and never more.

Knows nicplug only from outside: its command line, its log, its port. Demo, bench and integration tests
share this, so that all of them run what users run.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from nicplug_sandbox import nicplug_process, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.certificates import write_private
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.nicplug_process import BASE as BASE
from nicplug_sandbox.nicplug_process import COMMAND, STOP_GRACE_SECONDS, http_get
from nicplug_sandbox.nicplug_process import ROOT as ROOT
from nicplug_sandbox.policies import wait_for_policies
from nicplug_sandbox.processes import RecordedProcess

# Without the Deployment: the process that is started here takes the place of its pods.
ACCOUNT = ("operator/namespace", "operator/serviceaccount")
BINDINGS = ("operator/clusterrolebinding", "operator/rolebinding")
RIGHTS = (*ACCOUNT, "clusterrole", "role", *BINDINGS)
# The policies that fence launcher pods, of the same base.
FENCES = BASE / "fences"
# What of a virtual machine the API server refuses, beside the rules of the CRDs.
ADMISSION = BASE / "admission"

COMPANION = ROOT / "deploy" / "kustomize" / "overlays" / "companion"

NAMESPACE = "nicplug-system"
SERVICE_ACCOUNT = "nicplug-operator"
TOKEN_SECONDS = 24 * 3600
READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProcess:
    """One running operator.

    Attributes:
        process: pid, start time and log (JSON lines).
        port: of /metrics, /healthz and /readyz on 127.0.0.1.
        kubeconfig: the credentials it runs with.
    """

    process: RecordedProcess
    port: int
    kubeconfig: Path

    @property
    def log(self) -> Path:
        """What it has logged."""
        return self.process.log

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; status 0 when it does not answer."""
        return http_get(self.port, path)

    def metric(self, name: str) -> float:
        """The value of one metric without labels, or the sum over its labels; 0 when it has none yet."""
        _, body = self.get("/metrics")
        lines = [line for line in body.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def install_operator(*, kubeconfig: Path) -> None:
    """Apply deploy/kustomize/base but its Deployment, and wait until the API server enforces its policies.

    Args:
        kubeconfig: of an admin.

    Raises:
        SandboxError: no checkout to take the manifests from, or the API server refuses them.
    """
    if not BASE.is_dir():
        raise SandboxError(f"no manifests in {BASE}", remedy="Use a checkout: a wheel does not contain them.")
    paths = [ROOT / "crds", *(BASE / f"{name}.yaml" for name in RIGHTS), FENCES, ADMISSION]
    apply_manifests(kubeconfig=kubeconfig, paths=paths)
    wait_for_policies(kubeconfig=kubeconfig)


def install_companion(*, kubeconfig: Path) -> None:
    """Apply what deploy/kustomize/overlays/companion applies but its Deployment, in a cluster of KubeVirt's.

    Args:
        kubeconfig: of an admin.

    Raises:
        SandboxError: no checkout to take the manifests from, or the API server refuses them.
    """
    if not COMPANION.is_dir():
        raise SandboxError(f"no manifests in {COMPANION}", remedy="Use a checkout: a wheel does not contain them.")
    shared = (BASE / f"{name}.yaml" for name in (*ACCOUNT, *BINDINGS))
    own = (COMPANION / f"{name}.yaml" for name in ("clusterrole", "role", "users"))
    apply_manifests(kubeconfig=kubeconfig, paths=[ROOT / "crds" / "nicplug.io", *shared, *own])


def service_account_kubeconfig(
    *,
    admin: Path,
    path: Path,
    namespace: str = NAMESPACE,
    name: str = SERVICE_ACCOUNT,
    token_seconds: int = TOKEN_SECONDS,
) -> Path:
    """Write a kubeconfig that acts as a ServiceAccount, by a token from the TokenRequest API.

    Args:
        admin: kubeconfig that may request tokens; cluster and CA are taken from its current context.
        path: file to write, mode 0600.
        token_seconds: lifetime of the token; an API server may shorten it.

    Raises:
        SandboxError: the ServiceAccount is missing, or the API server refuses.
    """
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        kubectl = Kubectl(kubeconfig=admin, cache=Path(cache))
        token = _output(kubectl, "create", "token", name, f"--namespace={namespace}", f"--duration={token_seconds}s")
        view = _output(kubectl, "config", "view", "--raw", "--minify", "--flatten", "--output=json")
    cluster = json.loads(view)["clusters"][0]["cluster"]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name, "namespace": namespace}}],
        "users": [{"name": name, "user": {"token": token.strip()}}],
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def is_accepted(account: Path) -> bool:
    """Whether the API server takes the token of this kubeconfig: not after its ServiceAccount was deleted.

    A ServiceAccount of the same name does not bring it back.
    """
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        done = Kubectl(kubeconfig=account, cache=Path(cache)).run("auth", "whoami")
    return "Unauthorized" not in done.stderr


def start_operator(
    *,
    directory: Path,
    kubeconfig: Path,
    name: str = "operator",
    command: Sequence[str] = COMMAND,
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    ready_seconds: float = READY_SECONDS,
) -> OperatorProcess:
    """Start `nicplug run` and wait until /readyz says yes: its caches are complete.

    Ready is not leading: a standby is ready too. `wait_until_leading` waits for the Lease.

    Args:
        directory: gets `logs/NAME.log`.
        kubeconfig: what it shall run with: `service_account_kubeconfig`, never an admin's.
        name: tells replicas apart in logs and errors.
        command: how to start nicplug; a profiler may stand in front.
        arguments: more options of `nicplug run`.
        variables: NICPLUG_* settings.
        ready_seconds: bound of the whole.

    Raises:
        SandboxError: with the tail of its log; nothing is left running then.
    """
    process = spawn_operator(
        directory=directory,
        kubeconfig=kubeconfig,
        name=name,
        command=command,
        arguments=arguments,
        variables=variables,
    )
    try:
        return wait_until_ready(process, kubeconfig=kubeconfig, seconds=ready_seconds)
    except BaseException:
        processes.end([process], grace_seconds=0)
        raise


def spawn_operator(
    *,
    directory: Path,
    kubeconfig: Path,
    name: str = "operator",
    command: Sequence[str] = COMMAND,
    arguments: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> RecordedProcess:
    """Start `nicplug run` and wait for nothing, as a kubelet does; arguments as of `start_operator`.

    Raises:
        SandboxError: it ended within moments.
    """
    options = [f"--kubeconfig={kubeconfig}", "--metrics-port=0", "--log-format=json"]
    return nicplug_process.spawn(
        directory=directory,
        name=name,
        argv=[*command, "run", *options, *arguments],
        variables={"NICPLUG_METRICS_ADDRESS": "127.0.0.1", **(variables or {})},
    )


def wait_until_ready(process: RecordedProcess, *, kubeconfig: Path, seconds: float = READY_SECONDS) -> OperatorProcess:
    """Wait until a process of `spawn_operator` says that it is ready; it is left running if it does not.

    Raises:
        SandboxError: it ended, or was not ready in time; with the tail of its log.
    """
    deadline = time.monotonic() + seconds
    ports = nicplug_process.wait(
        lambda: nicplug_process.ports_in(process.log), process=process, deadline=deadline, what="did not say its port"
    )
    port = ports["metrics_port"]
    nicplug_process.wait(
        lambda: http_get(port, "/readyz")[0] == 200, process=process, deadline=deadline, what="was not ready"
    )
    return OperatorProcess(process=process, port=port, kubeconfig=kubeconfig)


def wait_until_leading(operator: OperatorProcess, *, seconds: float = READY_SECONDS) -> None:
    """Wait until this replica holds the Lease and works.

    Raises:
        SandboxError: it ended, or did not get the Lease in time.
    """
    nicplug_process.wait(
        lambda: operator.metric("nicplug_leader") == 1.0,
        process=operator.process,
        deadline=time.monotonic() + seconds,
        what="did not become the leader",
    )


def stop_operator(operator: OperatorProcess, *, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """End it by SIGTERM, by SIGKILL after the grace; with a grace of 0 at once, as a crash does.

    Raises:
        SandboxError: it survived SIGKILL.
    """
    processes.end([operator.process], grace_seconds=grace_seconds)


def _output(kubectl: Kubectl, *arguments: str) -> str:
    done = kubectl.run(*arguments)
    if done.returncode != 0:
        raise SandboxError(f"kubectl {' '.join(arguments[:3])} failed", detail=done.stderr)
    return done.stdout
