"""Finds the parts of an installation, in the order of deletion, and the objects of users.

Everything that nicplug installs, with kustomize or Helm, has the label `app.kubernetes.io/name=nicplug`, and so has
what operator and API create for themselves.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nicplug.kube.api import Json, KubeApi, Resource
from nicplug.kube.errors import Gone
from nicplug.kube.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    KUBEVIRTS,
    LEASES,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.names import INSTALLED_SELECTOR

GUARD = "nicplug-crds"
"""The policy that protects the CRDs, and with them all VMs, from deletion; it stays until the CRDs are deleted."""
ALLOW_DELETION = "nicplug.io/allow-deletion"
_PAGE = 250


def _kind(group: str, plural: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(group=group, version="v1", plural=plural, kind=kind, namespaced=namespaced)


_ADMISSION, _RBAC = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
POLICIES = _kind(_ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy")
POLICY_BINDINGS = _kind(_ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding")
# A registered API that is not served keeps namespaces from being deleted, so the registrations are deleted first.
IN_ORDER: tuple[Resource, ...] = (
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    _kind("apiregistration.k8s.io", "apiservices", "APIService"),
    _kind("apps", "deployments", "Deployment", namespaced=True),
    POLICY_BINDINGS,
    POLICIES,
    POD_DISRUPTION_BUDGETS,
    _kind("networking.k8s.io", "networkpolicies", "NetworkPolicy", namespaced=True),
    _kind("", "services", "Service", namespaced=True),
    _kind(_RBAC, "rolebindings", "RoleBinding", namespaced=True),
    _kind(_RBAC, "roles", "Role", namespaced=True),
    _kind(_RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    _kind(_RBAC, "clusterroles", "ClusterRole"),
    _kind("", "serviceaccounts", "ServiceAccount", namespaced=True),
    # Objects that operator and API create, once they have no permission to recreate them.
    LEASES,
    CONFIG_MAPS,
    _kind("", "secrets", "Secret", namespaced=True),
    _kind("scheduling.k8s.io", "priorityclasses", "PriorityClass"),
    NAMESPACES,
)
# Deleting these stops the guests; in the order of deletion.
OF_USERS: tuple[Resource, ...] = (
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINES,
    VIRTUAL_MACHINE_INSTANCES,
)
DEFINITIONS: tuple[str, ...] = tuple(f"{item.plural}.{item.group}" for item in (*OF_USERS, KUBEVIRTS))
OWN_DEFINITIONS = ("interfacereports.nicplug.io", "hotplugpolicies.nicplug.io")
"""The kinds of nicplug's own group. Deleting them deletes reports and policy, and stops nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Part:
    """One object of an installation.

    Attributes:
        helm_release: the release that it belongs to; "" for none.
        helm_namespace: namespace in which that release is recorded.
    """

    resource: Resource
    name: str
    namespace: str
    uid: str
    helm_release: str = ""
    helm_namespace: str = ""

    def __str__(self) -> str:
        where = f" -n {self.namespace}" if self.namespace else ""
        return f"{self.resource.kind} {self.name}{where}"


async def find(api: KubeApi, resource: Resource, *, selector: str | None = None) -> AsyncIterator[tuple[Part, Json]]:
    """Yield all objects of a kind in all namespaces; none if the kind is not served."""
    token: str | None = None
    while True:
        try:
            page = await api.list(resource, label_selector=selector, limit=_PAGE, continue_token=token)
        except Gone:
            return
        for item in objects(page.get("items")):
            metadata = mapping(item.get("metadata"))
            annotations = mapping(metadata.get("annotations"))
            part = Part(
                resource=resource,
                name=text(metadata.get("name")),
                namespace=text(metadata.get("namespace")),
                uid=text(metadata.get("uid")),
                helm_release=text(annotations.get("meta.helm.sh/release-name")),
                helm_namespace=text(annotations.get("meta.helm.sh/release-namespace")),
            )
            yield part, dict(item)
        token = text(mapping(page.get("metadata")).get("continue")) or None
        if token is None:
            return


async def installed(api: KubeApi, *, purge: bool, is_beside: bool = False) -> list[Part]:
    """Return what nicplug has installed, in the order of deletion.

    Without `purge`, the policy that protects the CRDs stays, and so does a namespace with a KubeVirt object, which is
    the admin's. Beside KubeVirt that namespace always stays, and the policy, which would protect CRDs of KubeVirt's,
    never does.
    """
    found = []
    kept = {part.namespace async for part, _ in find(api, KUBEVIRTS)} if is_beside or not purge else set()
    for resource in IN_ORDER:
        async for part, _ in find(api, resource, selector=INSTALLED_SELECTOR):
            is_guard_kept = part.name == GUARD and not (purge or is_beside)
            if not is_guard_kept and not (resource is NAMESPACES and part.name in kept):
                found.append(part)
    return found


async def of_users(api: KubeApi) -> list[Part]:
    """Return all VMs, VMIs and migrations."""
    return [part for resource in OF_USERS async for part, _ in find(api, resource)]


async def definitions(api: KubeApi) -> list[Part]:
    """Return the CRDs that nicplug has installed; those of another KubeVirt stay."""
    found = [part async for part, _ in find(api, CUSTOM_RESOURCE_DEFINITIONS, selector=INSTALLED_SELECTOR)]
    return [part for part in found if part.name in (*DEFINITIONS, *OWN_DEFINITIONS)]


async def is_beside_kubevirt(api: KubeApi) -> bool:
    """Report whether the virtual machines of the cluster, if there are any, are KubeVirt's and not nicplug's."""
    return not any(part.name.endswith(f".{KUBEVIRTS.group}") for part in await definitions(api))


async def with_definitions(api: KubeApi) -> list[Part]:
    """Return what a purge deletes last: the KubeVirt objects, which would be deleted with their CRD, and the CRDs."""
    found = await definitions(api)
    is_gone = any(part.name.startswith(f"{KUBEVIRTS.plural}.") for part in found)
    return [*([part async for part, _ in find(api, KUBEVIRTS)] if is_gone else []), *found]
