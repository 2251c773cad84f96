"""Network attachment definitions (NADs): what is known about those that a VMI refers to, and which one a NIC has."""

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
from nicplug.model.metadata import json_in, mapping, text
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.names import RESOURCE_NAME_ANNOTATION
from nicplug.model.networks import Network

# Source: Multus network attachment specification 1.3. A NAD without `spec.config` is valid: Multus then takes the
# configuration of that name from the node.

# One character more than the longest valid value: a longer one is truncated to this, stays invalid and uses no memory.
_LONGEST_NAME = 254
_LONGEST_DEVICE = 318


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentDefinition:
    """One NAD, reduced to what decisions need.

    Attributes:
        problem: why its `spec.config` cannot attach anything; "" if it is valid.
        digest: digest of `spec.config`; changes with it.
        network_name: the name that Multus quotes when a plugin fails: that of the configuration, or the NAD's own.
        device: the extended resource that a pod with this network needs, from Multus's annotation; "" for none.
        changed_at: when this process learned of its creation, or of a change of its configuration or device; None if it
            existed when this process first listed NADs.
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
    """How much is known about NADs. Unknown does not mean missing: no conclusion may be drawn from it."""

    UNKNOWN = "unknown"
    NOT_INSTALLED = "not installed"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAttachments:
    """What is known about the NADs that one VMI refers to.

    Attributes:
        definitions: the NADs that exist and that the VMI may use, by key.
        access: which NADs the VMI may use; nothing is known or concluded about any other.
    """

    knowledge: Knowledge = Knowledge.UNKNOWN
    definitions: Mapping[AttachmentKey, AttachmentDefinition] = field(default_factory=dict)
    access: AttachmentAccess = field(default_factory=AttachmentAccess)

    def is_missing(self, key: AttachmentKey) -> bool:
        """Report whether the NAD is known not to exist, though it could; only for a NAD that the VMI may use."""
        return self.knowledge is Knowledge.COMPLETE and key not in self.definitions

    def definition_of(self, network: Network | None, *, namespace: str) -> AttachmentDefinition | None:
        """Return the NAD of a network of a VMI in `namespace`; None if it refers to none, or to an unknown one."""
        if network is None or not network.attachment:
            return None
        return self.definitions.get(attachment_key(network, namespace=namespace))


def attachment_key(network: Network, *, namespace: str) -> AttachmentKey:
    """Return the key of the NAD that a Multus network of a VMI in `namespace` refers to."""
    return AttachmentKey(*network.attachment_reference(namespace=namespace))


def referenced_keys(networks: Iterable[Network], *, namespace: str) -> frozenset[AttachmentKey]:
    """Return the NADs that the networks of a VMI in `namespace` refer to, including that of a default network."""
    return frozenset(attachment_key(network, namespace=namespace) for network in networks if network.attachment)


def parse_attachment_definition(raw: Mapping[str, Any], *, changed_at: datetime | None) -> AttachmentDefinition:
    """Parse a NAD from the API."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    config = text(spec.get("config"))
    elided, problem = text(mapping(spec.get("config")).get(ELIDED)), _problem(config)
    named = text(json.loads(config).get("name")) if config.strip() and not problem else ""
    return AttachmentDefinition(
        key=AttachmentKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        problem="too large" if elided else problem,
        network_name=named[:_LONGEST_NAME] or text(metadata.get("name")),
        digest=hashlib.sha256((elided or config).encode(errors="replace")).hexdigest()[:16],
        device=text(mapping(metadata.get("annotations")).get(RESOURCE_NAME_ANNOTATION))[:_LONGEST_DEVICE],
        changed_at=changed_at,
    )


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


# Which network attachment definition (NAD) a NIC was attached with, so that a later change of the NAD can be detected.
#
# For a NIC that the pod was created with, an annotation of the pod records it; for a hot-plugged NIC, the NIC's record.


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """The version of a definition that a NIC was attached with.

    Attributes:
        config_hash: hash of its `spec.config`.
        pod: uid of the pod whose networks annotation requested it; "" if the pod itself records it.
    """

    uid: str
    config_hash: str
    pod: str = ""

    def is_of(self, definition: AttachmentDefinition) -> bool:
        """Report whether the definition is unchanged since."""
        return (self.uid, self.config_hash) == (definition.uid, definition.digest)

    def to_row(self) -> dict[str, Any]:
        """Return the entry for the NIC's record."""
        return {"uid": self.uid, "configHash": self.config_hash, "pod": self.pod}


def parse_attached(value: Any) -> Attached | None:
    """Parse the entry of a NIC's record; None if it has none."""
    row = mapping(value)
    uid, config_hash = text(row.get("uid")), text(row.get("configHash"))
    return Attached(uid=uid, config_hash=config_hash, pod=text(row.get("pod"))) if uid and config_hash else None


def format_attached(definitions: Mapping[str, AttachmentDefinition]) -> str:
    """Return the annotation of a pod: NIC name -> `<uid>/<hash>`."""
    found = {name: f"{item.uid}/{item.digest}" for name, item in sorted(definitions.items())}
    return json.dumps(found, separators=(",", ":"))


def attached_at_birth(annotation: str) -> dict[str, Attached]:
    """Parse a pod's annotation, by NIC; empty if it cannot be read."""
    parts = {name: text(value).partition("/") for name, value in mapping(json_in(annotation)).items()}
    return {name: Attached(uid=uid, config_hash=digest) for name, (uid, _, digest) in parts.items() if uid and digest}
