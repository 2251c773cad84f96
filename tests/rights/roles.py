"""What Roles and ClusterRoles grant, one right at a time, and whether a call needs it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rights.calls import Call

from nicplug_sandbox.yaml_documents import read_documents

_RULES = ("Role", "ClusterRole")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """One verb on one resource, granted to one account.

    Attributes:
        account: `system:serviceaccount:NAMESPACE:NAME`.
        role: kind and name of the role.
        namespace: where it holds; "" in every namespace, and for what has none.
        group: API group.
        resource: with its subresource, as in a rule.
        name: the one object of a rule with `resourceNames`; "" for every object.
    """

    account: str
    role: str
    namespace: str
    group: str
    resource: str
    name: str
    verb: str

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f' "{self.name}"' if self.name else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.account}: {self.verb} {resource}{named}{where} ({self.role})"

    def covers(self, call: Call) -> bool:
        """Whether the API server may have allowed the call for this right."""
        return (
            self.account == call.account
            and self.verb in (call.verb, "*")
            and self.group in (call.group, "*")
            and self.resource in (call.resource, "*")
            and self.namespace in (call.namespace, "")
            and self.name in (call.name, "")
        )


def granted(documents: Iterable[Document], *, accounts: Iterable[str]) -> frozenset[Right]:
    """Every right that the bindings give to the accounts, verbs x resources x resourceNames.

    A role that is bound but not among the documents is Kubernetes' own, which cannot be narrowed: passed over.

    Args:
        documents: manifests; those of other kinds are passed over.
        accounts: `system:serviceaccount:NAMESPACE:NAME`.
    """
    read = list(documents)
    wanted = frozenset(accounts)
    roles = {_identity(document): document for document in read if document["kind"] in _RULES}
    return frozenset(
        right
        for binding in read
        if binding["kind"] in _BINDINGS
        for account in wanted.intersection(map(_account, binding.get("subjects", ())))
        if (role := roles.get(_referred(binding))) is not None
        for right in _rights(role, account=account, namespace=_scope(binding))
    )


def manifests(*folders: Path) -> Iterator[Document]:
    """The objects of all YAML files below the folders."""
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            yield from read_documents(path.read_text())


def _rights(role: Document, *, account: str, namespace: str) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield Right(
                            account=account,
                            role=f"{role['kind']} {role['metadata']['name']}",
                            namespace=namespace,
                            group=group,
                            resource=resource,
                            name=name,
                            verb=verb,
                        )


def _identity(role: Document) -> tuple[str, str, str]:
    return role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]


def _referred(binding: Document) -> tuple[str, str, str]:
    reference = binding["roleRef"]
    return reference["kind"], _scope(binding) if reference["kind"] == "Role" else "", reference["name"]


def _scope(binding: Document) -> str:
    return str(binding["metadata"]["namespace"]) if binding["kind"] == "RoleBinding" else ""


def _account(subject: Mapping[str, str]) -> str:
    return f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
