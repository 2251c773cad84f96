"""How the node side writes a VMI: JSON patches that test what was read, since the operator writes there too."""

from nicplug_sandbox.node.api import JSON_PATCH, VIRTUAL_MACHINE_INSTANCES, Api, ApiError, Json
from nicplug_sandbox.node.mirror import Mirror, key_of


def merged_conditions(present: list[Json], wanted: list[Json], *, gone: tuple[str, ...], now: str) -> list[Json]:
    """KubeVirt's rule: an entry is replaced only when its status or reason differs."""
    result = [item for item in present if item["type"] not in gone]
    for item in wanted:
        index = next((i for i, old in enumerate(result) if old["type"] == item["type"]), None)
        fresh = {**item, "lastProbeTime": None, "lastTransitionTime": now}
        if index is None:
            result.append(fresh)
        elif any(result[index].get(key, "") != item.get(key, "") for key in ("status", "reason")):
            result[index] = fresh
    return result


def _uid_test(vmi: Json) -> Json:
    return {"op": "test", "path": "/metadata/uid", "value": vmi["metadata"]["uid"]}


def guarded_patch(vmi: Json, changes: Json) -> list[Json]:
    """A JSON patch on the status: each changed field is tested to be what we read, null for missing.

    A change to None removes the field.
    """
    status = vmi.get("status", {})
    patch: list[Json] = []
    for field, value in changes.items():
        if status.get(field) != value:
            path = f"/status/{field}"
            patch.append({"op": "test", "path": path, "value": status.get(field)})
            change = {"op": "remove"} if value is None else {"op": "add", "value": value}
            patch.append({**change, "path": path})
    return [_uid_test(vmi), *patch] if patch else []


def label_patch(vmi: Json, label: str, value: str) -> list[Json]:
    """A JSON patch that sets one label of a VMI that has labels."""
    path = "/metadata/labels/" + label.replace("~", "~0").replace("/", "~1")
    old = vmi["metadata"]["labels"].get(label)
    return [
        _uid_test(vmi),
        {"op": "test", "path": path, "value": old},
        {"op": "add", "path": path, "value": value},
    ]


def phase_changes(vmi: Json, phase: str, *, now: str) -> Json:
    """The fields that a change of phase touches."""
    times = list(vmi["status"].get("phaseTransitionTimestamps") or ())
    return {
        "phase": phase,
        "phaseTransitionTimestamps": [*times, {"phase": phase, "phaseTransitionTimestamp": now}],
    }


class VmiWriter:
    """Writes VMIs and takes the answers into the mirror."""

    def __init__(self, *, api: Api, vmis: Mirror, status_subresource: bool = True) -> None:
        """`status_subresource`: whether VMIs have one; without it a status is written with the whole object."""
        self._api = api
        self._vmis = vmis
        self._status = "status" if status_subresource else None

    async def write_status(self, vmi: Json, changes: Json) -> None:
        """Change fields of the status.

        Raises:
            ApiError: also when somebody else was faster; the mirror is fresh then.
        """
        if patch := guarded_patch(vmi, changes):
            await self.send_status(vmi, patch)

    async def send_status(self, vmi: Json, patch: list[Json]) -> None:
        """Send a JSON patch of the status.

        Raises:
            ApiError: as above.
        """
        await self.send(vmi, patch, subresource=self._status)

    async def write_label(self, vmi: Json, label: str, value: str) -> None:
        """Set one label.

        Raises:
            ApiError: as above.
        """
        await self.send(vmi, label_patch(vmi, label, value), subresource=None)

    async def send(self, vmi: Json, patch: list[Json], *, subresource: str | None) -> None:
        """Send a JSON patch.

        Raises:
            ApiError: as above.
        """
        key = key_of(vmi)
        try:
            answer = await self._api.patch(
                VIRTUAL_MACHINE_INSTANCES, patch,
                name=key.name, namespace=key.namespace, subresource=subresource, content_type=JSON_PATCH,
            )  # fmt: skip
        except ApiError as error:
            if error.is_stale:
                # The controller was faster. Do not wait for the watch: read, and let the queue repeat.
                answer = await self._api.get(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace)
                self._vmis.apply_response(answer)
            raise
        self._vmis.apply_response(answer)
