"""The VM that a command is about: reads it by name, and follows it with watches."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nicplug.cli.connection import Session
from nicplug.cli.mode import mode_of
from nicplug.cli.suggestions import no_machine
from nicplug.insight.nics import VmNics, describe
from nicplug.insight.reports import is_current, read_report, with_report
from nicplug.kube.api import Json, Resource
from nicplug.kube.errors import Denied, Gone, Stale, Unavailable
from nicplug.kube.resources import (
    INTERFACE_REPORTS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.interface_report import parse_report
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.mode import Mode
from nicplug.model.networks import wanted_by_name
from nicplug.model.requests import MEMBER, AddInterface, parse_interface_requests
from nicplug.model.vm import parse_vm
from nicplug.model.vmi import parse_vmi

_PAUSE_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Machine:
    """A VM, its VMI, or both.

    Attributes:
        mode: that of the cluster.
        report: beside KubeVirt, nicplug's InterfaceReport; None if there is none, or if it cannot be read.
        is_report_denied: True if the user may not read it.
    """

    namespace: str
    name: str
    vm: Json | None = None
    vmi: Json | None = None
    migrations: tuple[Migration, ...] = ()
    mode: Mode = Mode.STANDALONE
    report: Json | None = None
    is_report_denied: bool = False

    @property
    def raw(self) -> Json:
        """The VM, otherwise the VMI, which then has no VM."""
        return self.vm or self.vmi or {}

    @property
    def is_companions(self) -> bool:
        """True if KubeVirt runs it, and nicplug works beside."""
        return self.mode is Mode.COMPANION

    @property
    def is_seen(self) -> bool:
        """True if nicplug's report is about the VM as it is now, or if that is unknown; always in standalone mode."""
        return (
            not self.is_companions
            or self.is_report_denied
            or is_current(
                parse_report(self.report) if self.report is not None else None,
                vm=parse_vm(self.vm) if self.vm is not None else None,
                vmi=parse_vmi(self.vmi) if self.vmi is not None else None,
            )
        )

    @property
    def reported_vmi(self) -> Json | None:
        """The VMI with nicplug's records of its NICs, wherever they are; None if it does not exist."""
        return with_report(self.vmi, self.report) if self.is_companions and self.vmi is not None else self.vmi

    def describe(self, *, now: datetime) -> VmNics:
        """Return the state of its NICs."""
        vmi = self.reported_vmi
        return describe(
            namespace=self.namespace,
            name=self.name,
            vm=parse_vm(self.vm) if self.vm is not None else None,
            vmi=parse_vmi(vmi) if vmi is not None else None,
            migrations=self.migrations,
            now=now,
        )


def now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


async def find_machine(session: Session, name: str, *, with_migrations: bool = True) -> Machine:
    """Read a VM with its VMI, or a VMI without a VM.

    Raises:
        CommandError: neither exists.
    """
    vm, vmi, mode = await asyncio.gather(
        read_object(session, VIRTUAL_MACHINES, name),
        read_object(session, VIRTUAL_MACHINE_INSTANCES, name),
        mode_of(session),
    )
    if vm is None and vmi is None:
        raise await no_machine(session, name)
    migrations = await _migrations(session, name) if with_migrations and vmi is not None else ()
    machine = Machine(namespace=session.namespace, name=name, vm=vm, vmi=vmi, migrations=migrations, mode=mode)
    if machine.is_companions:
        try:
            machine.report = await read_report(session.api, namespace=session.namespace, name=name)
        except Denied:
            machine.is_report_denied = True
    return machine


def persisted_nics(vm: Json | None) -> frozenset[str]:
    """Return the NICs of the VM's template, which are still there after a restart."""
    return frozenset(wanted_by_name(parse_vm(vm).interfaces)) if vm is not None else frozenset()


def requested_nics(vm: Json | None) -> set[str]:
    """Return the NICs whose `addinterface` request has not been processed."""
    rows = parse_interface_requests(mapping(mapping(vm).get("status")).get(MEMBER))
    return {row.request.name for row in rows if isinstance(row.request, AddInterface)}


async def read_object(session: Session, resource: Resource, name: str) -> Json | None:
    """Return the object; None if it does not exist.

    Raises:
        ApiError: it cannot be read.
    """
    try:
        return await session.api.get(resource, name=name, namespace=session.namespace)
    except Gone as error:
        if error.is_not_served:
            raise
        return None


async def _migrations(session: Session, name: str) -> tuple[Migration, ...]:
    """Return the migrations of one VMI, oldest first; none if they cannot be read."""
    try:
        page = await session.api.list(VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace=session.namespace)
    except Denied:
        return ()
    found = [parse_migration(item) for item in objects(page.get("items"))]
    of_vmi = [item for item in found if item.vmi.name == name]
    return tuple(sorted(of_vmi, key=lambda item: (item.created is not None, item.created, item.key)))


async def follow(session: Session, machine: Machine) -> AsyncGenerator[Machine, None]:
    """Yield the machine now and after every change of VM, VMI or report, until the caller stops iterating."""
    queue: asyncio.Queue[tuple[Resource, str, Json]] = asyncio.Queue()
    followed = [(VIRTUAL_MACHINES, machine.vm), (VIRTUAL_MACHINE_INSTANCES, machine.vmi)]
    if machine.is_companions and not machine.is_report_denied:
        followed.append((INTERFACE_REPORTS, machine.report))
    tasks = [
        asyncio.create_task(_watch(session, resource, machine.name, _version(raw), queue)) for resource, raw in followed
    ]
    try:
        yield machine
        while True:
            getting = asyncio.create_task(queue.get())
            done, _ = await asyncio.wait({getting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            if getting not in done:
                getting.cancel()
                for task in done:
                    task.result()
                continue
            resource, type_, item = getting.result()
            raw = None if type_ == "DELETED" else item
            if resource is VIRTUAL_MACHINES:
                machine.vm = raw
            elif resource is INTERFACE_REPORTS:
                machine.report = raw
            else:
                machine.vmi = raw
            yield machine
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(
    session: Session, resource: Resource, name: str, version: str, queue: "asyncio.Queue[tuple[Resource, str, Json]]"
) -> None:
    """Put changes of one object into the queue; after a failed watch, pause before listing or watching again."""
    selector = f"metadata.name={name}"
    while True:
        try:
            if not version:
                page = await session.api.list(resource, namespace=session.namespace, field_selector=selector)
                items = objects(page.get("items"))
                queue.put_nowait((resource, "ADDED" if items else "DELETED", dict(items[0]) if items else {}))
                version = text(mapping(page.get("metadata")).get("resourceVersion"))
            lines = session.api.watch(
                resource, resource_version=version, namespace=session.namespace, field_selector=selector
            )
            async for line in lines:
                type_, item = text(line.get("type")), dict(mapping(line.get("object")))
                if type_ == "ERROR":
                    raise Stale(text(item.get("message")))
                version = text(mapping(item.get("metadata")).get("resourceVersion")) or version
                if type_ != "BOOKMARK":
                    queue.put_nowait((resource, type_, item))
        except Stale:
            version = ""
            await asyncio.sleep(_PAUSE_SECONDS)
        except Gone:
            if resource is not INTERFACE_REPORTS:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)  # its CRD may still be installed
        except Unavailable:
            await asyncio.sleep(_PAUSE_SECONDS)


def _version(raw: dict[str, Any] | None) -> str:
    return text(mapping(mapping(raw).get("metadata")).get("resourceVersion"))
