"""Reads and writes of one VM and what belongs to it, with the rights of the process."""

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
# Of one VMI a controller keeps a handful; anybody may make more.
_MOST_PAGES = 5


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Both:
    """A VM and the VMI of its name, read at the same time; what cannot be read is the error, for those who need it."""

    vm: VirtualMachine | ApiError | None
    vmi: VirtualMachineInstance | ApiError | None


def or_raise(found: T | ApiError) -> T:
    """What was found.

    Raises:
        ApiError: it could not be read.
    """
    if isinstance(found, ApiError):
        raise found
    return found


@dataclass(frozen=True, slots=True)
class Objects:
    """The API server, for one VM at a time.

    Every method raises the classes of `kube.errors`.
    """

    api: ServerApi
    # An object with parts that are too large to be kept takes several MB while it is written.
    _one_large: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def vm(self, key: ObjectKey) -> VirtualMachine | None:
        """The VM as it is now; None when there is none."""
        return await _found(self.api.get(VIRTUAL_MACHINES, name=key.name, namespace=key.namespace), parse_vm)

    async def vmi(self, key: ObjectKey) -> VirtualMachineInstance | None:
        """The VMI as it is now; None when there is none."""
        return await _found(self.api.get(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace), parse_vmi)

    async def pod(self, key: ObjectKey) -> LauncherPod | None:
        """The pod as it is now, whosever it is; None when there is none."""
        return await _found(self.api.get(PODS, name=key.name, namespace=key.namespace), parse_pod)

    async def both(self, key: ObjectKey) -> Both:
        """VM and VMI of the name as they are now."""
        return Both(*await asyncio.gather(_tried(self.vm(key)), _tried(self.vmi(key))))

    async def both_cached(self, key: ObjectKey) -> Both:
        """VM and VMI of the name as they were a moment ago, or are: enough for a guarded write, and nothing else."""
        read = self.api.get_cached
        vm = _found(read(VIRTUAL_MACHINES, name=key.name, namespace=key.namespace), parse_vm)
        vmi = _found(read(VIRTUAL_MACHINE_INSTANCES, name=key.name, namespace=key.namespace), parse_vmi)
        return Both(*await asyncio.gather(_tried(vm), _tried(vmi)))

    async def migrations(self, key: ObjectKey) -> list[Migration]:
        """Those of the VMI, by the label that every one of them has."""
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
        """Send one effect.

        Raises:
            Stale: its guard does not hold any more.
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
        """With the parts that the record has only marks for (docs/adr/0018)."""
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


async def _tried(reading: Awaitable[T]) -> T | ApiError:
    try:
        return await reading
    except ApiError as error:
        return error


def _check_kept(write: PatchStatus, answer: Json, resource: Resource) -> None:
    """What a CRD does not know is dropped without an error, as `status.interfaceRequests` by that of KubeVirt 1.1."""
    kept = mapping(answer.get("status"))
    wanted: dict[str, object] = thaw(write.wanted)
    if lost := [name for name, value in wanted.items() if value is not None and name not in kept]:
        message = (
            f"the CRD {resource.plural}.{resource.group} does not have status.{lost[0]}, so the request is lost: "
            "kubectl apply -f crds/"
        )
        raise Rejected(message, status=422)
