"""What the operator wrote, by the API server's own audit log."""

from pathlib import Path

from nicplug_sandbox import audit
from nicplug_sandbox.operator_process import NAMESPACE, SERVICE_ACCOUNT

_OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


def operator_writes(log: Path, *, offset: int = 0) -> dict[str, int]:
    """The operator's writes by resource since `offset` bytes, its Lease left out."""
    counts: dict[str, int] = {}
    for entry in audit.entries(log, offset=offset):
        target = entry.get("objectRef", {})
        is_write = entry["verb"] in ("create", "update", "patch", "delete")
        if entry["user"]["username"] == _OPERATOR_USER and is_write and target.get("resource") != "leases":
            name = "/".join(filter(None, [target.get("resource"), target.get("subresource")]))
            counts[name] = counts.get(name, 0) + 1
    return counts
