"""Apply manifests in an order that works: namespaces and CRDs first, and the rest when they are served."""

import json
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.yaml_documents import read_documents

FIELD_MANAGER = "nicplug-sandbox"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
APPLY_SECONDS = 60.0
RETRY_SECONDS = 0.1
NOT_YET = re.compile(
    # Kubernetes 1.37 answers 429 for a second or two after a CRD was created; discovery lags as well.
    r"storage is \(re\)initializing|TooManyRequests|too many requests|no matches for kind"
    r"|could not find the requested resource|doesn't have a resource type"
)

Manifest = dict[str, Any]


def apply_manifests(
    *,
    kubeconfig: Path,
    paths: Sequence[Path],
    only_missing_definitions: bool = False,
    timeout_seconds: float = APPLY_SECONDS,
) -> list[str]:
    """Apply YAML files and folders of them server-side, and wait until new kinds are served.

    Args:
        kubeconfig: the cluster.
        paths: files, or folders whose `*.yaml` files are taken in the order of their names.
        only_missing_definitions: leave CRDs that exist as they are (a cluster that is not ours), and
            the objects of their kinds alone too.
        timeout_seconds: bound of the whole.

    Returns:
        `Kind/name` of everything that was applied.

    Raises:
        SandboxError: a manifest is unreadable or refused, or its kind was not served in time.
    """
    deadline = time.monotonic() + timeout_seconds
    documents = load(paths)
    with tempfile.TemporaryDirectory(prefix="nicplug-kubectl-") as cache:
        kubectl = Kubectl(kubeconfig=kubeconfig, cache=Path(cache))
        if only_missing_definitions:
            documents = _without_existing(kubectl, documents)
        namespaces = [document for document in documents if document["kind"] == "Namespace"]
        definitions = [document for document in documents if document["kind"] == "CustomResourceDefinition"]
        rest = [document for document in documents if document not in namespaces and document not in definitions]
        _apply(kubectl, [*map(as_if_applied, namespaces), *definitions], deadline=deadline)
        _wait_served(kubectl, definitions, deadline=deadline)
        _apply(kubectl, [*map(as_if_applied, rest)], deadline=deadline)
    return [f"{document['kind']}/{document['metadata']['name']}" for document in documents]


def as_if_applied(document: Manifest) -> Manifest:
    """With the annotation by which `kubectl apply` knows its own: it warns of every object that has none."""
    metadata = document["metadata"]
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: json.dumps(document)}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def load(paths: Iterable[Path]) -> list[Manifest]:
    """Every object in the files and folders, lists taken apart.

    Raises:
        SandboxError: a path is missing, not YAML, or has something that is not an object.
    """
    documents: list[Manifest] = []
    for path in paths:
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        for file in files:
            documents.extend(_objects(file))
    return documents


def _objects(file: Path) -> list[Manifest]:
    try:
        parsed = read_documents(file.read_text())
    except OSError as error:
        raise SandboxError(f"manifest {file}: {error.strerror}", remedy="Check the path.") from None
    except yaml.YAMLError as error:
        raise SandboxError(f"manifest {file} is not YAML", detail=str(error)) from None
    objects: list[Manifest] = []
    for document in parsed:
        if not isinstance(document, dict) or "kind" not in document:
            raise SandboxError(f"manifest {file} has a document without kind", remedy="Every document is one object.")
        if str(document.get("apiVersion", "")).startswith("kustomize.config.k8s.io/"):
            continue
        objects.extend(document["items"] if document["kind"] == "List" else [document])
    return objects


def _without_existing(kubectl: Kubectl, documents: list[Manifest]) -> list[Manifest]:
    answer = kubectl.run("get", "customresourcedefinitions", "-o", "jsonpath={.items[*].metadata.name}")
    if answer.returncode != 0:
        raise SandboxError("the cluster's CRDs cannot be listed", detail=answer.stderr)
    existing = set(answer.stdout.split())
    kept_kinds = {
        document["spec"]["names"]["kind"]
        for document in documents
        if document["kind"] == "CustomResourceDefinition" and document["metadata"]["name"] in existing
    }
    return [
        document
        for document in documents
        if document["kind"] not in kept_kinds
        and not (document["kind"] == "CustomResourceDefinition" and document["metadata"]["name"] in existing)
    ]


def _apply(kubectl: Kubectl, documents: list[Manifest], *, deadline: float) -> None:
    if not documents:
        return
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    arguments = ["apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-"]
    _until_done(kubectl, arguments, stdin=body, deadline=deadline, what="manifests were not applied")


def _wait_served(kubectl: Kubectl, definitions: list[Manifest], *, deadline: float) -> None:
    """Wait for the first list of each kind. `Established` would not be enough: 429 follows it for a while."""
    if not definitions:
        return
    kinds = ",".join(document["metadata"]["name"] for document in definitions)
    served = ["get", kinds, "--all-namespaces", "--ignore-not-found", "-o", "name"]
    _until_done(kubectl, served, deadline=deadline, what="new kinds were not served")


def _until_done(
    kubectl: Kubectl, arguments: list[str], *, deadline: float, what: str, stdin: str | None = None
) -> None:
    while True:
        answer = kubectl.run(*arguments, stdin=stdin, seconds=deadline - time.monotonic())
        if answer.returncode == 0:
            return
        if not NOT_YET.search(answer.stderr) or time.monotonic() > deadline:
            raise SandboxError(what, detail=answer.stderr)
        time.sleep(RETRY_SECONDS)
