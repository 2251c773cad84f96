"""A VirtualMachineInstanceMigration, and what a VMI's status says about its current or last migration."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import FALSE, PROGRESSING, Status
from nicplug.model.frozen_json import FrozenJson, freeze, parsed_once, read_object
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import ControllerReference, mapping, objects, text
from nicplug.model.names import (
    COMPANION_PREFIX,
    EVACUATION_ANNOTATION,
    MIGRATION_FINALIZER,
    MIGRATION_INTERFACES_ANNOTATION,
    VMI_KIND,
    WORKLOAD_UPDATE_ANNOTATION,
    WORKLOAD_UPDATE_PREFIX,
)
from nicplug.model.pod import TARGET_POD_MEMBER, PodRecord, parse_record
from nicplug.model.times import format_time, parse_time

# Which target pods of a migration were replaced before the hand-off: nicplug's own member `targetPodRenewal` of its
# status.

TARGET_RENEWAL_MEMBER = "targetPodRenewal"
# Each is deleted before the next one is created; one remains only while its node is unreachable.
_LONGEST_RECORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRenewal:
    """The target pods of a migration that no longer count.

    Attributes:
        count: how many renewals replaced a target pod that was still usable.
        waiting_since: when the wait began that counts for the current pod, if that is earlier than the pod; None
            otherwise.
        replaced: the pods, oldest first.
    """

    count: int = 0
    waiting_since: datetime | None = None
    replaced: tuple[PodRecord, ...] = ()

    def without(self, uid: str) -> "TargetRenewal":
        """Return the renewal without a pod that the VM was handed off to after all."""
        return replace(self, replaced=tuple(record for record in self.replaced if record.uid != uid))

    def to_row(self) -> dict[str, Any]:
        """Return the member of the status."""
        since = {"waitingSince": format_time(self.waiting_since)} if self.waiting_since is not None else {}
        pods = [{"name": record.key.name, "uid": record.uid} for record in self.replaced[-_LONGEST_RECORD:]]
        return {"count": self.count, **since, "replacedPods": pods}


def parse_target_renewal(status: Mapping[str, Any], *, namespace: str, migration_uid: str) -> TargetRenewal:
    """Parse it from the status of a migration; empty if no pod was ever replaced."""
    row = mapping(status.get(TARGET_RENEWAL_MEMBER))
    if not row:
        return _NONE
    count, rows = row.get("count"), objects(row.get("replacedPods"))[-_LONGEST_RECORD:]
    records = (parse_record(item, namespace=namespace, migration_uid=migration_uid) for item in rows)
    return TargetRenewal(
        count=count if isinstance(count, int) and not isinstance(count, bool) else 0,
        waiting_since=parse_time(row.get("waitingSince")),
        replaced=tuple(record for record in records if record is not None),
    )


_NONE = TargetRenewal()


# Source: KubeVirt 1.9 `api/core/v1/types.go`; the predicates are those of its migration controller.

# nicplug's own, in `status`: uid of the VMI that the migration was accepted for.
VMI_UID_MEMBER = "vmiUid"


class MigrationPhase(StrEnum):
    """`status.phase`, in order; UNSET until the controller has accepted the migration."""

    UNSET = ""
    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    SCHEDULED = "Scheduled"
    PREPARING_TARGET = "PreparingTarget"
    TARGET_READY = "TargetReady"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING_FOR_SYNC = "WaitingForSync"
    SYNCHRONIZING = "Synchronizing"
    UNKNOWN = "Unknown"


_FINAL = frozenset({MigrationPhase.SUCCEEDED, MigrationPhase.FAILED})
_WITHOUT_TARGET = frozenset({MigrationPhase.UNSET, MigrationPhase.PENDING})
_BEFORE_HAND_OFF = _WITHOUT_TARGET | {MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED}
# Phases of a migration between clusters, or of a later KubeVirt: whoever wrote them continues from them.
FOREIGN_MIGRATION_PHASES = frozenset(
    {MigrationPhase.WAITING_FOR_SYNC, MigrationPhase.SYNCHRONIZING, MigrationPhase.UNKNOWN}
)
# Prefix and annotation of the migrations that nicplug creates: in standalone mode, and beside KubeVirt.
_OWN_MARKS = (
    (WORKLOAD_UPDATE_PREFIX, WORKLOAD_UPDATE_ANNOTATION),
    (COMPANION_PREFIX, MIGRATION_INTERFACES_ANNOTATION),
)
# Any client may have written the phase; this bounds it in a sentence.
_LONGEST_PHASE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration.

    Attributes:
        vmi: the VMI to migrate; its name is "" if the spec names none.
        owner: the object that it was created for; None if a user created it.
        owner_vmi_uid: uid of the VMI that its ownerReferences name; "" if they name none.
        spec: the whole spec.
        status_text: the whole status as last seen; `null` if the object has none.
        target_pod: the pod that nicplug created for it; None while none is recorded.
        renewal: the pods that were created for it and replaced.
    """

    key: MigrationKey
    uid: str
    resource_version: int = field(compare=False)
    created: datetime | None
    deleting: bool
    finalizers: tuple[str, ...]
    labels: FrozenJson
    annotations: FrozenJson
    spec: FrozenJson
    vmi: VmiKey
    owner_vmi_uid: str
    phase: MigrationPhase
    status_text: FrozenJson
    owner: ControllerReference | None = None
    target_pod: PodRecord | None = None
    renewal: TargetRenewal = field(default_factory=TargetRenewal)

    def is_for(self, *, vmi_uid: str) -> bool:
        """Report whether it was, as far as known, created or accepted for this very VMI, not an earlier namesake."""
        known = {self.owner_vmi_uid, self.status.vmi_uid} - {""}
        return known <= {vmi_uid}

    @property
    def is_automatic(self) -> bool:
        """True if a controller created it: to bring a change to a VM, or to drain a node."""
        annotations = (WORKLOAD_UPDATE_ANNOTATION, EVACUATION_ANNOTATION, MIGRATION_INTERFACES_ANNOTATION)
        return any(self.annotation(name) is not None for name in annotations)

    def is_workload_update(self, *, vmi_uid: str) -> bool:
        """Report whether nicplug created it to bring changes to this very VMI; nicplug withdraws no other."""
        is_theirs = self.owner is not None and self.owner.uid == vmi_uid
        return is_theirs and any(
            self.key.name.startswith(prefix) and self.annotation(name) is not None for prefix, name in _OWN_MARKS
        )

    @property
    def brings_every_nic(self) -> bool:
        """True if nicplug created it beside KubeVirt: virt-controller's target pods have every NIC of the spec."""
        is_made_for_nics = self.annotation(MIGRATION_INTERFACES_ANNOTATION) is not None
        return is_made_for_nics and self.key.name.startswith(COMPANION_PREFIX)

    @property
    def is_final(self) -> bool:
        """True if it has ended, successfully or not."""
        return self.phase in _FINAL

    @property
    def is_cleaned_up(self) -> bool:
        """True if it has ended, and its pods and its VMI need no further work."""
        return self.is_final and MIGRATION_FINALIZER not in self.finalizers

    @property
    def has_target(self) -> bool:
        """True if its phase shows that a target pod was created; final ones count (KubeVirt `TargetIsCreated`)."""
        return self.phase not in _WITHOUT_TARGET | FOREIGN_MIGRATION_PHASES

    @property
    def is_between_targets(self) -> bool:
        """True if its target pod was replaced, and the next one is not recorded yet."""
        return self.phase is MigrationPhase.PENDING and bool(self.renewal.replaced)

    @property
    def is_handed_off(self) -> bool:
        """True if its phase shows that the node agents have it; final ones count (KubeVirt `TargetIsHandedOff`)."""
        return self.phase not in _BEFORE_HAND_OFF | FOREIGN_MIGRATION_PHASES

    @property
    def progress(self) -> str:
        """The message of its condition `Progressing`: what it waits for; "" if there is none."""
        return self.status.condition(PROGRESSING).message

    @property
    def progress_reason(self) -> str:
        """The reason of its condition `Progressing`; "" if there is none."""
        return self.status.condition(PROGRESSING).reason

    @property
    def foreign_phase(self) -> str:
        """Its phase as written, if nicplug does not continue from it; otherwise ""."""
        is_foreign = self.phase in FOREIGN_MIGRATION_PHASES
        written = text(self.status.members.get("phase"))[:_LONGEST_PHASE]
        return written or str(self.phase) if is_foreign else ""

    @property
    def is_stuck(self) -> bool:
        """True if its condition `Progressing` is False: it cannot proceed until something changes."""
        return self.status.condition(PROGRESSING).status == FALSE

    def annotation(self, name: str) -> str | None:
        """Return the value of an annotation; None if there is none."""
        value = read_object(self.annotations).get(name)
        return value if isinstance(value, str) else None

    def read_spec(self) -> Mapping[str, Any]:
        """Return the spec, read-only."""
        return read_object(self.spec)

    @property
    def status(self) -> "MigrationStatus":
        """The status, parsed; empty if there is none."""
        return _parse_status(self.status_text)

    @property
    def migration_state(self) -> "MigrationState":
        """What its own status says about the migration; all empty until it ends."""
        return self.status.migration_state

    def entered_at(self, phase: MigrationPhase) -> datetime | None:
        """Return when it entered that phase; None if it never did, as far as its status shows."""
        return self.status.phase_times.get(phase)


class MigrationStatus(Status):
    """The status of a migration."""

    @property
    def vmi_uid(self) -> str:
        """Uid of the VMI that it was accepted for; "" if none is recorded."""
        return text(self.members.get(VMI_UID_MEMBER))

    @cached_property
    def migration_state(self) -> "MigrationState":
        """What it says about the migration; all empty until it ends."""
        return parse_migration_state(self.members)


_parse_status = parsed_once(MigrationStatus)


def parse_migration(raw: Mapping[str, Any]) -> Migration:
    """Parse a VirtualMachineInstanceMigration from the API."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    status = raw.get("status") if isinstance(raw.get("status"), Mapping) else None
    key, uid = MigrationKey(text(metadata.get("namespace")), text(metadata.get("name"))), text(metadata.get("uid"))
    target = mapping(mapping(status).get(TARGET_POD_MEMBER))
    return Migration(
        key=key,
        uid=uid,
        resource_version=meta.resource_version(metadata),
        created=meta.creation_time(metadata),
        deleting=meta.is_deleting(metadata),
        finalizers=meta.finalizers(metadata),
        labels=freeze(mapping(metadata.get("labels"))),
        annotations=freeze(mapping(metadata.get("annotations"))),
        spec=freeze(spec),
        vmi=VmiKey(key.namespace, text(spec.get("vmiName"))),
        owner_vmi_uid=_owner_vmi_uid(metadata),
        phase=_phase(mapping(status).get("phase")),
        status_text=freeze(status),
        owner=meta.controller_reference(metadata),
        target_pod=parse_record(target, namespace=key.namespace, migration_uid=uid),
        renewal=parse_target_renewal(status or {}, namespace=key.namespace, migration_uid=uid),
    )


def _owner_vmi_uid(metadata: Mapping[str, Any]) -> str:
    owners = objects(metadata.get("ownerReferences"))
    return next((text(owner.get("uid")) for owner in owners if owner.get("kind") == VMI_KIND), "")


def _phase(value: Any) -> MigrationPhase:
    try:
        return MigrationPhase(value or "")
    except ValueError:
        return MigrationPhase.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationState:
    """`status.migrationState` of a VMI: written by the migration controller, completed by the node agents.

    Attributes:
        migration_uid: uid of the migration that it describes; "" if there is no state.
        target_ready_at: when the guest was seen running on the target.
    """

    migration_uid: str = ""
    source_node: str = ""
    source_pod: str = ""
    target_node: str = ""
    target_pod: str = ""
    target_address: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    target_ready_at: datetime | None = None
    completed: bool = False
    failed: bool = False
    failure_reason: str = ""
    abort_requested: bool = False

    @property
    def is_active(self) -> bool:
        """True if the node agents have a migration that has not ended."""
        return bool(self.migration_uid) and not self.completed and not self.failed


_NO_STATE = MigrationState()


def parse_migration_state(status: Mapping[str, Any]) -> MigrationState:
    """Parse `migrationState` of a status; all empty if there is none."""
    state = mapping(status.get("migrationState"))
    if not state:
        return _NO_STATE
    return MigrationState(
        migration_uid=text(state.get("migrationUid")),
        source_node=text(state.get("sourceNode")),
        source_pod=text(state.get("sourcePod")),
        target_node=text(state.get("targetNode")),
        target_pod=text(state.get("targetPod")),
        target_address=text(state.get("targetNodeAddress")),
        started_at=parse_time(state.get("startTimestamp")),
        ended_at=parse_time(state.get("endTimestamp")),
        target_ready_at=parse_time(state.get("targetNodeDomainReadyTimestamp")),
        completed=state.get("completed") is True,
        failed=state.get("failed") is True,
        failure_reason=text(state.get("failureReason")),
        abort_requested=state.get("abortRequested") is True,
    )
