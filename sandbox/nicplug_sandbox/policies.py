"""Whether the API server enforces the policies that were applied: it takes them up some moments later."""

import json
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl

ENFORCED_SECONDS = 30.0
POLL_SECONDS = 0.05
NAMESPACE = "default"
_REFUSAL = "the policies are enforced"
_GROUP = "admissionregistration.k8s.io/v1"


def wait_for_policies(*, kubeconfig: Path, seconds: float = ENFORCED_SECONDS) -> None:
    """Wait until every ValidatingAdmissionPolicy and binding written so far is enforced, and every deleted one is not.

    The API server learns of policies and of bindings in the order in which they were written, and takes up what it
    knows of both once a second: a round may find some of those applied together, and miss others. So a policy is
    written after them, which refuses one name, and is waited for.

    Args:
        kubeconfig: of an admin.

    Raises:
        SandboxError: the API server did not refuse that name in time, or not the policy itself.
    """
    name = f"nicplug-marker-{uuid.uuid4().hex[:12]}"
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        kubectl = Kubectl(kubeconfig=kubeconfig, cache=Path(cache))
        with _applied(kubectl, _policy(name), _binding(name)):
            while _REFUSAL not in (answer := _create(kubectl, _config_map(name), "--dry-run=server")):
                if time.monotonic() > deadline:
                    raise SandboxError(
                        f"the API server did not enforce a new ValidatingAdmissionPolicy within {seconds:.0f} s",
                        remedy="Use Kubernetes 1.31 or newer, with the admission plugin ValidatingAdmissionPolicy.",
                        detail=answer,
                    )
                time.sleep(POLL_SECONDS)


@contextmanager
def _applied(kubectl: Kubectl, *objects: dict[str, Any]) -> Iterator[None]:
    body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    try:
        if error := _create(kubectl, body):
            raise SandboxError("the API server refused a ValidatingAdmissionPolicy", detail=error)
        yield
    finally:
        kubectl.run("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=json.dumps(body))


def _create(kubectl: Kubectl, body: dict[str, Any], *options: str) -> str:
    """What the API server says against it; "" when it accepts it."""
    return kubectl.run("create", f"--namespace={NAMESPACE}", *options, "-f", "-", stdin=json.dumps(body)).stderr


def _policy(name: str) -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    spec = {
        "matchConstraints": {"resourceRules": [{**rule, "resourceNames": [name]}]},
        "validations": [{"expression": "false", "message": _REFUSAL}],
    }
    return {"apiVersion": _GROUP, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}


def _binding(name: str) -> dict[str, Any]:
    kind = "ValidatingAdmissionPolicyBinding"
    spec = {"policyName": name, "validationActions": ["Deny"]}
    return {"apiVersion": _GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
