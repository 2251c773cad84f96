"""Permissions of nicplug's ServiceAccounts, checked one by one with SubjectAccessReviews.

The lists are those of deploy/kustomize/base; a test compares them.
"""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, Severity, ok, problem, unknown, warning
from nicplug.kube.api import Resource
from nicplug.kube.errors import APPLY_MANIFESTS, MANIFESTS, Denied, Gone

_REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    namespaced=False,
)
_ACCOUNTS = Resource(group="", version="v1", plural="serviceaccounts", kind="ServiceAccount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """The permissions that one rule of a role grants.

    Attributes:
        resource: with its subresource, as RBAC writes it.
        names: names of the objects; empty for all.
        in_own_namespace: granted only in nicplug's namespace.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    in_own_namespace: bool = False

    def attributes(self, *, namespace: str) -> Iterator[dict[str, Any]]:
        """Yield the attributes of the SubjectAccessReviews that check it, for each verb and object."""
        resource, _, subresource = self.resource.partition("/")
        for name, verb in itertools.product(self.names or ("",), self.verbs):
            asked = {
                "group": self.group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "name": name,
                "namespace": namespace if self.in_own_namespace else "",
            }
            yield {key: value for key, value in asked.items() if value}


_READ, _OWNED = ("list", "watch"), ("get", "list", "watch", "create", "patch", "delete")
OPERATOR = (
    Right(group="kubevirt.io", resource="virtualmachines", verbs=("get", "list", "watch", "patch")),
    Right(group="kubevirt.io", resource="virtualmachines/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstancemigrations/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances", verbs=_OWNED),
    Right(group="kubevirt.io", resource="virtualmachineinstancemigrations", verbs=_OWNED),
    Right(group="kubevirt.io", resource="virtualmachines/finalizers", verbs=("update",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances/finalizers", verbs=("update",)),
    Right(group="kubevirt.io", resource="kubevirts", verbs=_READ),
    Right(group="nicplug.io", resource="hotplugpolicies", verbs=_READ),
    Right(group="kubevirt.io", resource="kubevirts/status", verbs=("patch",)),
    Right(group="", resource="pods", verbs=_OWNED),
    Right(group="policy", resource="poddisruptionbudgets", verbs=_OWNED),
    Right(group="apps", resource="controllerrevisions", verbs=("get", "list", "watch", "create", "delete")),
    Right(group="", resource="pods/status", verbs=("patch",)),
    Right(group="events.k8s.io", resource="events", verbs=("create", "patch")),
    Right(group="", resource="events", verbs=_READ),
    Right(group="k8s.cni.cncf.io", resource="network-attachment-definitions", verbs=_READ),
    Right(group="", resource="nodes", verbs=_READ),
    Right(group="apps", resource="daemonsets", verbs=_READ),
    Right(group="", resource="configmaps", verbs=_READ, names=("multus-daemon-config",)),
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("list",),
        names=("virt-controller", "nicplug-operator"),
    ),
    Right(group="apiextensions.k8s.io", resource="customresourcedefinitions", verbs=("get",)),
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        names=("nicplug-operator",),
        in_own_namespace=True,
    ),
    Right(group="coordination.k8s.io", resource="leases", verbs=("create",), in_own_namespace=True),
    Right(
        group="",
        resource="configmaps",
        verbs=("get", "update"),
        names=("nicplug-migration-slots",),
        in_own_namespace=True,
    ),
    Right(group="", resource="configmaps", verbs=("create",), in_own_namespace=True),
)

COMPANION = (
    Right(group="kubevirt.io", resource="virtualmachines", verbs=("get", *_READ)),
    Right(group="kubevirt.io", resource="virtualmachineinstances", verbs=("get", *_READ)),
    Right(
        group="kubevirt.io",
        resource="virtualmachineinstancemigrations",
        verbs=("get", *_READ, "create", "delete"),
    ),
    Right(group="kubevirt.io", resource="kubevirts", verbs=("get", *_READ)),
    Right(group="nicplug.io", resource="hotplugpolicies", verbs=("get", *_READ)),
    Right(
        group="nicplug.io",
        resource="interfacereports",
        verbs=("get", *_READ, "create", "patch", "delete"),
    ),
    Right(group="nicplug.io", resource="interfacereports/status", verbs=("patch",)),
    Right(group="", resource="pods", verbs=("get", *_READ)),
    Right(group="", resource="events", verbs=("get", *_READ)),
    Right(group="events.k8s.io", resource="events", verbs=("create", "patch")),
    Right(group="k8s.cni.cncf.io", resource="network-attachment-definitions", verbs=("get", *_READ)),
    Right(group="", resource="nodes", verbs=("get", *_READ)),
    Right(group="apps", resource="daemonsets", verbs=("get", *_READ)),
    Right(group="apps", resource="deployments", verbs=("get", "list"), names=("virt-controller",)),
    Right(group="", resource="configmaps", verbs=_READ, names=("multus-daemon-config",)),
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("list",),
        names=("virt-controller", "nicplug-operator"),
    ),
    Right(group="apiextensions.k8s.io", resource="customresourcedefinitions", verbs=("get",)),
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "update"),
        names=("nicplug-operator",),
        in_own_namespace=True,
    ),
    Right(group="coordination.k8s.io", resource="leases", verbs=("create",), in_own_namespace=True),
)
NUDGE = Right(group="", resource="pods", verbs=("patch",))

API = (
    Right(group="authorization.k8s.io", resource="subjectaccessreviews", verbs=("create",)),
    Right(group="kubevirt.io", resource="virtualmachines", verbs=("get", "patch")),
    Right(group="kubevirt.io", resource="virtualmachines/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances", verbs=("get", "patch")),
    Right(group="kubevirt.io", resource="virtualmachineinstancemigrations", verbs=("list", "create")),
    Right(group="kubevirt.io", resource="kubevirts", verbs=_READ),
    Right(group="nicplug.io", resource="hotplugpolicies", verbs=_READ),
    Right(group="k8s.cni.cncf.io", resource="network-attachment-definitions", verbs=_READ),
    Right(group="", resource="configmaps", verbs=_READ, names=("multus-daemon-config",)),
    Right(group="", resource="pods", verbs=("get",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances/status", verbs=("patch",)),
    Right(
        group="admissionregistration.k8s.io",
        resource="validatingwebhookconfigurations",
        verbs=("get", "patch"),
        names=("nicplug-evictions",),
    ),
    Right(
        group="apiregistration.k8s.io",
        resource="apiservices",
        verbs=("get", "patch"),
        names=("v1.subresources.kubevirt.io", "v1alpha3.subresources.kubevirt.io"),
    ),
    Right(
        group="", resource="secrets", verbs=("get", "update"), names=("nicplug-api-certificate",), in_own_namespace=True
    ),
    Right(group="", resource="secrets", verbs=("create",), in_own_namespace=True),
)
QUESTIONS = (
    Right(group="", resource="pods", verbs=("list",)),
    Right(group="", resource="nodes", verbs=("list",)),
    Right(group="apps", resource="daemonsets", verbs=("list",)),
    Right(group="apps", resource="controllerrevisions", verbs=("list",)),
    Right(group="", resource="events", verbs=("list",)),
)
_BIND = f"{MANIFESTS} bind ClusterRole nicplug-api-questions; without it `plan` and `why` read with the user's rights."


async def check_companion_rights(session: Session, *, namespace: str) -> list[Finding]:
    """Check which of its permissions the operator's ServiceAccount lacks beside KubeVirt, and whether it may nudge."""
    found = await check_operator_rights(session, namespace=namespace, rights=COMPANION)
    if any(item.severity is not Severity.OK for item in found):
        return found
    user = _user("nicplug-operator", namespace)
    may = not await _lacking(session, user, (NUDGE,), namespace=namespace)
    nudge = "it may patch pods, for the nudge" if may else "it may not write to pods, so it never nudges"
    return [ok("rbac", f"{item.message}; {nudge}") for item in found]


async def check_operator_rights(
    session: Session, *, namespace: str, rights: Sequence[Right] = OPERATOR
) -> list[Finding]:
    """Check which of its permissions the operator's ServiceAccount lacks."""
    user = _user("nicplug-operator", namespace)
    try:
        lacking = await _lacking(session, user, rights, namespace=namespace)
    except Denied as error:
        return [unknown("rbac", str(error))]
    if not lacking:
        return [ok("rbac", f"{user} has all its rights")]
    if await _is_missing(session, "nicplug-operator", namespace):
        message = f"there is no ServiceAccount nicplug-operator in namespace {namespace}, or no such namespace"
        return [problem("rbac", message, "Give the operator's namespace by --operator-namespace, or install nicplug.")]
    return [problem("rbac", f"{user} may not {permission}", APPLY_MANIFESTS) for permission in lacking]


async def check_api_rights(session: Session, *, namespace: str) -> list[Finding]:
    """Check which of its permissions the ServiceAccount of `nicplug api` lacks; no findings if it is not installed."""
    user = _user("nicplug-api", namespace)
    if await _is_missing(session, "nicplug-api", namespace):
        return []
    try:
        lacking = await _lacking(session, user, API, namespace=namespace)
        unread = await _lacking(session, user, QUESTIONS, namespace=namespace)
    except Denied as error:
        return [unknown("api-rbac", str(error))]
    if not lacking and not unread:
        return [ok("api-rbac", f"{user} has all its rights")]
    return [
        *(problem("api-rbac", f"{user} may not {permission}", APPLY_MANIFESTS) for permission in lacking),
        *(warning("api-rbac", f"{user} may not {permission}", _BIND) for permission in unread),
    ]


async def _is_missing(session: Session, account: str, namespace: str) -> bool:
    """True if there is no such ServiceAccount; False if it cannot be read, as its permissions can still be checked."""
    try:
        await session.api.get(_ACCOUNTS, name=account, namespace=namespace)
    except Gone:
        return True
    except Denied:
        return False
    return False


def _user(account: str, namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


async def _lacking(session: Session, user: str, rights: Sequence[Right], *, namespace: str) -> list[str]:
    """Return the permissions that the user lacks, one line for each resource."""
    asked = [(right, one) for right in rights for one in right.attributes(namespace=namespace)]
    answers = await asyncio.gather(*(_may(session, user, one, namespace) for _, one in asked))
    lacking: dict[str, dict[str, None]] = {}
    for (right, one), is_allowed in zip(asked, answers, strict=True):
        if not is_allowed:
            resource = f"{right.resource}.{right.group}".rstrip(".")
            lacking.setdefault(resource, {})[one["verb"]] = None
    return [f"{', '.join(verbs)} {resource}" for resource, verbs in lacking.items()]


async def _may(session: Session, user: str, attributes: Mapping[str, Any], namespace: str) -> bool:
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    body = {"spec": {"user": user, "groups": groups, "resourceAttributes": dict(attributes)}}
    answer = await session.api.create(_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))
