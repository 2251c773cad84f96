"""Kubeconfig files with embedded credentials, and reading the server back out of a foreign one."""

import base64
from pathlib import Path
from typing import Any

import yaml

from nicplug_sandbox.certificates import ClientCertificate, write_private
from nicplug_sandbox.errors import SandboxError


def write(path: Path, *, server: str, authority: bytes, client: ClientCertificate) -> Path:
    """Write a kubeconfig with one cluster, one user and one context; mode 0600."""
    name = "nicplug-sandbox"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": _encode(authority)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": client.user}}],
        "users": [
            {
                "name": client.user,
                "user": {
                    "client-certificate-data": _encode(client.certificate),
                    "client-key-data": _encode(client.key),
                },
            }
        ],
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())
    return path


def server_of(path: Path) -> str:
    """The server of the current context.

    Raises:
        SandboxError: the file is missing, not a kubeconfig, or names no current context.
    """
    try:
        content = yaml.safe_load(path.read_text())
        context = _named(content["contexts"], content["current-context"])["context"]
        return str(_named(content["clusters"], context["cluster"])["cluster"]["server"])
    except OSError as error:
        raise SandboxError(
            f"kubeconfig {path}: {error.strerror}", remedy="Give the path of a readable kubeconfig."
        ) from None
    except (KeyError, TypeError, LookupError, yaml.YAMLError):
        raise SandboxError(
            f"kubeconfig {path} has no usable current context",
            remedy="Choose one with `kubectl config use-context NAME --kubeconfig FILE`.",
        ) from None


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for item in items:
        if item["name"] == name:
            return item
    raise LookupError(name)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
