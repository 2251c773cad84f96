"""Steps of an uninstallation, each bounded in time and safe to repeat."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nicplug.cli.uninstall.parts import (
    ALLOW_DELETION,
    OWN_DEFINITIONS,
    Part,
    definitions,
    find,
    of_users,
    with_definitions,
)
from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import Denied, Gone, Rejected, Stale
from nicplug.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, PODS
from nicplug.model.metadata import mapping
from nicplug.model.names import LAUNCHER_SELECTOR
from nicplug.plan.actions import escape_pointer

_POLL_SECONDS = 0.5
_REPORT_SECONDS = 5.0
# The API server takes a moment to apply a changed policy, or an annotation that it has just stored.
_ATTEMPTS = 20

Report = Callable[[str], None]


class StillThere(Exception):
    """An object was not deleted in time; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninstaller:
    """Deletes the parts of an installation.

    Attributes:
        report: called with each line of progress.
        seconds: the longest time that one step waits.
    """

    api: KubeApi
    report: Report
    seconds: float

    async def remove(self, parts: Iterable[Part]) -> list[Part]:
        """Delete objects in order; objects that no longer exist count as deleted."""
        done = []
        for part in parts:
            await self._delete(part)
            self.report(f"deleted {part}")
            done.append(part)
        return done

    async def remove_machines(self) -> list[Part]:
        """Delete every VM, VMI and migration, and wait until they are gone.

        The operator shuts the guests down. What is not gone in time is deleted by force, without the operator: its
        finalizers are removed, and its launcher pods deleted.

        Raises:
            StillThere: objects remain even so.
        """
        gone = await of_users(self.api)
        for part in gone:
            await self._delete(part)
        if left := await self._wait_for(gone):
            self.report(f"{len(left)} objects were not deleted within {self.seconds:.0f} s: removing their finalizers")
            for part in left:
                await self._remove_finalizers(part)
            async for pod, _ in find(self.api, PODS, selector=LAUNCHER_SELECTOR):
                await self._delete(pod)
            left = await self._wait_for(left)
        if left:
            raise StillThere(f"{len(left)} objects still exist: {_some(left)}")
        return gone

    async def remove_definitions(self) -> list[Part]:
        """Delete the CRDs, which have no objects except KubeVirt objects, and wait until they are gone.

        Raises:
            StillThere: a VM was created in the meantime, or a CRD is not deleted in time.
        """
        if machines := await of_users(self.api):
            raise StillThere(f"virtual machines were created in the meantime: {_some(machines)}")
        found = await definitions(self.api)
        objects = [part for part in await with_definitions(self.api) if part not in found]
        await self.remove(objects)
        for part in found:
            await self._allow_deletion(part)
        await self._delete_definitions(found)
        return [*objects, *found]

    async def remove_own_definitions(self) -> list[Part]:
        """Delete the CRDs of nicplug's own group, with all reports and policies, and wait until they are gone.

        Raises:
            StillThere: a CRD is not deleted in time.
        """
        found = [part for part in await definitions(self.api) if part.name in OWN_DEFINITIONS]
        await self._delete_definitions(found)
        return found

    async def wait_for_end(self, pods: Sequence[Part]) -> None:
        """Wait until these pods are gone. A pod that stays has no permission any more, and can write nothing."""
        if left := await self._wait_for(pods):
            self.report(f"{len(left)} pods still exist: {_some(left)}")

    async def _delete_definitions(self, found: Sequence[Part]) -> None:
        for part in found:
            await self._delete_definition(part)
            self.report(f"deleted {part}")
        if left := await self._wait_for(found):
            raise StillThere(f"not deleted in time: {_some(left)}; see kubectl describe crd")

    async def _delete(self, part: Part) -> None:
        try:
            await self.api.delete(part.resource, name=part.name, namespace=part.namespace or None, uid=part.uid)
        except (Gone, Stale):
            return

    async def _allow_deletion(self, part: Part) -> None:
        found = await self.api.get(CUSTOM_RESOURCE_DEFINITIONS, name=part.name)
        annotations = mapping(found.get("metadata")).get("annotations")
        path = "/metadata/annotations"
        value: Any = {ALLOW_DELETION: "true"}
        if annotations:
            path, value = f"{path}/{escape_pointer(ALLOW_DELETION)}", "true"
        operations: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": part.uid},
            {"op": "add", "path": path, "value": value},
        ]
        await self.api.patch(CUSTOM_RESOURCE_DEFINITIONS, operations, name=part.name)

    async def _delete_definition(self, part: Part) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._delete(part)
            except (Denied, Rejected):
                if attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(_POLL_SECONDS)
        return None

    async def _remove_finalizers(self, part: Part) -> None:
        operations: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": part.uid},
            {"op": "add", "path": "/metadata/finalizers", "value": []},
        ]
        try:
            await self.api.patch(part.resource, operations, name=part.name, namespace=part.namespace or None)
        except (Gone, Stale):
            return

    async def _wait_for(self, parts: Sequence[Part]) -> list[Part]:
        """Wait until the objects are gone, and return those that remain after `seconds`."""
        deadline, reported_at, left = time.monotonic() + self.seconds, time.monotonic(), list(parts)
        while left:
            left = await self._remaining(left)
            now = time.monotonic()
            if not left or now >= deadline:
                break
            if now - reported_at >= _REPORT_SECONDS:
                self.report(f"waiting for {len(left)} objects: {_some(left)}")
                reported_at = now
            await asyncio.sleep(_POLL_SECONDS)
        return left

    async def _remaining(self, parts: Sequence[Part]) -> list[Part]:
        uids = {part.uid for part in parts}
        resources = dict.fromkeys(part.resource for part in parts)
        return [part for item in resources async for part, _ in find(self.api, item) if part.uid in uids]


def _some(parts: Sequence[Part]) -> str:
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
    return ", ".join(map(str, parts[:3])) + more
