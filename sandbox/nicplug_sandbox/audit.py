"""What kube-apiserver writes into its audit log: the bench counts writes from it, and people read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Reads of these would be thousands of lines that nobody counts; their writes are kept.
SYSTEM_USERS = ["system:apiserver", "system:kube-scheduler", "system:kube-controller-manager"]
READS = ["get", "list", "watch"]
# Of these everything, so that whatever nicplug is refused is seen (tests/rights).
NICPLUG = ["system:serviceaccounts:nicplug-system"]
UNCOUNTED_PATHS = ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi/*", "/api*"]


def policy() -> dict[str, Any]:
    """The audit policy: every write with user and response code, reads of everyone but the system, all of nicplug's.

    Metadata level throughout: with request and response bodies the log of a burst grows to a size that
    the measurement of that burst would notice (figures in docs/adr/0003-one-control-plane-binary.md).
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        # One line per request, written when its code is known.
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "userGroups": NICPLUG},
            {"level": "None", "users": SYSTEM_USERS, "verbs": READS},
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"], "verbs": READS},
            {"level": "None", "nonResourceURLs": UNCOUNTED_PATHS},
            {"level": "Metadata"},
        ],
    }


def write_policy(path: Path) -> Path:
    """Write the policy as JSON, which kube-apiserver reads as YAML."""
    path.write_text(json.dumps(policy(), indent=1))
    return path


def entries(log: Path, *, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The entries that were written after the first `offset` bytes; half a line at either end is left out."""
    with log.open("rb") as handle:
        handle.seek(max(0, offset - 1))
        if offset and handle.read(1) != b"\n":
            handle.readline()  # it was being written when its size was taken
        for line in handle:
            if not line.endswith(b"\n"):
                return  # its other half, once written, would be read as a line
            yield json.loads(line)
