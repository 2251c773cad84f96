"""The documents by which clients find out what is served."""

from collections.abc import Iterable

from tests.fakes.kinds import VERBS, Json, Kind

VERSION: Json = {"major": "1", "minor": "37", "gitVersion": "v1.37.2-fake", "platform": "python"}


def document(path: str, kinds: Iterable[Kind]) -> Json | None:
    """The discovery document at `path`, None when there is none."""
    by_prefix: dict[str, list[Kind]] = {}
    for kind in kinds:
        by_prefix.setdefault(kind.prefix, []).append(kind)
    match path:
        case "/version":
            return VERSION
        case "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        case "/apis":
            groups = [_group(found[0]) for prefix, found in by_prefix.items() if prefix != "/api/v1"]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case _ if path in by_prefix:
            return _resources(by_prefix[path])
        case _:
            return None


def _group(kind: Kind) -> Json:
    version = {"groupVersion": kind.api_version, "version": kind.version}
    return {"name": kind.group, "versions": [version], "preferredVersion": version}


def _resources(kinds: list[Kind]) -> Json:
    rows: list[Json] = []
    for kind in kinds:
        row: Json = {"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced}
        names = {"singularName": kind.kind.lower(), "shortNames": list(kind.short_names)}
        rows.append({**row, **names, "verbs": list(VERBS)})
        if kind.has_status:
            rows.append(
                {
                    **row,
                    "name": f"{kind.plural}/status",
                    "singularName": "",
                    "verbs": ["get", "patch", "update"],
                }
            )
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds[0].api_version,
        "resources": rows,
    }
