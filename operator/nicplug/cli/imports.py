"""Keeps libraries out of memory that other libraries import if they find them."""

import importlib.util
import sys

# rich: structlog imports it for tracebacks with frames, which nicplug does not print. pykube, kubernetes.client: Kopf
# imports them for its own login methods, which nicplug does not use.
_UNUSED = ("rich", "pykube", "kubernetes.client")
_PACKAGE = "kubernetes"


def leave_out_unused() -> None:
    """Save a long-running process some 10 MiB. Call it before anything imports Kopf or the Kubernetes client."""
    leave_out_synchronous_client()
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def leave_out_synchronous_client() -> None:
    """Make `kubernetes.aio` importable without the rest of its package.

    The package's `__init__` imports the synchronous client with requests, oauthlib and websocket, which
    `kubernetes.aio` does not need, so the package is registered without running it.
    """
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None:
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
