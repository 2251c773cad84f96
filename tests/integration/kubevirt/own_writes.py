"""What nicplug writes beside KubeVirt, judged by the audit log: its own objects and no others."""

import re
from collections.abc import Iterable

from tests.integration.user import Json

from nicplug_sandbox.operator_process import NAMESPACE, SERVICE_ACCOUNT

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
_READS = frozenset({"get", "list", "watch"})
_MIGRATION = re.compile(r"nicplug-[0-9a-f]{10}")
_LEASE = (NAMESPACE, "nicplug-operator")
# By group and resource, with its subresource. Its migrations are judged by their names too, and the Lease is one.
_OWN = {
    ("nicplug.io", "interfacereports"): {"create", "patch", "delete"},
    ("nicplug.io", "interfacereports/status"): {"patch"},
    ("kubevirt.io", "virtualmachineinstancemigrations"): {"create", "delete"},
    ("events.k8s.io", "events"): {"create", "patch"},
    ("coordination.k8s.io", "leases"): {"create", "update"},
}


def writes(entries: Iterable[Json]) -> list[Json]:
    """Its writes, refused ones too: each was an attempt."""
    return [item for item in entries if item["user"]["username"] == ACCOUNT and item["verb"] not in _READS]


def resource_of(reference: Json) -> str:
    """The resource with its subresource, as RBAC writes it."""
    subresource = reference.get("subresource")
    return f"{reference['resource']}/{subresource}" if subresource else str(reference["resource"])


def foreign_writes(entries: Iterable[Json]) -> list[str]:
    """Its writes to anything but its own objects, one line each."""
    return [_line(item) for item in writes(entries) if not _is_own(item)]


def _is_own(entry: Json) -> bool:
    reference = entry.get("objectRef")
    if reference is None:
        return False
    group, resource = str(reference.get("apiGroup", "")), resource_of(reference)
    if entry["verb"] not in _OWN.get((group, resource), ()):
        return False
    name = str(reference.get("name", ""))
    if resource == "virtualmachineinstancemigrations":
        return _MIGRATION.fullmatch(name) is not None
    return resource != "leases" or (reference.get("namespace"), name) == _LEASE


def _line(entry: Json) -> str:
    reference = entry.get("objectRef")
    if reference is None:
        return f"{entry['verb']} {entry.get('requestURI')}"
    where = f"{reference.get('namespace', '')}/{reference.get('name', '')}"
    return f"{entry['verb']} {resource_of(reference)}.{reference.get('apiGroup', '')} {where}"
