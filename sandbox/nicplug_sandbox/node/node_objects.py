"""The Node objects and their Leases: registered at start, kept Ready by heartbeats.

Heartbeats follow the kubelet's design: a Lease every ten seconds, and the Node's status only when it
has to change. An absent kubelet sends none, and the real node controller draws its conclusions.
"""

import asyncio
import logging
from datetime import UTC, datetime

import aiohttp

from nicplug_sandbox.node.accounts import RIGHTS_RESOURCES, Clients, rights
from nicplug_sandbox.node.api import (
    CONFIG_MAPS,
    DAEMON_SETS,
    LEASES,
    MERGE_PATCH,
    NODES,
    STRATEGIC_PATCH,
    ApiError,
    Json,
    Resource,
)
from nicplug_sandbox.node.daemonsets import APPS, NAMESPACE, SIMULATED, daemon_set
from nicplug_sandbox.node.faults import RoleName, fault_of
from nicplug_sandbox.node.mirror import Key, Mirror
from nicplug_sandbox.node.multus_config import KEY as MULTUS_CONFIG
from nicplug_sandbox.node.multus_config import config_map
from nicplug_sandbox.node.node_status import device_amounts, devices_patch, node_status, readiness_patch
from nicplug_sandbox.node.settings import PREFIX, Settings

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40


def node_address(number: int) -> str:
    """Node n's own IP, n counted from 1."""
    return f"172.31.{number // 250}.{number % 250 + 1}"


def node_body(name: str) -> Json:
    """The Node that a kubelet on a KubeVirt cluster has, less what nobody reads."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubevirt.io/schedulable": "true",
        SIMULATED: "true",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def label_patch(node: Json) -> Json:
    """The node labels that keep the DaemonSets off, made to agree with the faults; empty when they do."""
    labels = node["metadata"].get("labels") or {}
    wanted = {PREFIX + role: "absent" if fault_of(node, role).absent else None for role in APPS}
    changed = {key: value for key, value in wanted.items() if labels.get(key) != value}
    return {"metadata": {"labels": changed}} if changed else {}


def _is_ours(obj: Json) -> bool:
    return (obj["metadata"].get("labels") or {}).get(SIMULATED) == "true"


class NodeKeeper:
    """Registers the nodes and DaemonSets and keeps them as the annotations say.

    What an admin installs, an admin writes here: nodes, DaemonSets, the rights of the roles, and the labels that stand
    for faults. Status and Lease of a node are its kubelet's.
    """

    def __init__(self, *, clients: Clients, nodes: Mirror, settings: Settings) -> None:
        self._clients = clients
        self._nodes = nodes
        self._settings = settings
        self._devices: dict[str, frozenset[str]] = {}
        self._numbers = {name: number for number, name in enumerate(settings.node_names, start=1)}
        self._changed: asyncio.Queue[str] = asyncio.Queue()

    async def register(self) -> None:
        """Create what is missing and make every node Ready."""
        names = self._settings.node_names
        await asyncio.gather(*(self._clients.admin.apply(RIGHTS_RESOURCES[body["kind"]], body) for body in rights()))
        # Refused until the API server knows the rights; the caller begins again then.
        await self._clients.observer.list(NODES, params={"limit": "1"})
        await asyncio.gather(*(self._register_node(name) for name in names))
        await asyncio.gather(*(self._apply_daemon_set(role) for role in self._deployed()))
        await self._create_multus_config()
        self._nodes.listen(self._on_node)
        for name in names:
            self._changed.put_nowait(name)

    def _deployed(self) -> list[RoleName]:
        left_out = () if self._settings.is_dynamic_controller_deployed else (RoleName.DYNAMIC_NETWORKS,)
        return [role for role in APPS if role not in left_out]

    async def deregister(self) -> None:
        """Delete nodes, Leases, DaemonSets and rights that this simulator made."""
        for name in self._settings.node_names:
            await self._delete(NODES, name=name)
            await self._delete(LEASES, name=name, namespace=LEASE_NAMESPACE)
        for role in APPS:
            name = APPS[role][0]
            present = await self._read_daemon_set(name)
            if present is not None and _is_ours(present):
                await self._delete(DAEMON_SETS, name=name, namespace=NAMESPACE)
        present = await self._read_multus_config()
        if present is not None and _is_ours(present):
            await self._delete(CONFIG_MAPS, name=MULTUS_CONFIG.name, namespace=NAMESPACE)
        for body in rights():
            await self._delete(RIGHTS_RESOURCES[body["kind"]], name=body["metadata"]["name"])

    async def run(self) -> None:
        """Heartbeats and node labels until cancelled."""
        await asyncio.gather(self._beat(), self._follow_faults())

    async def _register_node(self, name: str) -> None:
        body = node_body(name)
        if not self._settings.has_dynamic_controller(name):
            body["metadata"]["annotations"] = {PREFIX + RoleName.DYNAMIC_NETWORKS: "absent"}
            body["metadata"]["labels"][PREFIX + RoleName.DYNAMIC_NETWORKS] = "absent"
        await self._clients.admin.apply(NODES, body)
        await self._renew(name)
        await self._make_ready(name)

    async def _make_ready(self, name: str) -> None:
        await self._write_status(name, node_status(address=node_address(self._numbers[name]), now=datetime.now(UTC)))

    async def _write_status(self, name: str, status: Json) -> None:
        answer = await self._clients.kubelet(name).patch(
            NODES, {"status": status}, name=name, subresource="status", content_type=STRATEGIC_PATCH
        )
        self._nodes.apply_response(answer)

    async def _renew(self, name: str) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": moment}
        metadata = {"name": name, "namespace": LEASE_NAMESPACE}
        api = self._clients.kubelet(name)
        try:
            await api.patch(LEASES, {"spec": spec}, name=name, namespace=LEASE_NAMESPACE, content_type=MERGE_PATCH)
        except ApiError as error:
            if not error.is_gone:
                raise
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            await api.create(LEASES, body, namespace=LEASE_NAMESPACE)

    async def _apply_daemon_set(self, role: RoleName) -> None:
        name = APPS[role][0]
        present = await self._read_daemon_set(name)
        if present is not None and not _is_ours(present):
            log.warning('DaemonSet "%s/%s" is not the simulator\'s: left as it is', NAMESPACE, name)
            return
        await self._clients.admin.apply(DAEMON_SETS, daemon_set(role), namespace=NAMESPACE)

    async def _create_multus_config(self) -> None:
        """As a deployment of Multus would; what is there, and perhaps was edited, stays as it is."""
        if await self._read_multus_config() is None:
            await self._clients.admin.create(CONFIG_MAPS, config_map(), namespace=NAMESPACE)

    async def _read_multus_config(self) -> Json | None:
        try:
            return await self._clients.admin.get(CONFIG_MAPS, name=MULTUS_CONFIG.name, namespace=NAMESPACE)
        except ApiError as error:
            if error.is_gone:
                return None
            raise

    async def _read_daemon_set(self, name: str) -> Json | None:
        try:
            return await self._clients.admin.get(DAEMON_SETS, name=name, namespace=NAMESPACE)
        except ApiError as error:
            if error.is_gone:
                return None
            raise

    async def _delete(self, resource: Resource, *, name: str, namespace: str | None = None) -> None:
        try:
            await self._clients.admin.delete(resource, name=name, namespace=namespace)
        except ApiError as error:
            if not error.is_gone:
                raise

    def _on_node(self, _old: Json | None, new: Json | None) -> None:
        if new is None or (name := new["metadata"]["name"]) not in self._numbers:
            return
        if label_patch(new) or self._status_changes(new):
            self._changed.put_nowait(name)

    def _status_changes(self, node: Json) -> Json:
        """What the annotations say of the node's status beyond what it says itself; empty when it agrees."""
        gone = self._devices.get(node["metadata"]["name"], frozenset()) - device_amounts(node).keys()
        return {**readiness_patch(node, now=datetime.now(UTC)), **devices_patch(node, gone=gone)}

    async def _follow_faults(self) -> None:
        while True:
            name = await self._changed.get()
            node = self._nodes.get(Key("", name))
            if node is None:
                continue
            try:
                await self._follow(node)
            except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                log.info('node "%s": labels and status not written, trying again: %s', name, error)
                await asyncio.sleep(1.0)
                self._changed.put_nowait(name)

    async def _follow(self, node: Json) -> None:
        name = node["metadata"]["name"]
        if patch := label_patch(node):
            self._nodes.apply_response(
                await self._clients.admin.patch(NODES, patch, name=name, content_type=MERGE_PATCH)
            )
        if changes := self._status_changes(node):
            await self._write_status(name, changes)
        self._devices[name] = frozenset(device_amounts(node))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            for name in self._settings.node_names:
                node = self._nodes.get(Key("", name))
                if node is None or fault_of(node, RoleName.KUBELET).absent:
                    continue
                try:
                    await self._renew(name)
                    if changes := self._status_changes(node):
                        await self._write_status(name, changes)
                except (ApiError, aiohttp.ClientError, TimeoutError) as error:
                    log.info('node "%s": heartbeat failed: %s', name, error)
