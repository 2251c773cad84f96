"""Whether the API server enforces the policies of deploy/kustomize/base: some moments after they are applied."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl

FENCE = "nicplug-launcher-pods"
ADMISSION = "nicplug-interfaces"
ENFORCED_SECONDS = 30.0
POLL_SECONDS = 0.05
NAMESPACE = "default"
# No account but nicplug's may make this, a cluster admin's included.
_FORBIDDEN_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nicplug-fence-probe", "labels": {"kubevirt.io": "virt-launcher"}},
    "spec": {"containers": [{"name": "none", "image": "none"}]},
}
_FORBIDDEN_VMI: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "nicplug-admission-probe"},
    "spec": {"domain": {"devices": {"disks": [{"name": "one", "bootOrder": 1}, {"name": "two", "bootOrder": 1}]}}},
}


def wait_for_fences(*, kubeconfig: Path, seconds: float = ENFORCED_SECONDS) -> None:
    """Wait until a pod that only nicplug may make is refused; nothing is created.

    Raises:
        SandboxError: it was not refused in time, or not by the fences.
    """
    _wait(kubeconfig=kubeconfig, policy=FENCE, forbidden=_FORBIDDEN_POD, seconds=seconds)


def wait_for_admission(*, kubeconfig: Path, seconds: float = ENFORCED_SECONDS) -> None:
    """Wait until a virtual machine with two first boot devices is refused; nothing is created.

    Raises:
        SandboxError: it was not refused in time, or not by the policies of admission.
    """
    _wait(kubeconfig=kubeconfig, policy=ADMISSION, forbidden=_FORBIDDEN_VMI, seconds=seconds)


def _wait(*, kubeconfig: Path, policy: str, forbidden: dict[str, Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        kubectl = Kubectl(kubeconfig=kubeconfig, cache=Path(cache))
        while policy not in (answer := _probe(kubectl, forbidden)):
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"the API server did not enforce the policy {policy} within {seconds:.0f} s",
                    remedy="Is there a ValidatingAdmissionPolicyBinding for it? Kubernetes 1.31 or newer is needed.",
                    detail=answer,
                )
            time.sleep(POLL_SECONDS)


def _probe(kubectl: Kubectl, forbidden: dict[str, Any]) -> str:
    """What the API server says to the forbidden object; "" when it accepts it."""
    create = ("create", f"--namespace={NAMESPACE}", "--dry-run=server", "-f", "-")
    return kubectl.run(*create, stdin=json.dumps(forbidden)).stderr
