"""The wire formats of pod networks: the `networks` annotation, network-status, and NAD configurations.

Pure. Source: the network plumbing working group's "Kubernetes Network Custom Resource Definition
De-facto Standard", and what Multus 4 and the dynamic networks controller do with it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.settings import PREFIX

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
POD_LINKS = PREFIX + "pod-links"
"""Which interfaces the pod really has, written only while network-status says something else."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class AnnotationError(ValueError):
    """An annotation or a NAD configuration cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One network that a pod asks for."""

    namespace: str
    name: str
    interface: str = ""
    """Empty: Multus chooses net1, net2, ... at sandbox creation, and the controller never finds it."""
    mac: str = ""
    ips: tuple[str, ...] = ()
    cni_args: str = ""
    """JSON text, so that elements stay comparable and hashable."""

    @property
    def key(self) -> str:
        """How the dynamic networks controller recognises an element in network-status."""
        parts = (self.namespace, self.name, self.interface) if self.interface else (self.namespace, self.name)
        return "/".join(parts)

    @property
    def network(self) -> str:
        """Namespace and name of the NAD."""
        return f"{self.namespace}/{self.name}"


def parse_networks(text: str, *, namespace: str) -> tuple[Element, ...]:
    """Read the `networks` annotation in either form: a JSON list or `[ns/]name[@ifname],...`.

    Raises:
        AnnotationError: it is neither.
    """
    if not text.strip():
        return ()
    if any(character in text for character in '[{"'):
        return tuple(_parse_json(text, namespace=namespace))
    return tuple(_parse_short(item.strip(), namespace=namespace) for item in text.split(","))


def _parse_json(text: str, *, namespace: str) -> Iterable[Element]:
    try:
        items = json.loads(text)
    except ValueError as error:
        raise AnnotationError(f'annotation "{NETWORKS}" is not JSON: {error}') from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise AnnotationError(f'annotation "{NETWORKS}" is not a JSON list of objects')
    for item in items:
        if not item.get("name"):
            raise AnnotationError(f'annotation "{NETWORKS}": an element has no name')
        arguments = item.get("cni-args")
        yield Element(
            namespace=item.get("namespace") or namespace,
            name=item["name"],
            interface=item.get("interface") or "",
            mac=item.get("mac") or "",
            ips=tuple(item.get("ips") or ()),
            cni_args=json.dumps(arguments, sort_keys=True) if arguments else "",
        )


def _parse_short(text: str, *, namespace: str) -> Element:
    network, _, interface = text.partition("@")
    space, slash, name = network.rpartition("/")
    parts = [part for part, given in ((space, slash), (name, True), (interface, "@" in text)) if given]
    if not all(_NAME.fullmatch(part) for part in parts):
        raise AnnotationError(f'annotation "{NETWORKS}": "{text}" is not [namespace/]name[@interface]')
    return Element(namespace=space or namespace, name=name, interface=interface)


def annotation(obj: Json, key: str) -> str:
    """An annotation of an object, empty when it is not there."""
    value: str = (obj["metadata"].get("annotations") or {}).get(key) or ""
    return value


def read_status(pod: Json) -> list[Json]:
    """The entries of the pod's network-status; a broken annotation is as good as none."""
    text = annotation(pod, NETWORK_STATUS)
    if not text:
        return []
    try:
        entries = json.loads(text)
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def format_status(entries: Sequence[Json]) -> str:
    """network-status as Multus writes it: indented JSON."""
    return json.dumps(entries, indent=4)


def status_key(entry: Json) -> str:
    """How the dynamic networks controller recognises an entry."""
    return f"{entry.get('name', '')}/{entry.get('interface', '')}"


def status_entry(
    *, network: str, interface: str, mac: str, ips: Sequence[str] = (), mtu: int = 0, default: bool = False
) -> Json:
    """One entry of network-status; what is unknown is left out, as in Go's `omitempty`."""
    entry: Json = {"name": network, "interface": interface}
    if ips:
        entry["ips"] = list(ips)
    entry["mac"] = mac
    if mtu:
        entry["mtu"] = mtu
    if default:
        entry["default"] = True
    entry["dns"] = {}
    return entry


def links_of(pod: Json) -> frozenset[str]:
    """The interfaces in the pod's network namespace: usually, but not always, those of network-status."""
    annotations = pod["metadata"].get("annotations") or {}
    if (text := annotations.get(POD_LINKS)) is not None:
        return frozenset(name for name in text.split(",") if name)
    return frozenset(entry.get("interface", "") for entry in read_status(pod))


def links_annotation(*, links: frozenset[str], entries: Sequence[Json]) -> str | None:
    """The value of `POD_LINKS`; None when network-status already tells the truth."""
    told = frozenset(entry.get("interface", "") for entry in entries)
    return None if links == told else ",".join(sorted(links))


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfiguration:
    """What the simulator needs of a NAD's CNI configuration."""

    type: str
    mtu: int = 0
    ipam: Json | None = None


def parse_configuration(nad: Json) -> NetworkConfiguration:
    """Read `spec.config`: one plugin, or a list whose first plugin makes the interface.

    Raises:
        AnnotationError: it is empty, no JSON, or names no plugin type.
    """
    metadata = nad["metadata"]
    what = f'NAD "{metadata["namespace"]}/{metadata["name"]}": spec.config'
    text = (nad.get("spec") or {}).get("config") or ""
    try:
        configuration: Any = json.loads(text)
    except ValueError as error:
        raise AnnotationError(f"{what} is not JSON: {error}") from error
    if not isinstance(configuration, dict):
        raise AnnotationError(f"{what} is not a JSON object")
    plugins = configuration.get("plugins")
    plugin = plugins[0] if isinstance(plugins, list) and plugins else configuration
    if not isinstance(plugin, dict) or not plugin.get("type"):
        raise AnnotationError(f"{what} names no plugin type")
    mtu, ipam = plugin.get("mtu"), plugin.get("ipam")
    return NetworkConfiguration(
        type=plugin["type"],
        mtu=mtu if isinstance(mtu, int) else 0,
        ipam=ipam if isinstance(ipam, dict) and ipam.get("type") else None,
    )


def generated_mac(*parts: str) -> str:
    """A locally administered MAC that is always the same for the same parts."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()
    return ":".join(["02", *(digest[index : index + 2] for index in range(0, 10, 2))])


def hashed_interface(network: str) -> str:
    """The pod interface that KubeVirt gives a secondary network: `pod` and 11 digits of its name's SHA-256."""
    return "pod" + hashlib.sha256(network.encode()).hexdigest()[:11]
