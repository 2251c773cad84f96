"""The networks annotation of a pod: which networks Multus attaches, and as which interfaces."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nicplug.model.networks import Interface, Network, split_attachment

# Names of the interfaces inside a launcher pod.
#
# Source: KubeVirt `pkg/network/namescheme`: hashed names since 1.0, ordinal ones on older pods.

PRIMARY_POD_INTERFACE = "eth0"
FIRST_ORDINAL_NAME = "net1"
_HASHED = re.compile(r"^pod[0-9a-f]{11}$")
_ORDINAL = re.compile(r"^net\d+$")
_HASH_DIGITS = 11


def hashed_interface_name(network_name: str) -> str:
    """Return `pod` and the first 11 hex digits of the SHA-256 of the logical network name.

    Not of the network attachment definition: two networks may use the same definition.
    """
    digest = hashlib.sha256(network_name.encode()).hexdigest()
    return f"pod{digest[:_HASH_DIGITS]}"


def plugin_interface_name(network_name: str) -> str:
    """Return the interface name for the extra element of a network's binding plugin: `bind` and the same digits.

    KubeVirt omits it, and Multus then uses `net<i>`: that would make the pod's names look ordinal, and the dynamic
    networks controller serves no element after one without a name (docs/node-simulator.md).
    """
    return f"bind{hashed_interface_name(network_name).removeprefix('pod')}"


def is_hashed_name(interface: str) -> bool:
    """Report whether only the hashed scheme can produce the name, so that the element is nicplug's own."""
    return _HASHED.fullmatch(interface) is not None


def is_ordinal_name(interface: str) -> bool:
    """Report whether the name is `net<i>`: Multus's default, or the scheme of launcher pods before 1.0."""
    return _ORDINAL.fullmatch(interface) is not None


def pod_interface_names(*, secondary_networks: Iterable[str], ordinal: bool) -> dict[str, str]:
    """Return logical network name -> pod interface name, for the secondary networks in spec order."""
    names = list(secondary_networks)
    if ordinal:
        return {name: f"net{index}" for index, name in enumerate(names, start=1)}
    return {name: hashed_interface_name(name) for name in names}


# Source: Multus network attachment specification; KubeVirt `pkg/network/multus/annotation.go` (key order: name,
# namespace, mac, interface, cni-args).

Element = dict[str, Any]


class UnreadableAnnotation(ValueError):
    """The annotation is neither a JSON list of objects nor a comma-separated list."""


def element_of(*, interface: Interface, network: Network, pod_interface: str, namespace: str) -> Element:
    """Return the element that attaches `network`; it always includes the interface name.

    An element without one becomes `net1` and blocks every later change (docs/node-simulator.md).
    """
    attachment_namespace, attachment = network.attachment_reference(namespace=namespace)
    element: Element = {"name": attachment, "namespace": attachment_namespace}
    if interface.mac_address:
        element["mac"] = interface.mac_address
    element["interface"] = pod_interface
    return element


def plugin_element(*, attachment: str, namespace: str, network_name: str, pod_interface: str) -> Element:
    """Return the element that runs a binding plugin's CNI for a network of the VMI; it names the network to the plugin.

    Args:
        attachment: that of the plugin, as registered.
        namespace: namespace of the VMI.
    """
    attachment_namespace, name = split_attachment(attachment, namespace=namespace)
    return {
        "name": name,
        "namespace": attachment_namespace,
        "interface": pod_interface,
        "cni-args": {"logicNetworkName": network_name},
    }


def render_annotation(elements: Sequence[Element]) -> str:
    """Return compact JSON; without elements the empty string, which detaches every secondary network.

    An unpaired surrogate in another client's element stays escaped: UTF-8 cannot encode it.
    """
    if not elements:
        return ""
    content = json.dumps(list(elements), separators=(",", ":"), ensure_ascii=False)
    return content.encode(errors="backslashreplace").decode()


def touched(annotation: str, elements: Sequence[Element]) -> str:
    """Return the elements as another text: the dynamic networks controller only reacts to a changed text.

    Adds or removes a blank within the JSON, which has no meaning. A blank alone would not be JSON.
    """
    compact = render_annotation(elements) or "[]"
    return compact if annotation != compact else f"[ {compact[1:]}"


def parse_annotation(annotation: str | None) -> list[Element]:
    """Return the elements, in either form that Multus reads.

    Raises:
        UnreadableAnnotation: it has neither form, and must not be overwritten.
    """
    content = (annotation or "").strip()
    if not content:
        return []
    if not any(mark in content for mark in '[{"'):
        return [_parse_short(part.strip()) for part in content.split(",")]
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnnotation(f"not JSON: {error}") from error
    if not isinstance(raw, list) or not all(isinstance(item, Mapping) for item in raw):
        raise UnreadableAnnotation("not a list of objects")
    return [dict(item) for item in raw]


def _parse_short(part: str) -> Element:
    namespace, slash, rest = part.rpartition("/")
    name, _, interface = rest.partition("@")
    element: Element = {"name": name}
    if slash:
        element["namespace"] = namespace
    if interface:
        element["interface"] = interface
    return element


def asks_the_same(one: Element, other: Element) -> bool:
    """Report whether the members that nicplug writes are equal; other clients may have added more."""
    return all((one.get(key) or "") == (other.get(key) or "") for key in ("name", "namespace", "mac", "interface"))
