"""Roles, and lines of an audit log, with good defaults."""

from typing import Any

OPERATOR = "system:serviceaccount:nicplug-system:nicplug-operator"
ROLE = "ClusterRole nicplug-operator"


def role(*rules: dict[str, Any], kind: str = "ClusterRole", name: str = "nicplug-operator") -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": "nicplug-system"} if kind == "Role" else {})
    return {"kind": kind, "metadata": metadata, "rules": [*rules]}


def rule(resource: str, *verbs: str, group: str = "", **names: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resource], "verbs": [*verbs], **names}


def binding(
    kind: str = "ClusterRoleBinding", role_kind: str = "ClusterRole", name: str = "nicplug-operator"
) -> dict[str, Any]:
    subjects = [{"kind": "ServiceAccount", "name": "nicplug-operator", "namespace": "nicplug-system"}]
    metadata = {"name": name} | ({"namespace": "nicplug-system"} if kind == "RoleBinding" else {})
    return {"kind": kind, "metadata": metadata, "roleRef": {"kind": role_kind, "name": name}, "subjects": subjects}


def entry(**members: Any) -> dict[str, Any]:
    """A line of an audit log, as kube-apiserver writes it."""
    return {
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/red/pods/a/status?dryRun=All",
        "verb": "patch",
        "user": {"username": OPERATOR, "groups": ["system:serviceaccounts"]},
        "userAgent": "nicplug",
        "objectRef": {"resource": "pods", "subresource": "status", "namespace": "red", "name": "a"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "1970-01-01T00:01:40.000000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: allowed"},
        **members,
    }


REFUSED = {
    "responseStatus": {"code": 403, "reason": "Forbidden", "message": "no right"},
    "annotations": {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""},
}
