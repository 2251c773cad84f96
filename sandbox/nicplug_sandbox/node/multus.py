"""Multus, thick plugin: attaches networks at sandbox creation, and on demand for whoever calls its socket.

The kubelet role asks it for a sandbox, the dynamic networks controller for single attachments, as their
real counterparts do. Knows nothing of VMIs.
"""

import asyncio

from nicplug_sandbox.node.addresses import AddressBook, AddressError, cluster_range, ranges_of
from nicplug_sandbox.node.api import NETWORK_ATTACHMENT_DEFINITIONS, Api, ApiError, Json
from nicplug_sandbox.node.daemonsets import is_role_ready
from nicplug_sandbox.node.faults import RoleName, fault_of
from nicplug_sandbox.node.mirror import Key, Mirror
from nicplug_sandbox.node.multus_config import KEY, refuses
from nicplug_sandbox.node.networks import (
    NETWORKS,
    AnnotationError,
    Element,
    NetworkConfiguration,
    annotation,
    generated_mac,
    parse_configuration,
    parse_networks,
    read_status,
    status_entry,
)
from nicplug_sandbox.node.settings import PREFIX

DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
CLUSTER_NETWORK = "cluster"
PRIMARY_INTERFACE = "eth0"
NAD_FAULT = PREFIX + "cni"
"""On a NAD: `fails` lets every ADD of its plugin fail, `delete-fails` every DEL."""


class CniError(Exception):
    """A network could not be attached or detached; the text is what the caller gets from Multus."""


class MissingNetworkError(CniError):
    """The NAD does not exist: no plugin was called, so nothing was rolled back."""


def elements_at_creation(pod: Json) -> tuple[Element, ...]:
    """What the pod asks for, with names given to unnamed interfaces: net1, net2, ... by position.

    Raises:
        CniError: the annotation cannot be read.
    """
    try:
        wanted = parse_networks(annotation(pod, NETWORKS), namespace=pod["metadata"]["namespace"])
    except AnnotationError as error:
        raise CniError(f"error getting k8s args: {error}") from error
    return tuple(
        Element(
            namespace=element.namespace,
            name=element.name,
            interface=element.interface or f"net{position}",
            mac=element.mac,
            ips=element.ips,
            cni_args=element.cni_args,
        )
        for position, element in enumerate(wanted, start=1)
    )


def _scope(*, nad: str, node: str, ipam: Json, number: int) -> str:
    # host-local keeps its leases in files of the node; a whereabouts range is one for the cluster.
    if ipam["type"] == "host-local":
        return f"host-local {nad} {number} on {node}"
    return f"whereabouts {ipam.get('network_name', '')} {number} {ipam.get('range') or nad}"


class Multus:
    """The Multus daemons of all simulated nodes."""

    def __init__(
        self,
        *,
        api: Api,
        nodes: Mirror,
        pods: Mirror,
        nads: Mirror,
        node_numbers: dict[str, int],
        configs: Mirror | None = None,
    ) -> None:
        """`node_numbers`: each simulated node's place, counted from 1; it decides its pod addresses.

        `configs`: the ConfigMaps of the daemon; without them namespaces are not isolated.
        """
        self._configs = configs
        self._api = api
        self._nodes = nodes
        self._pods = pods
        self._nads = nads
        self._numbers = node_numbers
        self._addresses = AddressBook()
        pods.listen(self._on_pod)

    def restore(self) -> None:
        """Take the addresses of pods that were there before this process."""
        for pod in self._pods.all():
            node, uid = pod["spec"].get("nodeName", ""), pod["metadata"]["uid"]
            if node not in self._numbers:
                continue
            if address := pod.get("status", {}).get("podIP"):
                self._addresses.reserve(scope=f"cluster {node}", address=address, owner=uid)
            for entry in read_status(pod):
                self._restore_entry(entry, node=node, uid=uid)

    def _restore_entry(self, entry: Json, *, node: str, uid: str) -> None:
        namespace, _, name = str(entry.get("name", "")).partition("/")
        nad = self._nads.get(Key(namespace, name))
        if nad is None or not entry.get("ips"):
            return
        try:
            ipam = parse_configuration(nad).ipam
        except AnnotationError:
            return
        if ipam is None:
            return
        for number, address in enumerate(entry["ips"]):
            scope = _scope(nad=f"{namespace}/{name}", node=node, ipam=ipam, number=number)
            self._addresses.reserve(scope=scope, address=address, owner=uid)

    async def create_sandbox(self, pod: Json) -> list[Json]:
        """Attach the default network and everything the pod asks for; the entries of network-status.

        Raises:
            CniError: one of them cannot be attached; none is then.
        """
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        self._require_ready(node)
        try:
            entries = [await self._attach_default(pod)]
            for element in elements_at_creation(pod):
                self._require_permission(pod, element)
                nad = await self._read_nad(Key(element.namespace, element.name))
                links = frozenset(entry["interface"] for entry in entries)
                entries.append(await self.add(pod=pod, element=element, nad=nad, links=links))
        except CniError:
            self._addresses.release(owner=uid)
            raise
        return entries

    async def add(self, *, pod: Json, element: Element, nad: Json, links: frozenset[str]) -> Json:
        """CNI ADD of one network into a pod that has `links`; the entry of network-status.

        Raises:
            CniError: the plugin failed. The caller must know that Multus then deleted the link of
                that name (see `dynamic_networks`).
        """
        node = pod["spec"]["nodeName"]
        fault = fault_of(self._nodes.get(Key("", node)), RoleName.MULTUS)
        self._require_ready(node)
        if fault.slow_seconds:
            await asyncio.sleep(fault.slow_seconds)
        if fault.broken == "add" or annotation(nad, NAD_FAULT) == "fails":
            raise CniError(f"error adding pod to network {element.network}: plugin failed (sandbox fault)")
        if not element.interface:
            raise CniError(f"error adding pod to network {element.network}: CNI_IFNAME is empty")
        if element.interface in links:
            raise CniError(
                f"error adding pod to network {element.network}: "
                f'container veth name "{element.interface}" already exists'
            )
        try:
            configuration = parse_configuration(nad)
        except AnnotationError as error:
            raise CniError(str(error)) from error
        return status_entry(
            network=element.network,
            interface=element.interface,
            mac=element.mac or generated_mac(pod["metadata"]["uid"], element.interface),
            ips=self._assign(pod=pod, element=element, configuration=configuration),
            mtu=configuration.mtu,
        )

    async def delete(self, *, pod: Json, network: str, nad: Json) -> None:
        """CNI DEL of one network; a link that is not there is no error.

        Raises:
            CniError: the plugin failed.
        """
        node = pod["spec"]["nodeName"]
        fault = fault_of(self._nodes.get(Key("", node)), RoleName.MULTUS)
        self._require_ready(node)
        if fault.slow_seconds:
            await asyncio.sleep(fault.slow_seconds)
        if fault.broken == "delete" or annotation(nad, NAD_FAULT) == "delete-fails":
            raise CniError(f"error deleting pod from network {network}: plugin failed (sandbox fault)")
        self.release(pod=pod, network=network)

    def release(self, *, pod: Json, network: str) -> None:
        """Give back the addresses that a pod holds in one network."""
        namespace, _, name = network.partition("/")
        nad = self._nads.get(Key(namespace, name))
        try:
            ipam = parse_configuration(nad).ipam if nad is not None else None
            count = len(ranges_of(ipam)) if ipam is not None else 0
        except (AnnotationError, AddressError):
            return
        for number in range(count):
            scope = _scope(nad=network, node=pod["spec"]["nodeName"], ipam=ipam or {}, number=number)
            self._addresses.release(owner=pod["metadata"]["uid"], scope=scope)

    def is_ready(self, node: str) -> bool:
        """Whether Multus answers on this node."""
        return is_role_ready(pods=self._pods, role=RoleName.MULTUS, node=node)

    def _require_permission(self, pod: Json, element: Element) -> None:
        """Asked when a pod is made, and by nobody when the dynamic networks controller attaches: as the real one."""
        namespace, found = pod["metadata"]["namespace"], self._configs.get(KEY) if self._configs is not None else None
        if refuses(found, namespace=namespace, target=element.namespace):
            raise CniError(
                "GetNetworkDelegates: namespace isolation enabled, annotation violates permission, pod is in namespace "
                f"{namespace} but refers to target namespace {element.namespace}"
            )

    def _require_ready(self, node: str) -> None:
        if not self.is_ready(node):
            raise CniError(
                "CmdAdd (shim): failed to send CNI request: dial unix /run/multus/multus.sock: "
                "connect: no such file or directory"
            )

    async def _attach_default(self, pod: Json) -> Json:
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        namespace = pod["metadata"]["namespace"]
        if network := annotation(pod, DEFAULT_NETWORK):
            space, slash, name = network.rpartition("/")
            element = Element(namespace=space if slash else namespace, name=name, interface=PRIMARY_INTERFACE)
            nad = await self._read_nad(Key(element.namespace, element.name))
            entry = await self.add(pod=pod, element=element, nad=nad, links=frozenset())
            return {**entry, "default": True}
        try:
            wanted = cluster_range(self._numbers[node])
            address = self._addresses.take(scope=f"cluster {node}", wanted=wanted, owner=uid)
        except AddressError as error:
            raise CniError(f"cluster network: {error}") from error
        return status_entry(
            network=CLUSTER_NETWORK,
            interface=PRIMARY_INTERFACE,
            mac=generated_mac(uid, PRIMARY_INTERFACE),
            ips=[str(address)],
            default=True,
        )

    def _assign(self, *, pod: Json, element: Element, configuration: NetworkConfiguration) -> list[str]:
        if element.ips:
            return [text.partition("/")[0] for text in element.ips]
        ipam = configuration.ipam
        if ipam is None:
            return []
        if ipam["type"] == "static":
            return [str(item.get("address", "")).partition("/")[0] for item in ipam.get("addresses") or ()]
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        try:
            return [
                str(
                    self._addresses.take(
                        scope=_scope(nad=element.network, node=node, ipam=ipam, number=number),
                        wanted=wanted,
                        owner=uid,
                    )
                )
                for number, wanted in enumerate(ranges_of(ipam))
            ]
        except AddressError as error:
            self.release(pod=pod, network=element.network)
            raise CniError(f"error adding pod to network {element.network}: {error}") from error

    async def _read_nad(self, key: Key) -> Json:
        """From the mirror, else from the API server: Multus itself asks the server at every ADD."""
        if (nad := self._nads.get(key)) is not None:
            return nad
        try:
            return await self._api.get(NETWORK_ATTACHMENT_DEFINITIONS, name=key.name, namespace=key.namespace)
        except ApiError as error:
            if not error.is_gone:
                raise
            raise MissingNetworkError(
                f"cannot find a network-attachment-definition ({key.name}) in namespace ({key.namespace}): "
                f'network-attachment-definitions.k8s.cni.cncf.io "{key.name}" not found'
            ) from error

    def _on_pod(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None:
            # Kinder than the real thing, which leaks the leases of hot-plugged networks.
            self._addresses.release(owner=old["metadata"]["uid"])
