"""Who the roles are for the API server: each acts with the identity and the rights of its real counterpart.

By impersonation, so that it works on any cluster and over one pool of connections: the API server
authorizes and admits a request as the impersonated user's. What the accounts may do is in `rights.yaml`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from nicplug_sandbox.node.api import Api, Json, Resource

RIGHTS = Path(__file__).with_name("rights.yaml")
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
RIGHTS_RESOURCES = {
    "ClusterRole": Resource(prefix=_RBAC, plural="clusterroles", namespaced=False),
    "ClusterRoleBinding": Resource(prefix=_RBAC, plural="clusterrolebindings", namespaced=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of the API server.

    Attributes:
        groups: those beyond what the API server adds by itself; a ServiceAccount needs none.
    """

    user: str
    groups: tuple[str, ...] = ()


MULTUS = Account(user="system:serviceaccount:kube-system:multus")
DYNAMIC_NETWORKS = Account(user="system:serviceaccount:kube-system:dynamic-networks-controller")
VIRT_HANDLER = Account(user="system:serviceaccount:kubevirt:kubevirt-handler")
OBSERVER = Account(user="sandbox.nicplug.io:observer")
"""Nobody's counterpart: the eyes that all roles share."""


def kubelet(node: str) -> Account:
    """The kubelet of a node."""
    return Account(user=f"system:node:{node}", groups=("system:nodes",))


def rights() -> list[Json]:
    """The ClusterRoles of the accounts and their bindings."""
    return list(yaml.safe_load_all(RIGHTS.read_text()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """The API as each role uses it.

    Attributes:
        admin: with the rights of the kubeconfig; installs what an admin installs, and plays no role.
    """

    admin: Api
    observer: Api
    multus: Api
    dynamic_networks: Api
    virt_handler: Api
    _kubelets: dict[str, Api] = field(default_factory=dict)

    @classmethod
    def make(cls, api: Api) -> "Clients":
        """One per role, on the connections of `api`, whose user must be allowed to impersonate."""
        return cls(
            admin=api,
            observer=api.acting_as(OBSERVER.user),
            multus=api.acting_as(MULTUS.user),
            dynamic_networks=api.acting_as(DYNAMIC_NETWORKS.user),
            virt_handler=api.acting_as(VIRT_HANDLER.user),
        )

    def kubelet(self, node: str) -> Api:
        """As the kubelet of one node."""
        if node not in self._kubelets:
            account = kubelet(node)
            self._kubelets[node] = self.admin.acting_as(account.user, groups=account.groups)
        return self._kubelets[node]
