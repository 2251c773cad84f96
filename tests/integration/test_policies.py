"""When the API server enforces policies that were written a moment ago."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.user import User

from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.policies import wait_for_policies

GROUP = "/apis/admissionregistration.k8s.io/v1"
NAMES = [f"refuses-{number}" for number in range(20)]


def objects(name: str) -> dict[str, dict[str, Any]]:
    """A policy, by its plural, that refuses ConfigMaps of its own name, and its binding."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
    condition = {"name": "named", "expression": f"object.metadata.name == '{name}'"}
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [condition],
        "validations": [{"expression": "false"}],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    return {
        "validatingadmissionpolicies": {"metadata": {"name": name}, "spec": policy},
        "validatingadmissionpolicybindings": {"metadata": {"name": name}, "spec": binding},
    }


def refused(user: User) -> list[str]:
    """The names that are refused."""
    path = f"{user.path('configmaps')}?dryRun=All"
    return [name for name in NAMES if user.request("POST", path, {"metadata": {"name": name}})[0] == 422]


def test_policies_that_were_applied_together_were_enforced_in_part(control_plane: ControlPlane) -> None:
    """Whoever waits for one of them may find another one missing."""
    user = User(kubeconfig=control_plane.kubeconfig, namespace="default")
    for name in NAMES:
        for plural, body in objects(name).items():
            assert user.request("POST", f"{GROUP}/{plural}", body)[0] == 201
    wait_for_policies(kubeconfig=control_plane.kubeconfig)
    assert refused(user) == NAMES
    for name in NAMES:
        for plural in objects(name):
            assert user.request("DELETE", f"{GROUP}/{plural}/{name}")[0] == 200
    wait_for_policies(kubeconfig=control_plane.kubeconfig)
    assert refused(user) == []
    _, left = user.request("GET", f"{GROUP}/validatingadmissionpolicies")
    assert [item for item in left["items"] if "marker" in item["metadata"]["name"]] == []


def test_policies_were_waited_for_where_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="refused a ValidatingAdmissionPolicy"):
        wait_for_policies(kubeconfig=tmp_path / "none")
