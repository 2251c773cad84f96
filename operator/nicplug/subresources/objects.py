"""Reads and writes one VM and the objects that belong to it, with the permissions of the process."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from nicplug.elided import has_elided
from nicplug.kube import elision, object_text
from nicplug.kube.api import Json, JsonPatch, Resource, ServerApi
from nicplug.kube.errors import ApiError, Gone, Rejected, Stale
from nicplug.kube.resources import (
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import ObjectKey
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.names import MIGRATION_VMI_LABEL
from nicplug.model.pod import LauncherPod, parse_pod
from nicplug.model.vm import VirtualMachine, parse_vm
from nicplug.model.vmi import VirtualMachineInstance, parse_vmi, vmi_id
from nicplug.plan.actions import Create, Kind, PatchSpec, PatchStatus
from nicplug.plan.subresources.answers import Write, in_order

_RESOURCES: dict[Kind, Resource] = {
    Kind.VM: VIRTUAL_MACHINES,
    Kind.VMI: VIRTUAL_MACHINE_INSTANCES,
    Kind.MIGRATION: VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
}
_PAGE = 100
# A controller keeps a handful of migrations per VMI; users may create more.
_MOST_PAGES = 5


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Both:
    """A VM and the VMI of its name, read concurrently; an error stands for an object that cannot be read."""

    vm: VirtualMachine | ApiError | None
    vmi: VirtualMachineInstance | ApiError | None


def or_raise(found: T | ApiError) -> T:
    """Return the object.

    Raises:
        ApiError: it could not be read.
    """
    if isinstance(found, ApiError):
        raise found
    return found


@dataclass(frozen=True, slots=True)
class Objects:
    """Reads and writes the objects of one VM at a time.

    Every method raises the classes of `kube.errors`.
    """

    api: ServerApi
    # An object with parts that are too large to keep takes several MB while it is written.
    _one_large: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def vm(self, key: ObjectKey) -> VirtualMachine | None:
        """Read the current VM; None if there is none."""
        return await _found(self.api.get(VIRTUAL_MACHINES, name=key.name, namespace=key.namespace), parse_vm)

    async def vmi(self, key: ObjectKey) -> VirtualMachineInstance | None:
        """Read the current VMI; None if there is none."""
        return await _found(self.api.get(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace), parse_vmi)

    async def pod(self, key: ObjectKey) -> LauncherPod | None:
        """Read the current pod, regardless of its owner; None if there is none."""
        return await _found(self.api.get(PODS, name=key.name, namespace=key.namespace), parse_pod)

    async def both(self, key: ObjectKey) -> Both:
        """Read the current VM and VMI of the name."""
        return Both(*await asyncio.gather(_or_error(self.vm(key)), _or_error(self.vmi(key))))

    async def both_cached(self, key: ObjectKey) -> Both:
        """Read VM and VMI of the name, possibly slightly stale: enough for a guarded write, and for nothing else."""
        read = self.api.get_cached
        vm = _found(read(VIRTUAL_MACHINES, name=key.name, namespace=key.namespace), parse_vm)
        vmi = _found(read(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace), parse_vmi)
        return Both(*await asyncio.gather(_or_error(vm), _or_error(vmi)))

    async def migrations(self, key: ObjectKey) -> list[Migration]:
        """Read the migrations of the VMI, by the label that all of them have."""
        found: list[Migration] = []
        token: str | None = None
        for _ in range(_MOST_PAGES):
            page = await self.api.list(
                VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
                namespace=key.namespace,
                label_selector=f"{MIGRATION_VMI_LABEL}={vmi_id(key.name)}",
                limit=_PAGE,
                continue_token=token,
            )
            found += map(parse_migration, objects(page.get("items")))
            token = text(mapping(page.get("metadata")).get("continue")) or None
            if token is None:
                break
        return [item for item in found if item.vmi.name == key.name]

    async def write(self, write: Write | PatchSpec) -> None:
        """Send one write.

        Raises:
            Stale: its guard no longer holds.
            ApiError: any other class of `kube.errors`.
        """
        if isinstance(write, Create):
            await self.api.create(_RESOURCES[write.kind], thaw(write.body), namespace=write.key.namespace)
            return
        operations, resource, key = in_order(write), _RESOURCES[write.kind], write.key
        if has_elided([dict(item) for item in operations]):
            await self._write_large(operations, resource, key=key, uid=write.uid, subresource=write.subresource)
            return
        if isinstance(write, PatchStatus):
            answer = await self.api.patch(
                resource, operations, name=key.name, namespace=key.namespace, subresource=write.subresource
            )
            _check_kept(write, answer, resource)
            return
        await self.api.patch_unread(
            resource, operations, name=key.name, namespace=key.namespace, subresource=write.subresource
        )

    async def _write_large(
        self, operations: JsonPatch, resource: Resource, *, key: ObjectKey, uid: str, subresource: str | None
    ) -> None:
        """Write with the parts that the record only has marks for (docs/adr/0018)."""
        async with self._one_large:
            content = await self.api.read(resource, name=key.name, namespace=key.namespace)
            value, contents = object_text.contents(content, resource=resource.plural)
            if mapping(value.get("metadata")).get("uid") != uid:
                raise Stale("another object has taken the name")
            try:
                filled = elision.fill([dict(item) for item in operations], contents)
            except elision.Lost as lost:
                raise Stale(f"the object has changed: {lost}") from lost
            await self.api.patch_text(resource, filled, name=key.name, namespace=key.namespace, subresource=subresource)


async def _found(reading: Awaitable[Json], parse: Callable[[Json], T]) -> T | None:
    try:
        return parse(await reading)
    except Gone:
        return None


async def _or_error(reading: Awaitable[T]) -> T | ApiError:
    try:
        return await reading
    except ApiError as error:
        return error


def _check_kept(write: PatchStatus, answer: Json, resource: Resource) -> None:
    """Raise if the CRD dropped a field without an error, as KubeVirt 1.1's drops `status.interfaceRequests`."""
    kept = mapping(answer.get("status"))
    wanted: dict[str, object] = thaw(write.wanted)
    if lost := [name for name, value in wanted.items() if value is not None and name not in kept]:
        message = (
            f"the CRD {resource.plural}.{resource.group} does not have status.{lost[0]}, so the request is lost: "
            "kubectl apply -f crds/"
        )
        raise Rejected(message, status=422)
