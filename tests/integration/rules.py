"""The rules of admission as tests need them: in force, or not yet there, for objects that were stored before."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.admission.row import BOTH, TOGETHER, Json, Kind, manifest
from tests.admission.rules import ROWS
from tests.integration.kubectl import ROOT, Kubectl
from tests.integration.user import VM, VMI, User

from nicplug_sandbox.policies import wait_for_policies
from nicplug_sandbox.yaml_documents import read_documents

POLICIES = ROOT / "deploy" / "kustomize" / "base" / "admission"
CRDS = [ROOT / "crds" / f"{plural}.yaml" for plural in (VMI, VM)]
# One example of a schema's rules, and one of the policy's.
PROBES = [row for row in ROWS if row.name in ("name", "masquerade")]
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
_SECONDS = 30.0
_POLL_SECONDS = 0.05


def install_policies(kubeconfig: Path) -> None:
    """Apply the policies of admission, and return when they and the rules of the CRDs are enforced."""
    Kubectl(kubeconfig=kubeconfig)("apply", "-k", POLICIES)
    wait_for_policies(kubeconfig=kubeconfig)
    _until_probes(_user(kubeconfig), refused=True)


def without_rules(node: Json) -> Json:
    """A schema as it was before there were rules, and bounds for them."""
    kept = {key: value for key, value in node.items() if key not in ("x-kubernetes-validations", "maxLength")}
    if "properties" in kept:
        kept["properties"] = {name: without_rules(child) for name, child in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = without_rules(kept["items"])
    return kept


@contextmanager
def lifted(kubeconfig: Path) -> Iterator[None]:
    """No rules about virtual machines; afterwards they are back, and enforced."""
    user = _user(kubeconfig)
    _, binding = user.request("GET", f"{_BINDINGS}/{TOGETHER}")
    user.request("DELETE", f"{_BINDINGS}/{TOGETHER}")
    for path in CRDS:
        _replace_schema(user, path, ruled=False)
    _until_probes(user, refused=False)
    try:
        yield
    finally:
        if "spec" in binding:
            metadata = {"name": TOGETHER}
            user.request("POST", _BINDINGS, {**binding, "metadata": metadata})
        for path in CRDS:
            _replace_schema(user, path, ruled=True)
        _until_probes(user, refused=True)


def _user(kubeconfig: Path) -> User:
    return User(kubeconfig=kubeconfig, namespace="default")


def _replace_schema(user: User, file: Path, *, ruled: bool) -> None:
    (crd,) = read_documents(file.read_text())
    versions = crd["spec"]["versions"]
    if not ruled:
        schema = versions[0]["schema"]
        schema["openAPIV3Schema"] = without_rules(schema["openAPIV3Schema"])
    path = f"{_DEFINITIONS}/{crd['metadata']['name']}"
    patch: Any = [{"op": "replace", "path": "/spec/versions", "value": versions}]
    code, said = user.request("PATCH", path, patch, content_type="application/json-patch+json")
    assert code == 200, said


def _until_probes(user: User, *, refused: bool) -> None:
    """Some moments pass before the API server does as it was told."""
    deadline = time.monotonic() + _SECONDS
    for row in PROBES:
        for kind in BOTH:
            path = user.path(VM if kind is Kind.VM else VMI) + "?dryRun=All"
            body = manifest(row, kind, row.refused, suffix="-probe")
            while (
                row.said(kind) in (said := user.request("POST", path, body))[1].get("message", "")
            ) is not refused or (not refused and said[0] != 201):
                assert time.monotonic() < deadline, said
                time.sleep(_POLL_SECONDS)
