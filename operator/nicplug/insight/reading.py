"""Reads the evidence for decisions about one VM, with LISTs and GETs, for clients that ask a single question.

Uses the operator's selectors, projections and stores, so that decisions based on it equal the operator's.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.cache.multus_configs import MultusConfigOf
from nicplug.cache.optional_kinds import (
    watch_attachments,
    watch_controller_pods,
    watch_daemon_sets,
    watch_multus_config,
    watch_nodes,
    watch_pod_failures,
    watch_policy,
)
from nicplug.cache.optional_watch import Absence, OptionalWatch
from nicplug.insight.allowed_version import read_allowed_version
from nicplug.insight.effective_kubevirts import EffectiveKubevirts
from nicplug.insight.evidence import Evidence, Target, Unknown
from nicplug.insight.reports import read_report, with_report
from nicplug.kube.api import Json, Resource, WatchingApi
from nicplug.kube.errors import Denied, Gone, Rejected
from nicplug.kube.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    INTERFACE_REPORTS,
    KUBEVIRTS,
    NETWORK_ATTACHMENT_DEFINITIONS,
    PODS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.attachments import referenced_keys
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.mode import Mode
from nicplug.model.names import VM_UID_LABEL
from nicplug.model.networks import Network
from nicplug.model.node import Node
from nicplug.model.requests import MEMBER, requested_networks
from nicplug.model.slot_ledger import LEDGER_NAME

_PAGE = 500
_UNCHECKED = "the feature gate HotplugNICs and nadPolicy are not checked"


async def read_evidence(
    api: WatchingApi,
    *,
    target: Target,
    clock: Callable[[], datetime],
    networks: Iterable[Network] = (),
    mode: Mode = Mode.STANDALONE,
) -> Evidence:
    """Read the evidence for a decision about the VM.

    Args:
        networks: networks that are not in the VM's spec yet.
        mode: that of the cluster.

    Raises:
        ApiError: required evidence cannot be read: the KubeVirt CR, the VM, its VMI, its pods, its migrations.
    """
    found = _empty(target, clock=clock, mode=mode)
    async for item in _list(api, KUBEVIRTS, namespace=target.kubevirt_namespace):
        found.caches.observe(CachedKind.KUBEVIRT, item)
    await _read_policy(api, found)
    if mode is Mode.COMPANION:
        await read_allowed_version(api, found)
    await _read_machine(api, found)
    await asyncio.gather(
        _read_nodes(api, found),
        _read_controllers(api, found),
        _read_networks(api, found, networks),
        _read_slots(api, found),
        *(_read_optional(watch, found) for watch in _failures(api, found)),
    )
    return found


def _empty(target: Target, *, clock: Callable[[], datetime], mode: Mode) -> Evidence:
    caches = Caches(clock=clock, kubevirt_namespace=target.kubevirt_namespace)
    if mode is Mode.COMPANION:
        caches.kubevirts = EffectiveKubevirts(namespace=target.kubevirt_namespace)
    return Evidence(target=target, caches=caches, clock=clock, mode=mode)


async def read_for_request(
    api: WatchingApi,
    *,
    target: Target,
    vm: Json | None,
    vmi: Json | None,
    clock: Callable[[], datetime],
    networks: Iterable[Network],
    mode: Mode = Mode.STANDALONE,
) -> Evidence:
    """Read the evidence for the checks of a request for a NIC: the KubeVirt CR, definitions, Multus's configuration.

    Args:
        vm: as it was read; None if there is none.
        vmi: as it was read; None if there is none.
        networks: the requested networks.
        mode: that of the cluster.

    Raises:
        ApiError: for any other reason than a kind that is not served or a missing permission.
    """
    found = _empty(target, clock=clock, mode=mode)
    found.vm, found.vmi = vm, vmi
    try:
        async for item in _list(api, KUBEVIRTS, namespace=target.kubevirt_namespace):
            found.caches.observe(CachedKind.KUBEVIRT, item)
    except Denied as error:
        if not error.is_missing_right or error.status == 401:
            raise
        found.unknown.append(Unknown(kind=KUBEVIRTS.plural, why=str(error), remedy=_UNCHECKED, is_denied=True))
    for kind, raw in ((CachedKind.VM, vm), (CachedKind.VMI, vmi)):
        if raw is not None:
            found.caches.observe(kind, raw)
    await _read_networks(api, found, networks)
    return found


async def read_machine(api: WatchingApi, *, target: Target, cluster: Caches, clock: Callable[[], datetime]) -> Evidence:
    """Read what belongs to the VM, in addition to what is known about the cluster.

    Args:
        cluster: provides the KubeVirt CR, nodes, controllers, definitions and Multus's configuration; is not modified.

    Raises:
        ApiError: the VM, its VMI, its pods or its migrations cannot be read.
    """
    caches = Caches(clock=clock, kubevirt_namespace=target.kubevirt_namespace)
    caches.kubevirts, caches.multus, caches.attachments = cluster.kubevirts, cluster.multus, cluster.attachments
    caches.nodes, caches.controllers = cluster.nodes, cluster.controllers
    found = Evidence(target=target, caches=caches, clock=clock, asked=None)
    await _read_machine(api, found)
    await asyncio.gather(*(_read_optional(watch, found) for watch in _failures(api, found)))
    return found


async def read_nodes(api: WatchingApi, *, clock: Callable[[], datetime]) -> tuple[Node, ...] | None:
    """Return all nodes; None if they cannot be read.

    Raises:
        ApiError: for any other reason than a missing permission.
    """
    found = Evidence(target=Target(namespace="", name=""), caches=Caches(clock=clock), clock=clock)
    await _read_nodes(api, found)
    return found.caches.nodes.all()


async def read_node_side(api: WatchingApi, *, cluster: Caches, clock: Callable[[], datetime]) -> list[Unknown]:
    """Read the nodes and the dynamic networks controllers into the caches; return what cannot be read.

    Raises:
        ApiError: for any other reason than a kind that is not served or a missing permission.
    """
    found = Evidence(target=Target(namespace="", name=""), caches=cluster, clock=clock)
    await asyncio.gather(_read_nodes(api, found), _read_controllers(api, found))
    return found.unknown


async def read_cluster(
    api: WatchingApi, *, target: Target, clock: Callable[[], datetime], mode: Mode = Mode.STANDALONE
) -> Evidence:
    """Read the evidence that any VM needs: the KubeVirt CR, nodes, dynamic networks controllers, Multus, slots.

    Args:
        target: only its namespaces count.
        mode: that of the cluster.

    Raises:
        ApiError: the KubeVirt CR cannot be read.
    """
    found = _empty(target, clock=clock, mode=mode)
    caches = found.caches
    async for item in _list(api, KUBEVIRTS):
        caches.observe(CachedKind.KUBEVIRT, item)
    if mode is Mode.COMPANION:
        await read_allowed_version(api, found)
    definitions = watch_attachments(api, sink=caches.attachments)
    await asyncio.gather(
        _read_nodes(api, found),
        _read_controllers(api, found),
        _read_multus(api, found),
        _read_slots(api, found),
        _read_policy(api, found),
        _read_optional(definitions, found),
    )
    return found


def _failures(api: WatchingApi, found: Evidence) -> list[OptionalWatch]:
    """Return the watches of failure events, in the VM's own namespace only: no others concern it."""
    watches = watch_pod_failures(api, sink=found.caches.pod_failures)
    return [replace(watch, namespace=found.target.namespace) for watch in watches]


async def _read_machine(api: WatchingApi, found: Evidence) -> None:
    """Read the VM with what belongs to it; the KubeVirt CR is known already."""
    target, caches = found.target, found.caches
    found.vm = await _get(api, VIRTUAL_MACHINES, target)
    found.vmi = await _get(api, VIRTUAL_MACHINE_INSTANCES, target)
    if found.mode is Mode.COMPANION and found.vmi is not None:
        found.vmi = with_report(found.vmi, await _report(api, found))
    for kind, raw in ((CachedKind.VM, found.vm), (CachedKind.VMI, found.vmi)):
        if raw is not None:
            caches.observe(kind, raw)
    async for item in _list(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, namespace=target.namespace):
        caches.observe(CachedKind.MIGRATION, item)
    if found.vm is not None:
        await _read_revisions(api, found, uid=text(mapping(found.vm.get("metadata")).get("uid")))
    if found.vmi is not None:
        uid = text(mapping(found.vmi.get("metadata")).get("uid"))
        pods = _list(api, PODS, namespace=target.namespace, label_selector=f"kubevirt.io/created-by={uid}")
        async for item in pods:
            caches.observe(CachedKind.POD, item)


async def _report(api: WatchingApi, found: Evidence) -> Json | None:
    try:
        return await read_report(api, namespace=found.target.namespace, name=found.target.name)
    except Denied as error:
        remedy = "until then nobody can say what nicplug has done"
        found.unknown.append(Unknown(kind=INTERFACE_REPORTS.plural, why=str(error), remedy=remedy, is_denied=True))
        return None


async def _read_revisions(api: WatchingApi, found: Evidence, *, uid: str) -> None:
    """Read the revisions; they only determine which changes need a restart."""
    selector = f"{VM_UID_LABEL}={uid}"
    try:
        async for item in _list(api, CONTROLLER_REVISIONS, namespace=found.target.namespace, label_selector=selector):
            found.caches.observe(CachedKind.REVISION, item)
    except Denied as error:
        remedy = "until then changes that need a restart may not be seen"
        found.unknown.append(Unknown(kind="ControllerRevisions", why=str(error), remedy=remedy, is_denied=True))


async def _get(api: WatchingApi, resource: Resource, target: Target) -> Json | None:
    try:
        return await api.get(resource, name=target.name, namespace=target.namespace)
    except Gone as error:
        if error.is_not_served:
            raise
        return None


async def _list(
    api: WatchingApi, resource: Resource, *, namespace: str | None = None, label_selector: str | None = None
) -> AsyncIterator[Mapping[str, Any]]:
    token: str | None = None
    while True:
        page = await api.list(
            resource, namespace=namespace, label_selector=label_selector, limit=_PAGE, continue_token=token
        )
        for item in objects(page.get("items")):
            yield item
        token = text(mapping(page.get("metadata")).get("continue")) or None
        if token is None:
            return


async def _read_optional(watch: OptionalWatch, found: Evidence) -> None:
    """Read what may be missing or forbidden, as for the operator."""
    if (absence := await watch.read()) is not None:
        found.unknown.append(_absent(watch, absence))


def _absent(watch: OptionalWatch, absence: Absence) -> Unknown:
    """Describe the gap. The permission is the caller's own: nicplug's manifests, which a log names, do not grant it."""
    remedy, is_denied = (watch.missing_right, True) if absence is Absence.DENIED else (watch.not_served, False)
    return Unknown(
        kind=watch.resource.plural,
        why=absence.value,
        remedy=remedy,
        is_denied=is_denied,
        namespace=watch.namespace or "",
    )


async def _read_policy(api: WatchingApi, found: Evidence) -> None:
    """Read the HotplugPolicy; a cluster without its CRD has none."""
    watch = watch_policy(api, sink=found.caches.kubevirts.policies)
    if await watch.read() is Absence.DENIED:
        found.unknown.append(_absent(watch, Absence.DENIED))


async def _read_nodes(api: WatchingApi, found: Evidence) -> None:
    await _read_optional(watch_nodes(api, sink=found.caches.nodes), found)


async def _read_controllers(api: WatchingApi, found: Evidence) -> None:
    """Read the DaemonSets of the trusted namespaces, then the pods of those that are a controller."""
    controllers = found.caches.controllers
    sinks = controllers.namespaces().values()
    await asyncio.gather(*(_read_optional(watch_daemon_sets(api, sink=sink), found) for sink in sinks))
    followed = controllers.followed().values()
    await asyncio.gather(
        *(_read_optional(watch_controller_pods(api, sink=sink, daemon_set=item), found) for item, sink in followed)
    )


async def _read_networks(api: WatchingApi, found: Evidence, networks: Iterable[Network]) -> None:
    """Read what Multus enforces, then the definitions that the VM may use; requests no others."""
    await _read_multus(api, found)
    caches, namespace = found.caches, found.target.namespace
    vm, vmi = found.parsed_vm, found.parsed_vmi
    requested = requested_networks(vm.status.members.get(MEMBER)) if vm else ()  # processed before anything is decided
    named = [*networks, *requested, *(vm.networks if vm else ()), *(vmi.networks if vmi else ())]
    access = caches.attachment_access()
    keys = [key for key in referenced_keys(named, namespace=namespace) if access.allows(key, namespace=namespace)]
    found.asked = frozenset(keys)
    reading = [_get_definition(api, namespace=key.namespace, name=key.name) for key in keys]
    answers = await asyncio.gather(*reading)
    if (absence := next((item for item in answers if isinstance(item, Absence)), None)) is not None:
        caches.attachments.lose(absence)
        found.unknown.append(_absent(watch_attachments(api, sink=caches.attachments), absence))
        return
    project = caches.attachments.project
    caches.attachments.replace([project(item) for item in answers if isinstance(item, Mapping)])


async def _read_multus(api: WatchingApi, found: Evidence) -> None:
    multus = found.caches.multus
    sinks = [MultusConfigOf(namespace=item, configs=multus) for item in multus.namespaces]
    watches = (watch_multus_config(api, sink=sink, namespace=sink.namespace) for sink in sinks)
    await asyncio.gather(*(_read_optional(watch, found) for watch in watches))


async def _get_definition(api: WatchingApi, *, namespace: str, name: str) -> Json | Absence | None:
    try:
        return await api.get(NETWORK_ATTACHMENT_DEFINITIONS, name=name, namespace=namespace)
    except Gone as error:
        return Absence.NOT_SERVED if error.is_not_served else None
    except Denied:
        return Absence.DENIED
    except Rejected as error:
        if error.reason != "InvalidName":
            raise
        return None  # an invalid name does not exist; the checks of NICs report what is wrong with it


async def _read_slots(api: WatchingApi, found: Evidence) -> None:
    """Read the ledger of migrations, for questions about how long a migration waits; beside KubeVirt all migrations."""
    if found.mode is Mode.COMPANION:
        await _read_migrations(api, found)
        return
    try:
        ledger = await api.get(CONFIG_MAPS, name=LEDGER_NAME, namespace=found.target.operator_namespace)
    except Gone:
        ledger = None
    except Denied as error:
        remedy = "until then nobody can say how many migrations are under way"
        kind = "the ledger of migrations"
        found.unknown.append(Unknown(kind=kind, why=str(error), remedy=remedy, is_denied=True))
        return
    found.caches.slots.take(ledger, now=found.clock())


async def _read_migrations(api: WatchingApi, found: Evidence) -> None:
    try:
        async for item in _list(api, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS):
            found.caches.observe(CachedKind.MIGRATION, item)
    except Denied as error:
        remedy = "until then only the migrations of this namespace count against the limits"
        kind = "migrations of other namespaces"
        found.unknown.append(Unknown(kind=kind, why=str(error), remedy=remedy, is_denied=True))
