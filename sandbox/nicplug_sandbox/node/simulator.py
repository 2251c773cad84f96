"""The composition root: mirrors, roles, and the order in which they start and stop."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from nicplug_sandbox.node.accounts import Clients
from nicplug_sandbox.node.api import (
    CONFIG_MAPS,
    NETWORK_ATTACHMENT_DEFINITIONS,
    NODES,
    PODS,
    VIRTUAL_MACHINE_INSTANCES,
    Api,
    ApiError,
    Json,
    load_configuration,
)
from nicplug_sandbox.node.daemonsets import APPS, INDEX, index_daemonset_pods, is_role_ready
from nicplug_sandbox.node.dynamic_networks import DynamicNetworks
from nicplug_sandbox.node.events import EventPoster
from nicplug_sandbox.node.faults import RoleName, fault_of
from nicplug_sandbox.node.guests import Guests, serve_guests
from nicplug_sandbox.node.kubelet import Kubelet
from nicplug_sandbox.node.migration import NODE_LABEL, OWNER_LABEL, TARGET_NODE_LABEL, label_of
from nicplug_sandbox.node.migration_reports import MigrationReports
from nicplug_sandbox.node.migration_source import MigrationSource
from nicplug_sandbox.node.migration_target import MigrationTarget, TargetPace
from nicplug_sandbox.node.mirror import Key, Mirror
from nicplug_sandbox.node.multus import Multus
from nicplug_sandbox.node.multus_config import NAME as MULTUS_CONFIG
from nicplug_sandbox.node.node_objects import NodeKeeper, node_address
from nicplug_sandbox.node.settings import Settings
from nicplug_sandbox.node.virt_handler import VirtHandler
from nicplug_sandbox.node.vmi_writes import VmiWriter

log = logging.getLogger(__name__)

SERVER_SECONDS = 60.0
REGISTER_SECONDS = 20.0
DAEMON_SETS_SECONDS = 20.0
# Guests plug side by side: each waits for its own machine, not for the API server.
GUEST_CONCURRENCY = 512


class StartError(Exception):
    """The simulator cannot start; the text says why and what to do."""


def _labels(obj: Json, *keys: str) -> frozenset[str]:
    """The values of labels that the object has."""
    return frozenset(value for key in keys if (value := label_of(obj, key)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrors:
    """What the simulator sees of the API server."""

    nodes: Mirror
    pods: Mirror
    vmis: Mirror
    nads: Mirror
    configs: Mirror

    @classmethod
    def make(cls, api: Api) -> "Mirrors":
        """The mirrors, each asking the server only for what a node would see."""
        return cls(
            nodes=Mirror(api=api, resource=NODES),
            pods=Mirror(
                api=api,
                resource=PODS,
                selector={"fieldSelector": "spec.nodeName!="},
                indexes={
                    "node": lambda pod: (pod["spec"]["nodeName"],),
                    "vmi": lambda pod: _labels(pod, OWNER_LABEL),
                    INDEX: index_daemonset_pods,
                },
            ),
            vmis=Mirror(
                api=api,
                resource=VIRTUAL_MACHINE_INSTANCES,
                # A VMI that migrates has this label too, of the node that it leaves.
                selector={"labelSelector": NODE_LABEL},
                indexes={
                    "uid": lambda vmi: (vmi["metadata"]["uid"],),
                    "node": lambda vmi: _labels(vmi, NODE_LABEL, TARGET_NODE_LABEL),
                },
            ),
            nads=Mirror(api=api, resource=NETWORK_ATTACHMENT_DEFINITIONS),
            configs=Mirror(api=api, resource=CONFIG_MAPS, selector={"fieldSelector": f"metadata.name={MULTUS_CONFIG}"}),
        )

    def all(self) -> tuple[Mirror, ...]:
        """Every mirror."""
        return (self.nodes, self.pods, self.vmis, self.nads, self.configs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the simulator plays."""

    keeper: NodeKeeper
    multus: Multus
    kubelet: Kubelet
    dynamic_networks: DynamicNetworks
    virt_handler: VirtHandler
    migration_source: MigrationSource
    migration_target: MigrationTarget
    migration_reports: MigrationReports
    events: EventPoster
    guests: Guests

    @classmethod
    def make(cls, *, clients: Clients, mirrors: Mirrors, settings: Settings) -> "Roles":
        """Wire the roles: they share mirrors, and call each other only where real ones do."""
        numbers = {name: number for number, name in enumerate(settings.node_names, start=1)}
        names, addresses = frozenset(numbers), {name: node_address(number) for name, number in numbers.items()}
        nodes, pods, vmis = mirrors.nodes, mirrors.pods, mirrors.vmis
        events, guests = EventPoster(clients=clients), Guests()
        writer = VmiWriter(api=clients.virt_handler, vmis=vmis, status_subresource=settings.vmi_status_subresource)
        reports = MigrationReports(writer=writer, nodes=nodes, events=events)
        multus = Multus(
            api=clients.multus, nodes=nodes, pods=pods, nads=mirrors.nads,
            node_numbers=numbers, configs=mirrors.configs,
        )  # fmt: skip
        kubelet = Kubelet(
            clients=clients, pods=pods, nodes=nodes, multus=multus,
            events=events, settings=settings, addresses=addresses,
        )  # fmt: skip
        target = MigrationTarget(
            vmis=vmis, pods=pods, nodes=nodes, guests=guests, writer=writer, reports=reports, kubelet=kubelet,
            pace=TargetPace(prepare=settings.prepare_seconds, cut_over=settings.cut_over_seconds),
            concurrency=GUEST_CONCURRENCY, addresses=addresses,
        )  # fmt: skip
        return cls(
            keeper=NodeKeeper(clients=clients, nodes=nodes, settings=settings),
            multus=multus,
            kubelet=kubelet,
            dynamic_networks=DynamicNetworks(
                api=clients.dynamic_networks, pods=pods, nodes=nodes, nads=mirrors.nads, multus=multus,
                events=events, seed=settings.seed, concurrency=settings.concurrency, node_names=names,
            ),
            virt_handler=VirtHandler(
                vmis=vmis, pods=pods, nodes=nodes, guests=guests, writer=writer, events=events,
                plug_seconds=settings.plug_seconds, concurrency=GUEST_CONCURRENCY, node_names=names,
            ),
            migration_source=MigrationSource(
                vmis=vmis, pods=pods, nodes=nodes, guests=guests, reports=reports, target=target, kubelet=kubelet,
                copy_seconds=settings.copy_seconds, concurrency=GUEST_CONCURRENCY, node_names=names,
            ),
            migration_target=target,
            migration_reports=reports,
            events=events,
            guests=guests,
        )  # fmt: skip

    def working(self) -> tuple[Kubelet | DynamicNetworks | VirtHandler | MigrationSource | MigrationTarget, ...]:
        """The roles that follow objects by a queue."""
        return (self.kubelet, self.dynamic_networks, self.virt_handler, self.migration_source, self.migration_target)


async def _reach_server(api: Api) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            await api.request("GET", "/version")
        except (aiohttp.ClientError, TimeoutError, ApiError) as error:
            if time.monotonic() > deadline:
                raise StartError(
                    f"the API server did not answer within {SERVER_SECONDS:.0f} s: {error}. "
                    "Is it up? `nicplug sandbox status` tells for a sandbox."
                ) from error
            await asyncio.sleep(0.2)
        else:
            return


async def _register(keeper: NodeKeeper) -> None:
    """A server that just became ready still makes its system namespaces: repeat, bounded."""
    deadline = time.monotonic() + REGISTER_SECONDS
    while True:
        try:
            return await keeper.register()
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise StartError(
                    f"the nodes could not be registered within {REGISTER_SECONDS:.0f} s: {error}. "
                    "The kubeconfig must be a cluster admin's: the simulator installs nodes, DaemonSets and "
                    "ClusterRoles, and impersonates kubelets and ServiceAccounts."
                ) from error
            log.info("nodes not registered yet, trying again: %s", error)
            await asyncio.sleep(0.1)


async def _wait_for_daemon_sets(*, mirrors: Mirrors, settings: Settings) -> list[str]:
    """Wait for the pods of the DaemonSets, bounded; what is missing then, as `role on node`."""

    def missing() -> list[str]:
        return [
            f"{role} on {name}"
            for role in APPS
            for name in settings.node_names
            if not fault_of(mirrors.nodes.get(Key("", name)), role).absent
            and not is_role_ready(pods=mirrors.pods, role=RoleName(role), node=name)
        ]

    changed = asyncio.Event()
    mirrors.pods.listen(lambda _old, _new: changed.set())
    deadline = time.monotonic() + DAEMON_SETS_SECONDS
    while (found := missing()) and time.monotonic() < deadline:
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), timeout=max(deadline - time.monotonic(), 0.01))
        except TimeoutError:
            break
    return found


async def run(settings: Settings, *, stop: asyncio.Event, ready: Callable[[dict[str, Any]], None]) -> None:
    """Play the nodes until `stop` is set; `ready` is called once, when the roles serve.

    Raises:
        ConfigurationError: the kubeconfig cannot be used.
        StartError: the API server does not answer.
    """
    started = time.monotonic()
    configuration = await load_configuration(settings.kubeconfig)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api(configuration=configuration, connections=settings.concurrency))
        await _reach_server(api)
        clients = Clients.make(api)
        mirrors = Mirrors.make(clients.observer)
        roles = Roles.make(clients=clients, mirrors=mirrors, settings=settings)
        # Before the mirrors: they may look only once the rights are there.
        await _register(roles.keeper)
        tasks = [asyncio.create_task(mirror.run(), name=mirror.resource.plural) for mirror in mirrors.all()]
        stack.push_async_callback(_cancel, tasks)
        await asyncio.gather(mirrors.nodes.synced.wait(), mirrors.pods.synced.wait())
        # The CRDs of KubeVirt and Multus may come later; the mirrors go on asking for them.
        await asyncio.gather(*(mirror.tried.wait() for mirror in mirrors.all()))
        roles.multus.restore()
        stack.push_async_callback(roles.migration_reports.close)
        for role in roles.working():
            role.start()
            stack.push_async_callback(role.queue.close)
        tasks += [asyncio.create_task(roles.keeper.run()), asyncio.create_task(roles.events.run())]
        await stack.enter_async_context(serve_guests(roles.guests, settings.guests_socket))
        missing = await _wait_for_daemon_sets(mirrors=mirrors, settings=settings)
        unwatched = [mirror.resource.plural for mirror in mirrors.all() if not mirror.synced.is_set()]
        ready(
            {
                "ready": True,
                "nodes": list(settings.node_names),
                "daemonSetPodsMissing": missing,
                "kindsMissing": unwatched,
                "seconds": round(time.monotonic() - started, 2),
            }
        )
        await _until(stop, tasks)
        if settings.deregister:
            await roles.keeper.deregister()


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for `stop`; a background task that ends before is a bug and ends the process."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done:
        if task is not stopping:
            task.result()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def print_ready(facts: dict[str, Any]) -> None:
    """One JSON line on stdout: whoever started the process waits for it."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
