"""Check that the admission policies are installed and deny requests; a policy without a binding has no effect."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, unknown, warning
from nicplug.kube.api import Resource
from nicplug.kube.errors import APPLY_MANIFESTS, Denied, Gone
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.versions import TOO_OLD_REMEDY

_POLICIES = Resource(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="validatingadmissionpolicies",
    kind="ValidatingAdmissionPolicy",
    namespaced=False,
)
_BINDINGS = dataclasses.replace(
    _POLICIES, plural="validatingadmissionpolicybindings", kind="ValidatingAdmissionPolicyBinding"
)
FENCES = ("nicplug-bindings", "nicplug-launcher-pods", "nicplug-operator-pods")
ADMISSION = (
    "nicplug-crds",
    "nicplug-evictions",
    "nicplug-instance-labels",
    "nicplug-instances",
    "nicplug-interfaces",
    "nicplug-kubevirt-configuration",
    "nicplug-migrations",
)


async def check_policies(session: Session) -> list[Finding]:
    """Check the policies that keep tenants from forging launcher pods, and those that reject VMs that cannot run."""
    try:
        policies = objects((await session.api.list(_POLICIES)).get("items"))
        bindings = objects((await session.api.list(_BINDINGS)).get("items"))
    except Denied as error:
        return [unknown(check, str(error)) for check in ("fences", "admission")]
    except Gone:
        message = "this API server has no ValidatingAdmissionPolicies"
        return [warning(check, message, TOO_OLD_REMEDY) for check in ("fences", "admission")]
    there = {text(mapping(item.get("metadata")).get("name")) for item in policies}
    enforced = {text(mapping(item.get("spec")).get("policyName")) for item in bindings if _denies(item)}
    does = "refuse VMs that could never run"
    return [
        _judge("fences", FENCES, there, enforced, does="fence launcher pods", page="docs/security.md"),
        _judge("admission", ADMISSION, there, enforced, does=does, page="docs/admission.md"),
    ]


def _denies(binding: Mapping[str, Any]) -> bool:
    """True if the binding denies requests; with only `Warn` or `Audit`, they pass."""
    return "Deny" in (mapping(binding.get("spec")).get("validationActions") or ())


def _judge(
    check: str, wanted: Sequence[str], there: Collection[str], enforced: Collection[str], *, does: str, page: str
) -> Finding:
    missing = [name for name in wanted if name not in there]
    unbound = [name for name in wanted if name in there and name not in enforced]
    faults = [f"missing: {', '.join(missing)}"] if missing else []
    if unbound:
        faults.append(f"without effect, as no binding of them denies anything: {', '.join(unbound)}")
    if faults:
        return warning(check, "; ".join(faults), f"{APPLY_MANIFESTS} ({page}).")
    return ok(check, f"{len(wanted)} admission policies {does}")
