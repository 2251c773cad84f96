"""A VirtualMachineInstance, reduced to what nicplug reads."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import LIVE_MIGRATABLE, Status
from nicplug.model.eviction import EvictionStrategy, parse_strategy
from nicplug.model.frozen_json import FrozenJson, freeze, parsed_once, read_object
from nicplug.model.hotplug_policy import Overrides, parse_overrides
from nicplug.model.interface_status import DOMAIN, InterfaceRow, has_go_ahead, has_source, rows_by_name
from nicplug.model.keys import VmiKey
from nicplug.model.metadata import ControllerReference, mapping, objects, text
from nicplug.model.migration import MigrationState, parse_migration_state
from nicplug.model.names import (
    NODE_NAME_LABEL,
    ROLLED_BACK_ANNOTATION,
    TEMPLATE_INTERFACES_ANNOTATION,
    VM_GENERATION_ANNOTATION,
)
from nicplug.model.networks import Interface, Network, parse_interfaces, parse_networks
from nicplug.model.nic_annotations import parse_origin, parse_rolled_back
from nicplug.model.node import parse_placement
from nicplug.model.operations import InterfaceOperation, parse_operations
from nicplug.model.pci import PciTopology, parse_topology
from nicplug.model.pod import PodRecord, parse_launcher_pods


class VmiPhase(StrEnum):
    """`status.phase`; UNSET until the first status write."""

    UNSET = ""
    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING_FOR_SYNC = "WaitingForSync"
    UNKNOWN = "Unknown"


_LONGEST_LABEL = 63
_ID_DIGITS = 8

FINAL_PHASES = frozenset({VmiPhase.SUCCEEDED, VmiPhase.FAILED})
UNPROCESSED_PHASES = frozenset({VmiPhase.UNSET, VmiPhase.PENDING})
# Phases of a migration between clusters, or of a later KubeVirt: whoever wrote them continues from them.
FOREIGN_PHASES = frozenset({VmiPhase.WAITING_FOR_SYNC, VmiPhase.UNKNOWN})


class VmiStatus(Status):
    """The status of a VMI."""

    @cached_property
    def interface_rows(self) -> list[Mapping[str, Any]]:
        """`status.interfaces` as read."""
        return objects(self.members.get("interfaces"))

    @cached_property
    def interfaces(self) -> Mapping[str, InterfaceRow]:
        """The rows of `status.interfaces` that have a name, by that."""
        return rows_by_name(self.interface_rows)

    @cached_property
    def in_guest(self) -> frozenset[str]:
        """The NICs in the guest, as the node agent reports."""
        return frozenset(name for name, row in self.interfaces.items() if has_source(row, DOMAIN))

    @cached_property
    def given(self) -> frozenset[str]:
        """The NICs in the guest, and those with a go-ahead, which its node agent may plug at any moment."""
        return frozenset(name for name, row in self.interfaces.items() if has_go_ahead(row))

    @cached_property
    def records_as_written(self) -> dict[str, InterfaceOperation]:
        """The records of NICs by name; timestamps may be in the future, as missing ones are."""
        return parse_operations(objects(self.members.get("interfaceOperations")))

    def records(self, *, now: datetime) -> dict[str, InterfaceOperation]:
        """Return the records of NICs by name; timestamps that are missing or in the future become `now`."""
        return {name: record.not_after(now) for name, record in self.records_as_written.items()}

    @property
    def reason(self) -> str:
        """Why the VMI lost its launcher pod."""
        return text(self.members.get("reason"))

    @property
    def start_revision(self) -> str:
        """Name of the revision of its VM that it was started from; "" if none is recorded."""
        return text(self.members.get("virtualMachineRevisionName"))

    @property
    def pci_total(self) -> int | None:
        """How many PCI slots the guest has for NICs; None if they were never counted."""
        value = mapping(self.members.get("pciBudget")).get("total")
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualMachineInstance:
    """One VMI.

    Attributes:
        spec: the whole spec, from which launcher pods are rendered.
        status_text: the whole status as last seen; `null` if the object has none.
        started_from_generation: generation of the VM at its start, from the annotation; "" for a bare VMI.
        template_interfaces: names of the NICs that came from the VM's template; None if unknown.
        rolled_back: the NICs that were rolled back, and what their owner had written then.
        overrides: the annotations that override the policy for hot-plug.
        owner: its controlling owner; None if it has none.
        has_owners: True if `ownerReferences` is not empty, whether or not one of them controls it.
        launcher_pods: the pods that nicplug created for it; None if no version that records them has written it.
        active_pods: uids of its pods as KubeVirt counts them: the only uids of pods in the status before nicplug kept a
            record.
        migration_state: what the status says about its current or last migration.
        placement: the members of the spec that determine where its pods may run.
        topology: the PCI slots of its guest; None if NICs use none, or if unknown.
        stored_bytes: its size in the API if it is large; otherwise 0.
        eviction_strategy: its own; None if the cluster's applies.
        is_migratable: True if its condition `LiveMigratable` is True.
        evacuation_node: the node that an eviction requires it to leave; "" for none.
    """

    key: VmiKey
    uid: str
    resource_version: int = field(compare=False)
    generation: int
    created: datetime | None
    deleting: bool
    finalizers: tuple[str, ...]
    labels: FrozenJson
    annotations: FrozenJson
    node_label: str
    started_from_generation: str
    template_interfaces: frozenset[str] | None
    rolled_back: Mapping[str, str]
    overrides: Overrides
    owner: ControllerReference | None
    has_owners: bool
    spec: FrozenJson
    interfaces: tuple[Interface, ...]
    networks: tuple[Network, ...]
    phase: VmiPhase
    node_name: str
    status_text: FrozenJson
    launcher_pods: tuple[PodRecord, ...] | None = None
    active_pods: frozenset[str] = frozenset()
    migration_state: MigrationState
    placement: FrozenJson
    topology: PciTopology | None
    stored_bytes: int = field(default=0, compare=False)
    eviction_strategy: EvictionStrategy | None = None
    is_migratable: bool = False
    evacuation_node: str = ""

    @property
    def is_final(self) -> bool:
        """True if the guest has ended and will not start again under this uid."""
        return self.phase in FINAL_PHASES

    @property
    def is_unprocessed(self) -> bool:
        """True if no launcher pod has been accepted yet."""
        return self.phase in UNPROCESSED_PHASES

    def read_spec(self) -> Mapping[str, Any]:
        """Return the spec, read-only."""
        return read_object(self.spec)

    @property
    def status(self) -> VmiStatus:
        """The status, parsed; empty if there is none."""
        return _parse_status(self.status_text)

    def read_annotations(self) -> Mapping[str, Any]:
        """Return the annotations, read-only."""
        return read_object(self.annotations)


_parse_status = parsed_once(VmiStatus)


def own_vmi(vmi: VirtualMachineInstance | None, *, vm_uid: str) -> VirtualMachineInstance | None:
    """Return the VMI if that very VM controls it: one of the VM's name may belong to another."""
    return vmi if vmi is not None and vmi.owner is not None and vmi.owner.uid == vm_uid else None


def _has_same_spec(raw: Mapping[str, Any], known: VirtualMachineInstance) -> bool:
    texts = (known.spec,)
    return meta.has_same_spec(raw, uid=known.uid, generation_=known.generation, bytes_=known.stored_bytes, texts=texts)


def parse_vmi(raw: Mapping[str, Any], *, known: VirtualMachineInstance | None = None) -> VirtualMachineInstance:
    """Parse a VMI from the API.

    Args:
        known: an earlier version, if any; its spec is reused if it is unchanged.
    """
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    same = known if known is not None and _has_same_spec(raw, known) else None
    labels, annotations = mapping(metadata.get("labels")), mapping(metadata.get("annotations"))
    status = raw.get("status") if isinstance(raw.get("status"), Mapping) else None
    return VirtualMachineInstance(
        key=VmiKey(text(metadata.get("namespace")), text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=meta.resource_version(metadata),
        generation=meta.generation(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        finalizers=meta.finalizers(metadata),
        labels=freeze(labels),
        annotations=freeze(annotations),
        node_label=text(labels.get(NODE_NAME_LABEL)),
        started_from_generation=text(annotations.get(VM_GENERATION_ANNOTATION)),
        template_interfaces=parse_origin(text(annotations.get(TEMPLATE_INTERFACES_ANNOTATION))),
        rolled_back=parse_rolled_back(text(annotations.get(ROLLED_BACK_ANNOTATION))),
        overrides=parse_overrides(annotations),
        owner=meta.controller_reference(metadata),
        has_owners=bool(meta.sequence(metadata.get("ownerReferences"))),
        spec=same.spec if same else freeze(spec),
        interfaces=same.interfaces if same else parse_interfaces(spec),
        networks=same.networks if same else parse_networks(spec),
        phase=_phase(mapping(status).get("phase")),
        node_name=text(mapping(status).get("nodeName")),
        status_text=freeze(status),
        launcher_pods=parse_launcher_pods(status or {}, namespace=text(metadata.get("namespace"))),
        active_pods=frozenset(mapping(mapping(status).get("activePods"))),
        migration_state=parse_migration_state(mapping(status)),
        placement=same.placement if same else parse_placement(spec),
        topology=parse_topology(spec, annotations),
        stored_bytes=meta.stored_bytes(raw),
        eviction_strategy=parse_strategy(spec.get("evictionStrategy")),
        is_migratable=Status(mapping(status)).is_true(LIVE_MIGRATABLE),
        evacuation_node=text(mapping(status).get("evacuationNodeName")),
    )


def _phase(value: Any) -> VmiPhase:
    try:
        return VmiPhase(value or "")
    except ValueError:
        return VmiPhase.UNKNOWN


def vmi_id(name: str) -> str:
    """Return the name of a VMI as the value of a label: truncated and made unique if it is too long for one.

    Source: KubeVirt 1.9 `pkg/apimachinery`, `CalculateVirtualMachineInstanceID`.
    """
    if len(name) <= _LONGEST_LABEL:
        return name
    digits = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:_ID_DIGITS]
    return f"{name[: _LONGEST_LABEL - _ID_DIGITS - 1]}-{digits}"
