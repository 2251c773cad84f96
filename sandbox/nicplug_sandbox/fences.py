"""Whether the API server enforces the fences of deploy/kustomize/base/fences: some moments after they are applied."""

import json
import tempfile
import time
from pathlib import Path

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl

POLICY = "nicplug-launcher-pods"
ENFORCED_SECONDS = 30.0
POLL_SECONDS = 0.05
NAMESPACE = "default"
# No account but nicplug's may make this, a cluster admin's included.
_FORBIDDEN_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nicplug-fence-probe", "labels": {"kubevirt.io": "virt-launcher"}},
    "spec": {"containers": [{"name": "none", "image": "none"}]},
}


def wait_for_fences(*, kubeconfig: Path, seconds: float = ENFORCED_SECONDS) -> None:
    """Wait until a pod that only nicplug may make is refused; nothing is created.

    Raises:
        SandboxError: it was not refused in time, or not by the fences.
    """
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        kubectl = Kubectl(kubeconfig=kubeconfig, cache=Path(cache))
        while POLICY not in (answer := _probe(kubectl)):
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"the API server did not enforce the policy {POLICY} within {seconds:.0f} s",
                    remedy="Is there a ValidatingAdmissionPolicyBinding for it? Kubernetes 1.30 or newer is needed.",
                    detail=answer,
                )
            time.sleep(POLL_SECONDS)


def _probe(kubectl: Kubectl) -> str:
    """What the API server says to the forbidden pod; "" when it accepts it."""
    create = ("create", f"--namespace={NAMESPACE}", "--dry-run=server", "-f", "-")
    return kubectl.run(*create, stdin=json.dumps(_FORBIDDEN_POD)).stderr
