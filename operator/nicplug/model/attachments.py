"""Network attachment definitions (NADs): what is known of those that a VMI refers to, and which one a NIC has."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from nicplug.elided import ELIDED
from nicplug.model import metadata as meta
from nicplug.model.keys import AttachmentKey
from nicplug.model.metadata import mapping, text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.names import RESOURCE_NAME_ANNOTATION
from nicplug.model.networks import Network

# Network attachment definitions (NADs), and what is known about those that a VMI refers to.
#
# Source: Multus network attachment specification 1.3. A NAD without `spec.config` is whole: Multus then takes the
# configuration of that name from the node.

# One character more than what can be quoted or asked for: a longer one stays as wrong as it is, and takes no room.
_LONGEST_NAME = 254
_LONGEST_DEVICE = 318


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentDefinition:
    """One NAD, as little of it as decisions need.

    Attributes:
        problem: why its `spec.config` can attach nothing, "" when it is whole.
        digest: of `spec.config`; tells that it was changed.
        network_name: by which Multus quotes it when a plugin fails: of the configuration, or its own.
        device: the extended resource that a pod with this network needs, from Multus's annotation; "" for none.
        changed_at: when this process heard of its creation, or of another configuration or device; None for one that
            was there at the first look.
    """

    key: AttachmentKey
    uid: str
    resource_version: int = field(compare=False)
    problem: str
    digest: str
    network_name: str = ""
    device: str = ""
    changed_at: datetime | None = None


class Knowledge(Enum):
    """How much is known of NADs. Unknown is not missing: nothing may be concluded from it."""

    UNKNOWN = "unknown"
    NOT_INSTALLED = "not installed"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAttachments:
    """What is known about the NADs that one VMI refers to.

    Attributes:
        definitions: those that exist and that it may use, by key.
        access: which ones it may use; of the others nothing is known, and nothing is concluded.
    """

    knowledge: Knowledge = Knowledge.UNKNOWN
    definitions: Mapping[AttachmentKey, AttachmentDefinition] = field(default_factory=dict)
    access: AttachmentAccess = field(default_factory=AttachmentAccess)

    def is_missing(self, key: AttachmentKey) -> bool:
        """The NAD is known not to exist, though it could; asked only of one that the VMI may use."""
        return self.knowledge is Knowledge.COMPLETE and key not in self.definitions

    def definition_of(self, network: Network | None, *, namespace: str) -> AttachmentDefinition | None:
        """The NAD of a network of a VMI in `namespace`; None when it refers to none, or to one that is not known."""
        if network is None or not network.attachment:
            return None
        return self.definitions.get(attachment_key(network, namespace=namespace))


def attachment_key(network: Network, *, namespace: str) -> AttachmentKey:
    """The NAD that a Multus network of a VMI in `namespace` refers to."""
    return AttachmentKey(*network.attachment_reference(namespace=namespace))


def referenced_keys(networks: Iterable[Network], *, namespace: str) -> frozenset[AttachmentKey]:
    """The NADs that the networks of a VMI in `namespace` refer to; also that of a default network."""
    return frozenset(attachment_key(network, namespace=namespace) for network in networks if network.attachment)


def attachment_keys(networks: Iterable[Network], *, namespace: str) -> frozenset[AttachmentKey]:
    """The NADs that the secondary networks of a VMI in `namespace` refer to."""
    return frozenset(attachment_key(network, namespace=namespace) for network in networks if network.is_secondary)


def parse_attachment_definition(raw: Mapping[str, Any], *, changed_at: datetime | None) -> AttachmentDefinition:
    """Project a NAD of the API."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    config = text(spec.get("config"))
    elided = text(mapping(spec.get("config")).get(ELIDED))
    return AttachmentDefinition(
        key=AttachmentKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        problem="too large" if elided else _problem(config),
        network_name=_network_name(config)[:_LONGEST_NAME] or text(metadata.get("name")),
        digest=hashlib.sha256((elided or config).encode(errors="replace")).hexdigest()[:16],
        device=text(mapping(metadata.get("annotations")).get(RESOURCE_NAME_ANNOTATION))[:_LONGEST_DEVICE],
        changed_at=changed_at,
    )


def _network_name(config: str) -> str:
    return "" if _problem(config) or not config.strip() else text(json.loads(config).get("name"))


def _problem(config: str) -> str:
    if not config.strip():
        return ""
    try:
        parsed = json.loads(config)
    except ValueError as error:
        return f"not JSON: {error}"
    except RecursionError:
        return "not JSON: nested too deeply"
    return "" if isinstance(parsed, dict) else "not a JSON object"


# By which network attachment definition (NAD) a NIC was attached, so that a later change of the NAD can be told.
#
# Of a NIC that a pod was made with, an annotation of the pod says so; of one that was plugged into it, the NIC's
# record.


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What a definition was when a NIC was attached by it.

    Attributes:
        config_hash: of its `spec.config`.
        pod: uid of the pod that was asked for it; "" of what a pod says of itself.
    """

    uid: str
    config_hash: str
    pod: str = ""

    def is_of(self, definition: AttachmentDefinition) -> bool:
        """The definition is what it was."""
        return (self.uid, self.config_hash) == (definition.uid, definition.digest)

    def to_row(self) -> dict[str, Any]:
        """As it stands in the record."""
        return {"uid": self.uid, "configHash": self.config_hash, "pod": self.pod}


def parse_attached(value: Any) -> Attached | None:
    """Of a record; None when it does not say."""
    row = mapping(value)
    uid, config_hash = text(row.get("uid")), text(row.get("configHash"))
    return Attached(uid=uid, config_hash=config_hash, pod=text(row.get("pod"))) if uid and config_hash else None


def format_attached(definitions: Mapping[str, AttachmentDefinition]) -> str:
    """The annotation of a pod: NIC name -> `<uid>/<hash>`."""
    found = {name: f"{item.uid}/{item.digest}" for name, item in sorted(definitions.items())}
    return json.dumps(found, separators=(",", ":"))


def attached_at_birth(annotation: str) -> dict[str, Attached]:
    """By NIC, of a pod's annotation; nothing of one that cannot be read."""
    try:
        found = mapping(json.loads(annotation or "{}"))
    except (ValueError, RecursionError):
        return {}
    parts = {name: text(value).partition("/") for name, value in found.items()}
    return {name: Attached(uid=uid, config_hash=digest) for name, (uid, _, digest) in parts.items() if uid and digest}
