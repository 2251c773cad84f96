"""A kubeconfig for an API server that a test plays."""

from collections.abc import Mapping
from typing import Any


def kubeconfig(server: str, *, namespace: str = "", user: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One with a single context."""
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": dict(user or {})}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
