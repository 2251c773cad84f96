"""A kubeconfig for an API server that a test plays."""

import json
from collections.abc import Mapping
from pathlib import Path
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


def write_kubeconfig(path: Path, *, server: str, namespace: str = "", user: Mapping[str, Any] | None = None) -> Path:
    """Write one into a file; the path."""
    path.write_text(json.dumps(kubeconfig(server, namespace=namespace, user=user)))
    return path
