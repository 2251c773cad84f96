"""Read-only documents: discovery in both forms, OpenAPI, version. Built once, from the served subresources.

Pure.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.apiserver import openapi
from nicplug.apiserver.calls import GROUP, KINDS, VERSIONS, Subresource
from nicplug.model.versions import KUBEVIRT_API, served_version

_AGGREGATED = {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
_JSON = "application/json"
_AGGREGATED_TYPE = ";".join([_JSON, *(f"{key}={value}" for key, value in _AGGREGATED.items())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The answer to a GET of a document."""

    content: bytes = field(repr=False)
    content_type: str = _JSON

    @property
    def etag(self) -> str:
        """Return a digest of the content: the API server requests OpenAPI again every minute."""
        return f'"{hashlib.sha256(self.content).hexdigest().upper()}"'


class Documents:
    """All documents of one server."""

    def __init__(self, served: Iterable[Subresource], *, version: str) -> None:
        subresources = tuple(sorted(served, key=str))
        self._aggregated = _document(_group_discovery_list(subresources), content_type=_AGGREGATED_TYPE)
        texts = {
            "/apis": _group_list(),
            f"/apis/{GROUP}": _group() | {"kind": "APIGroup", "apiVersion": "v1"},
            "/version": _version(version),
            "/openapi/v2": openapi.v2(subresources, version=version),
        }
        for api_version in VERSIONS:
            path = f"/apis/{GROUP}/{api_version}"
            texts[path] = _resource_list(subresources, version=api_version)
            texts[f"{path}/version"] = _version(version)
            texts[f"/openapi/v3{path}"] = openapi.v3(subresources, api_version=api_version, version=version)
        self._documents = {path: _document(body) for path, body in texts.items()}
        self._documents["/openapi/v3"] = _document(self._openapi_index())

    def find(self, path: str, *, accept: str) -> Document | None:
        """Return the document at a path, in the requested form; None if there is none."""
        path = path.rstrip("/")
        if path == "/apis" and wants_aggregated(accept):
            return self._aggregated
        return self._documents.get(path)

    def _openapi_index(self) -> dict[str, Any]:
        paths = {}
        for api_version in VERSIONS:
            path = f"/openapi/v3/apis/{GROUP}/{api_version}"
            digest = self._documents[path].etag.strip('"')
            paths[f"apis/{GROUP}/{api_version}"] = {"serverRelativeURL": f"{path}?hash={digest}"}
        return {"paths": paths}


def wants_aggregated(accept: str) -> bool:
    """Report whether a client prefers aggregated discovery."""
    for media_range in accept.split(","):
        essence, *parameters = (part.strip() for part in media_range.split(";"))
        if essence != _JSON:
            continue
        given = dict(part.partition("=")[::2] for part in parameters)
        if all(given.get(key) == value for key, value in _AGGREGATED.items()):
            return True
        if "as" not in given:
            return False
    return False


def _document(body: Mapping[str, Any], *, content_type: str = _JSON) -> Document:
    return Document(content=json.dumps(body, separators=(",", ":")).encode() + b"\n", content_type=content_type)


def _group() -> dict[str, Any]:
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
    return {"name": GROUP, "versions": versions, "preferredVersion": versions[0]}


def _group_list() -> dict[str, Any]:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]}


def _resource_list(subresources: Iterable[Subresource], *, version: str) -> dict[str, Any]:
    resources = [
        {
            "name": str(subresource),
            "singularName": "",
            "namespaced": True,
            "kind": KINDS[subresource.resource],
            "verbs": [subresource.verb],
        }
        for subresource in subresources
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{version}",
        "resources": resources,
    }


def _group_discovery_list(subresources: tuple[Subresource, ...]) -> dict[str, Any]:
    versions = [
        {"version": version, "resources": _discovered(subresources, version=version), "freshness": "Current"}
        for version in VERSIONS
    ]
    item = {"metadata": {"name": GROUP}, "versions": versions}
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{_AGGREGATED['g']}/{_AGGREGATED['v']}",
        "metadata": {},
        "items": [item],
    }


def _discovered(subresources: Iterable[Subresource], *, version: str) -> list[dict[str, Any]]:
    """Group subresources by resource. The resources have no verbs: they are served by another API group."""
    by_resource: dict[str, list[dict[str, Any]]] = {}
    for subresource in subresources:
        kind = {"group": GROUP, "version": version, "kind": KINDS[subresource.resource]}
        entry = {"subresource": subresource.name, "responseKind": kind, "verbs": [subresource.verb]}
        by_resource.setdefault(subresource.resource, []).append(entry)
    return [
        {
            "resource": resource,
            # Not null: clients of Kubernetes 1.26 dereference it without a check.
            "responseKind": {"group": "", "version": "", "kind": ""},
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": [],
            "subresources": entries,
        }
        for resource, entries in by_resource.items()
    ]


def _version(version: str) -> dict[str, str]:
    """Return the version as `virtctl version` parses it; after an error every command of virtctl reads it."""
    major, minor = KUBEVIRT_API.split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "gitVersion": served_version(version),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }
