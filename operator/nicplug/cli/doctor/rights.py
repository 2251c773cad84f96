"""The rights of the operator's ServiceAccount, asked of the API server one by one.

The list is that of deploy/kustomize/base; a test holds the two together.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown
from nicplug.kube.api import Resource
from nicplug.kube.errors import Denied

ACCOUNT = "nicplug-operator"
_REVIEWS = Resource(
    group="authorization.k8s.io",
    version="v1",
    plural="subjectaccessreviews",
    kind="SubjectAccessReview",
    namespaced=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What one rule of a role grants.

    Attributes:
        resource: with its subresource, as RBAC writes it.
        name: of the one object; "" for all.
        in_own_namespace: granted in the operator's namespace alone.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""
    in_own_namespace: bool = False

    def attributes(self, verb: str, *, namespace: str) -> dict[str, Any]:
        """As a SubjectAccessReview asks for it."""
        resource, _, subresource = self.resource.partition("/")
        asked = {
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "verb": verb,
            "name": self.name,
            "namespace": namespace if self.in_own_namespace else "",
        }
        return {key: value for key, value in asked.items() if value}


_READ, _OWNED = ("list", "watch"), ("get", "list", "watch", "create", "patch", "delete")
RIGHTS = (
    Right(group="kubevirt.io", resource="virtualmachines", verbs=("get", "list", "watch", "patch")),
    Right(group="kubevirt.io", resource="virtualmachines/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstancemigrations/status", verbs=("patch",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances", verbs=_OWNED),
    Right(group="kubevirt.io", resource="virtualmachineinstancemigrations", verbs=_OWNED),
    Right(group="kubevirt.io", resource="virtualmachines/finalizers", verbs=("update",)),
    Right(group="kubevirt.io", resource="virtualmachineinstances/finalizers", verbs=("update",)),
    Right(group="kubevirt.io", resource="kubevirts", verbs=_READ),
    Right(group="", resource="pods", verbs=_OWNED),
    Right(group="apps", resource="controllerrevisions", verbs=("get", "list", "watch", "create", "delete")),
    Right(group="", resource="pods/status", verbs=("patch",)),
    Right(group="events.k8s.io", resource="events", verbs=("create", "patch")),
    Right(group="", resource="events", verbs=_READ),
    Right(group="k8s.cni.cncf.io", resource="network-attachment-definitions", verbs=_READ),
    Right(group="", resource="nodes", verbs=_READ),
    Right(group="apps", resource="daemonsets", verbs=_READ),
    Right(group="", resource="configmaps", verbs=_READ, name="multus-daemon-config"),
    Right(group="apiextensions.k8s.io", resource="customresourcedefinitions", verbs=("get",)),
    Right(group="coordination.k8s.io", resource="leases", verbs=("get", "create", "update"), in_own_namespace=True),
    Right(
        group="", resource="configmaps", verbs=("get", "update"), name="nicplug-migration-slots", in_own_namespace=True
    ),
    Right(group="", resource="configmaps", verbs=("create",), in_own_namespace=True),
)


async def check_rights(session: Session, *, namespace: str) -> list[Finding]:
    """Which of them the ServiceAccount lacks."""
    asked = [(right, verb) for right in RIGHTS for verb in right.verbs]
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    try:
        answers = await asyncio.gather(*(_may(session, user, right, verb, namespace) for right, verb in asked))
    except Denied as error:
        return [unknown("rbac", str(error))]
    lacking: dict[str, list[str]] = {}
    for (right, verb), is_allowed in zip(asked, answers, strict=True):
        if not is_allowed:
            lacking.setdefault(f"{right.resource}.{right.group}".rstrip("."), []).append(verb)
    if not lacking:
        return [ok("rbac", f"{user} has all {len(asked)} rights")]
    return list(_lacking(user, lacking))


def _lacking(user: str, lacking: dict[str, list[str]]) -> Iterator[Finding]:
    for resource, verbs in lacking.items():
        remedy = "kubectl apply -k deploy/kustomize/base"
        yield problem("rbac", f"{user} may not {', '.join(verbs)} {resource}", remedy)


async def _may(session: Session, user: str, right: Right, verb: str, namespace: str) -> bool:
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    attributes = right.attributes(verb, namespace=namespace)
    body = {"spec": {"user": user, "groups": groups, "resourceAttributes": attributes}}
    answer = await session.api.create(_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))
