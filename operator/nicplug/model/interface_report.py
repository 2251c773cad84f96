"""An InterfaceReport: in companion mode, nicplug's records of the NICs of one VM, whose own status is KubeVirt's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import Status
from nicplug.model.frozen_json import FrozenJson, freeze, parsed_once, read_object
from nicplug.model.keys import ReportKey
from nicplug.model.metadata import ControllerReference, mapping, objects, sequence, text
from nicplug.model.names import MANAGED_BY, MANAGED_BY_LABEL, VM_KIND, VMI_KIND

REPORT_API_VERSION = "nicplug.io/v1alpha1"
REPORT_KIND = "InterfaceReport"
_HASH_DIGITS = 12
# The schema's int64; a client may have written any number into the status.
_LAST_GENERATION = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceReport:
    """One report.

    Attributes:
        owner: the VM, or the bare VMI; None if somebody removed the reference.
        labels: all of them; `null` for none.
        owners: all ownerReferences; `null` for none.
        vm_uid: uid of the VM that it is about; "" for none.
        vmi_uid: uid of the instance that the records are about; "" for none.
        interfaces_hash: `interfaces_hash` of that instance at the last write.
        interfaces_generation: how often that hash has changed, plus one; 0 if that is unknown.
        status_text: the whole status as last seen; `null` if the object has none.
    """

    key: ReportKey
    uid: str
    resource_version: int = field(compare=False)
    deleting: bool
    owner: ControllerReference | None
    labels: FrozenJson
    owners: FrozenJson
    vm_uid: str
    vmi_uid: str
    interfaces_hash: str
    interfaces_generation: int
    status_text: FrozenJson

    @property
    def status(self) -> Status:
        """The status, parsed; empty if there is none."""
        return _parse_status(self.status_text)

    @property
    def is_labelled(self) -> bool:
        """True if it has the label by which it is found."""
        return bool(read_object(self.labels).get(MANAGED_BY_LABEL) == MANAGED_BY)

    @property
    def is_garbage_collected(self) -> bool:
        """True if Kubernetes removes it together with the VM or VMI of its name."""
        owner = self.owner
        return owner is not None and owner.kind in (VM_KIND, VMI_KIND) and owner.name == self.key.name

    def generation_of(self, *, vmi_uid: str, digest: str) -> int:
        """Return the generation of the NICs of an instance: the VMI's own also counts writes of its status.

        Args:
            digest: `interfaces_hash` of the instance.
        """
        if self.vmi_uid != vmi_uid or not self.interfaces_generation:
            return 1
        return self.interfaces_generation + (self.interfaces_hash != digest)


_parse_status = parsed_once(Status)


def parse_report(raw: Mapping[str, Any]) -> InterfaceReport:
    """Parse an InterfaceReport from the API."""
    metadata = mapping(raw.get("metadata"))
    status = raw.get("status") if isinstance(raw.get("status"), Mapping) else None
    return InterfaceReport(
        key=ReportKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        deleting=meta.is_deleting(metadata),
        owner=meta.controller_reference(metadata),
        labels=freeze(metadata.get("labels")),
        owners=freeze(metadata.get("ownerReferences")),
        vm_uid=text(mapping(status).get("vmUid")),
        vmi_uid=text(mapping(status).get("vmiUid")),
        interfaces_hash=text(mapping(status).get("interfacesHash")),
        interfaces_generation=_generation(mapping(status).get("interfacesGeneration")),
        status_text=freeze(status),
    )


def _generation(value: Any) -> int:
    """Return a generation that can still rise; 0 for anything else, so that it begins again."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 < value < _LAST_GENERATION else 0


def interfaces_hash(spec: Mapping[str, Any]) -> str:
    """Return 12 hex digits that identify the NICs of a VMI's spec: its networks and interfaces.

    `nicplug wait` compares it, as the generation of a VMI of KubeVirt's rises with every write of its status.
    """
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    nics = [list(objects(spec.get("networks"))), list(sequence(devices.get("interfaces")))]
    canonical = json.dumps(nics, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH_DIGITS]
