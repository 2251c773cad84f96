"""What a nicplug process leaves out of its memory: libraries that others import when they find them."""

import importlib.util
import sys

# rich: structlog imports it for tracebacks with frames, which nicplug does not print. pykube, kubernetes.client: Kopf
# imports them for its own ways to log in, which nicplug does not use.
_UNUSED = ("rich", "pykube", "kubernetes.client")
_PACKAGE = "kubernetes"


def leave_out_unused() -> None:
    """Save a process that runs for long some 10 MiB. Called before anything imports Kopf or the Kubernetes client."""
    leave_out_synchronous_client()
    for name in _UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def leave_out_synchronous_client() -> None:
    """Import `kubernetes.aio` without the rest of its package.

    The package's `__init__` imports the synchronous client with requests, oauthlib and websocket, which
    `kubernetes.aio` does not need. So the package is registered without running it.
    """
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None:
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
