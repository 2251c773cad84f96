"""OpenAPI of the subresources, versions 2 and 3. Pure.

Describes bodies as objects without properties: the handlers decide what they accept.
"""

from collections.abc import Iterable
from typing import Any

from nicplug.apiserver.calls import GROUP, KINDS, METHODS, READ, VERSIONS, Subresource

_TITLE = "nicplug"
_ANSWERS = {"200": "OK", "202": "Accepted", "400": "Bad Request", "401": "Unauthorized", "403": "Forbidden"}
_CONSUMED = ("*/*",)


def v2(subresources: Iterable[Subresource], *, version: str) -> dict[str, Any]:
    """Return the Swagger document of all versions of the group."""
    subresources = tuple(subresources)
    paths = {
        _path(subresource, api_version): {
            _method(subresource): _operation(subresource, api_version)
            | {"produces": ["application/json"]}
            | _consumed_v2(subresource),
            "parameters": [{**parameter, "type": "string"} for parameter in _parameters()],
        }
        for api_version in VERSIONS
        for subresource in subresources
    }
    return {"swagger": "2.0", "info": _info(version), "paths": paths, "definitions": {}}


def v3(subresources: Iterable[Subresource], *, api_version: str, version: str) -> dict[str, Any]:
    """Return the document of one version of the group."""
    paths = {
        _path(subresource, api_version): {
            _method(subresource): _operation(subresource, api_version) | _consumed_v3(subresource),
            "parameters": [{**parameter, "schema": {"type": "string"}} for parameter in _parameters()],
        }
        for subresource in subresources
    }
    return {"openapi": "3.0.0", "info": _info(version), "paths": paths, "components": {}}


def _method(subresource: Subresource) -> str:
    return METHODS[subresource.verb].lower()


def _consumed_v2(subresource: Subresource) -> dict[str, Any]:
    if subresource.verb == READ:
        return {}
    body = {"name": "body", "in": "body", "schema": {"type": "object"}}
    return {"consumes": list(_CONSUMED), "parameters": [body]}


def _consumed_v3(subresource: Subresource) -> dict[str, Any]:
    if subresource.verb == READ:
        return {}
    return {"requestBody": {"content": {kind: {"schema": {"type": "object"}} for kind in _CONSUMED}}}


def _info(version: str) -> dict[str, str]:
    return {"title": _TITLE, "version": f"v{version}"}


def _path(subresource: Subresource, api_version: str) -> str:
    return f"/apis/{GROUP}/{api_version}/namespaces/{{namespace}}/{subresource.resource}/{{name}}/{subresource.name}"


def _operation(subresource: Subresource, api_version: str) -> dict[str, Any]:
    kind = KINDS[subresource.resource]
    return {
        "operationId": f"{api_version}{kind}-{subresource.name}",
        "description": f"Request {subresource.name} of a {kind}.",
        "responses": {code: {"description": text} for code, text in _ANSWERS.items()},
        "x-kubernetes-action": _method(subresource),
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": api_version, "kind": kind},
    }


def _parameters() -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True} for name in ("namespace", "name")]
