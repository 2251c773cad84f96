"""Everything that Kopf calls: registration and delegation, no logic.

Uses only `@kopf.on.event`, which writes nothing to objects. Kopf opens a watch for each kind with a handler and
delivers its deletions; listed objects and changes have reached the listener before (`kube.listings`,
`kube.direct_lines`).
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import kopf

from nicplug.cache.kinds import CachedKind
from nicplug.model.mode import Mode


class Listener(Protocol):
    """Receives the events of the watches."""

    def hear(self, kind: CachedKind, event: kopf.RawEvent) -> None:
        """Process one watch event, or one listed object."""
        ...


def register(
    *,
    registry: kopf.OperatorRegistry,
    listener: Listener,
    mode: Mode,
    login: Callable[[], Awaitable[kopf.AiohttpSession]],
    on_start: Callable[[], Awaitable[None]],
    on_end: Callable[[], Awaitable[None]],
) -> None:
    """Register the handlers of one process in its own registry: no global state."""

    @kopf.on.login(registry=registry)
    async def on_login(**_: object) -> kopf.AiohttpSession:
        return await login()

    @kopf.on.startup(registry=registry)
    async def on_startup(**_: object) -> None:
        await on_start()

    @kopf.on.cleanup(registry=registry)
    async def on_cleanup(**_: object) -> None:
        await on_end()

    @kopf.on.event("kubevirt.io", "v1", "virtualmachines", registry=registry)
    async def on_vm(event: kopf.RawEvent, **_: object) -> None:
        listener.hear(CachedKind.VM, event)

    @kopf.on.event("kubevirt.io", "v1", "virtualmachineinstances", registry=registry)
    async def on_vmi(event: kopf.RawEvent, **_: object) -> None:
        listener.hear(CachedKind.VMI, event)

    @kopf.on.event("kubevirt.io", "v1", "virtualmachineinstancemigrations", registry=registry)
    async def on_migration(event: kopf.RawEvent, **_: object) -> None:
        listener.hear(CachedKind.MIGRATION, event)

    @kopf.on.event("kubevirt.io", "v1", "kubevirts", registry=registry)
    async def on_kubevirt(event: kopf.RawEvent, **_: object) -> None:
        listener.hear(CachedKind.KUBEVIRT, event)

    @kopf.on.event("v1", "pods", registry=registry)
    async def on_pod(event: kopf.RawEvent, **_: object) -> None:
        listener.hear(CachedKind.POD, event)

    _register_records(registry=registry, listener=listener, mode=mode)


def _register_records(*, registry: kopf.OperatorRegistry, listener: Listener, mode: Mode) -> None:
    """Register the handler of the objects in which records are kept."""
    if mode is Mode.STANDALONE:

        @kopf.on.event("apps", "v1", "controllerrevisions", registry=registry)
        async def on_revision(event: kopf.RawEvent, **_: object) -> None:
            listener.hear(CachedKind.REVISION, event)

    else:

        @kopf.on.event("nicplug.io", "v1alpha1", "interfacereports", registry=registry)
        async def on_report(event: kopf.RawEvent, **_: object) -> None:
            listener.hear(CachedKind.REPORT, event)
