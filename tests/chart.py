"""The chart and the folders of kustomize, rendered: objects by what they are, without what only Helm writes."""

import functools
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nicplug_sandbox.build import binary
from nicplug_sandbox.go_programs import HELM
from nicplug_sandbox.yaml_documents import read_documents

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "helm" / "nicplug"
VALUES = ROOT / "deploy" / "helm" / "values"
BASE = ROOT / "deploy" / "kustomize" / "base"
MONITORING = ROOT / "deploy" / "monitoring"
OVERLAYS = ROOT / "deploy" / "kustomize" / "overlays"
KUBECTL = Path(sys.executable).parent / "kubectl"
NAMESPACE = "nicplug-system"

Object = dict[str, Any]
# apiVersion, kind, namespace, name.
Identity = tuple[str, str, str, str]
# Helm's own, for its bookkeeping; the first is written by everybody.
_LABELS = ("helm.sh/chart", "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by")
_KEEP = "helm.sh/resource-policy"
_HOOK = "helm.sh/hook"
_SETS = {"env", "volumes", "volumeMounts"}


def helm(*arguments: str | Path, check: bool = True, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run the Helm that is built from its module."""
    command = [binary(HELM, progress=print), *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=seconds)


def package(directory: Path) -> Path:
    """The chart as users get it: one archive, in which links have become files."""
    helm("package", CHART, "--destination", directory)
    (archive,) = directory.glob("*.tgz")
    return archive


@functools.cache
def template(
    chart: Path, *, values: tuple[Path, ...] = (), settings: tuple[str, ...] = (), namespace: str = NAMESPACE
) -> tuple[Object, ...]:
    """What `helm template` makes of a chart; the same call gives the same objects, which nobody changes.

    Args:
        settings: of `--set`, without the option; one that begins with `--` is an option of its own.
    """
    files = [argument for path in values for argument in ("--values", str(path))]
    options = [f"--set={setting}" if not setting.startswith("--") else setting for setting in settings]
    done = helm("template", "nicplug", chart, "--namespace", namespace, *files, *options)
    return tuple(read_documents(done.stdout))


def kustomize(folder: Path) -> list[Object]:
    """What kustomize makes of a folder."""
    done = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True, timeout=60)
    return read_documents(done.stdout)


def identity(item: Object) -> Identity:
    """What no two objects share."""
    metadata = item["metadata"]
    return item["apiVersion"], item["kind"], metadata.get("namespace", ""), metadata["name"]


def _comparable(value: Any) -> Any:
    """Text and lists as both write them.

    Kustomize doubles the line breaks of folded text that has indented lines in it, and puts what a patch adds to a list
    first. Variables, volumes and mounts have no order.
    """
    match value:
        case str():
            return re.sub(r"\n+", "\n", value)
        case dict():
            sets = {key: sorted(value[key], key=_name) for key in _SETS if isinstance(value.get(key), list)}
            return {key: _comparable(sets.get(key, item)) for key, item in value.items()}
        case list():
            return [_comparable(item) for item in value]
        case _:
            return value


def _name(row: Object) -> str:
    return str(row["name"])


def of_chart(items: Iterable[Object]) -> dict[Identity, Object]:
    """Without the hooks of `helm test`, and what only Helm writes."""
    found = {}
    for item in items:
        metadata = item["metadata"]
        annotations = {key: text for key, text in (metadata.get("annotations") or {}).items() if key != _KEEP}
        if annotations.get(_HOOK) == "test":
            continue
        labels = {key: text for key, text in (metadata.get("labels") or {}).items() if key not in _LABELS}
        assert identity(item) not in found, f"{identity(item)} is there twice"
        found[identity(item)] = _comparable(
            {**item, "metadata": {**metadata, "labels": labels, "annotations": annotations}}
        )
    return found


def of_kustomize(items: Iterable[Object]) -> dict[Identity, Object]:
    """Without the namespace, which a release of Helm does not contain."""
    found = {}
    for item in items:
        metadata = {"labels": {}, "annotations": {}, **item["metadata"]}
        if item["apiVersion"].startswith("admissionregistration.k8s.io/"):
            metadata.pop("namespace", None)  # kustomize takes these kinds for namespaced; the API server passes it over
        if item["kind"] != "Namespace":
            found[identity({**item, "metadata": metadata})] = _comparable({**item, "metadata": metadata})
    return found
