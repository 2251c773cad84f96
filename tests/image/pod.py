"""A container of a Deployment as podman starts it: the same user, file system, capabilities and arguments."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nicplug_sandbox.nicplug_process import BASE

Json = dict[str, Any]


def pod_spec(folder: str = "operator") -> Json:
    """The pod of a Deployment of kustomize's base.

    Args:
        folder: below the base: "operator" or "api".
    """
    document: Json = yaml.safe_load((BASE / folder / "deployment.yaml").read_text())
    spec: Json = document["spec"]["template"]["spec"]
    return spec


def restrictions(spec: Json) -> list[str]:
    """Options of `podman run` for what the pod's security contexts say.

    Raises:
        AssertionError: they say something that is not translated here.
    """
    (container,) = spec["containers"]
    pod, own = dict(spec["securityContext"]), dict(container["securityContext"])
    assert pod.pop("runAsNonRoot") is True
    assert pod.pop("seccompProfile") == {"type": "RuntimeDefault"}  # podman's default, too
    user = f"{pod.pop('runAsUser')}:{pod.pop('runAsGroup')}"
    assert own.pop("allowPrivilegeEscalation") is False
    assert own.pop("readOnlyRootFilesystem") is True
    assert own.pop("capabilities") == {"drop": ["ALL"]}
    assert (pod, own) == ({}, {})
    return [
        f"--user={user}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        *_volumes(spec, container),
    ]


def variables(spec: Json, *, namespace: str) -> dict[str, str]:
    """The container's environment, with what the API server would put into `fieldRef`s."""
    (container,) = spec["containers"]
    fields = {"metadata.namespace": namespace}
    return {
        row["name"]: row["value"] if "value" in row else fields[row["valueFrom"]["fieldRef"]["fieldPath"]]
        for row in container.get("env", [])
    }


def _volumes(spec: Json, container: Json) -> list[str]:
    """Empty directories, as memory of the same size."""
    limits = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"]}
    sizes = {name: limit.removesuffix("i").lower() for name, limit in limits.items()}
    return [f"--tmpfs={row['mountPath']}:size={sizes[row['name']]},mode=1777" for row in container["volumeMounts"]]


def read_only(paths: Sequence[tuple[Path, str]]) -> list[str]:
    """Options that mount files of this machine."""
    return [f"--volume={source}:{target}:ro" for source, target in paths]
