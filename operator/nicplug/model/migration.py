"""A VirtualMachineInstanceMigration, and what a VMI's status says about its current or last migration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from nicplug.model import metadata as meta
from nicplug.model.conditions import FALSE, PROGRESSING, find_condition
from nicplug.model.frozen_json import FrozenJson, freeze, read_object
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import ControllerReference, mapping, objects, text
from nicplug.model.names import (
    EVACUATION_ANNOTATION,
    MIGRATION_FINALIZER,
    VMI_KIND,
    WORKLOAD_UPDATE_ANNOTATION,
    WORKLOAD_UPDATE_PREFIX,
)
from nicplug.model.pod_record import PodRecord, parse_record, parse_target_pod
from nicplug.model.times import format_time, parse_time

# Which target pods of a migration were replaced before the hand-off: own member `targetPodRenewal` of its status.

TARGET_RENEWAL_MEMBER = "targetPodRenewal"
# Each is deleted before the next one is made; one stays in sight only while its node is away.
_LONGEST_RECORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRenewal:
    """The target pods that a migration no longer counts.

    Attributes:
        count: how many renewals have cost a target pod that could have gone on.
        waiting_since: since when the present pod counts as waiting, where that is longer than there has been one.
        replaced: the pods, oldest first.
    """

    count: int = 0
    waiting_since: datetime | None = None
    replaced: tuple[PodRecord, ...] = ()

    def without(self, uid: str) -> "TargetRenewal":
        """The VM was handed over to one of them after all."""
        kept = tuple(record for record in self.replaced if record.uid != uid)
        return TargetRenewal(count=self.count, waiting_since=self.waiting_since, replaced=kept)

    def to_row(self) -> dict[str, Any]:
        """As it stands in the status."""
        since = {"waitingSince": format_time(self.waiting_since)} if self.waiting_since is not None else {}
        pods = [{"name": record.key.name, "uid": record.uid} for record in self.replaced[-_LONGEST_RECORD:]]
        return {"count": self.count, **since, "replacedPods": pods}


def parse_target_renewal(status: Mapping[str, Any], *, namespace: str, migration_uid: str) -> TargetRenewal:
    """Read it from the status of a migration; none where no pod was ever replaced."""
    row = mapping(status.get(TARGET_RENEWAL_MEMBER))
    if not row:
        return _NONE
    count = row.get("count")
    return TargetRenewal(
        count=count if isinstance(count, int) and not isinstance(count, bool) else 0,
        waiting_since=parse_time(row.get("waitingSince")),
        replaced=tuple(_records(objects(row.get("replacedPods")), namespace=namespace, migration_uid=migration_uid)),
    )


def _records(rows: Iterable[Mapping[str, Any]], *, namespace: str, migration_uid: str) -> Iterable[PodRecord]:
    for row in list(rows)[-_LONGEST_RECORD:]:
        if (record := parse_record(row, namespace=namespace, migration_uid=migration_uid)) is not None:
            yield record


_NONE = TargetRenewal()


# Source: KubeVirt 1.9 `api/core/v1/types.go`; the predicates are those of its migration controller.

# Own, in `status`: which VMI of that name the migration was accepted for.
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
# Of a migration between clusters, or of a later KubeVirt: whoever wrote them goes on from them.
FOREIGN_MIGRATION_PHASES = frozenset(
    {MigrationPhase.WAITING_FOR_SYNC, MigrationPhase.SYNCHRONIZING, MigrationPhase.UNKNOWN}
)
# Of what anybody may write, for a sentence.
_LONGEST_PHASE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One migration.

    Attributes:
        vmi: the VMI that moves; its name is "" when the spec names none.
        owner: whom it was made for; None for one that a user made.
        owner_vmi_uid: uid of the VMI that its ownerReferences name; "" when they name none.
        spec: the whole spec.
        status: the whole status as last seen; `null` when the object has none.
        target_pod: the pod that nicplug has made for it; None while none is recorded.
        renewal: the pods that were made for it and replaced.
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
    status: FrozenJson
    owner: ControllerReference | None = None
    target_pod: PodRecord | None = None
    renewal: TargetRenewal = field(default_factory=TargetRenewal)

    def is_for(self, *, vmi_uid: str) -> bool:
        """It was made, or accepted, for this very VMI, not for an earlier one of its name; as far as is known."""
        known = {self.owner_vmi_uid, text(self.read_status().get(VMI_UID_MEMBER))} - {""}
        return known <= {vmi_uid}

    @property
    def is_automatic(self) -> bool:
        """True if a controller made it: to bring a change to a VM, or to empty a node."""
        annotations = (WORKLOAD_UPDATE_ANNOTATION, EVACUATION_ANNOTATION)
        return any(self.annotation(name) is not None for name in annotations)

    def is_workload_update(self, *, vmi_uid: str) -> bool:
        """True if nicplug made it to bring changes to that very VMI; nicplug withdraws no other one."""
        is_theirs = self.owner is not None and self.owner.uid == vmi_uid
        return (
            is_theirs
            and self.key.name.startswith(WORKLOAD_UPDATE_PREFIX)
            and self.annotation(WORKLOAD_UPDATE_ANNOTATION) is not None
        )

    @property
    def is_final(self) -> bool:
        """It has ended, well or not."""
        return self.phase in _FINAL

    @property
    def is_let_go(self) -> bool:
        """It has ended, and nothing is left to be done about its pods and its VMI."""
        return self.is_final and MIGRATION_FINALIZER not in self.finalizers

    @property
    def has_target(self) -> bool:
        """Its phase says that a target pod was made; final ones count (KubeVirt `TargetIsCreated`)."""
        return self.phase not in _WITHOUT_TARGET | FOREIGN_MIGRATION_PHASES

    @property
    def is_between_targets(self) -> bool:
        """Its target pod was taken from it, and the next one is not recorded yet."""
        return self.phase is MigrationPhase.PENDING and bool(self.renewal.replaced)

    @property
    def is_handed_off(self) -> bool:
        """Its phase says that the node agents have it; final ones count (KubeVirt `TargetIsHandedOff`)."""
        return self.phase not in _BEFORE_HAND_OFF | FOREIGN_MIGRATION_PHASES

    @property
    def progress(self) -> str:
        """What its condition `Progressing` says: who waits for whom; "" when it says nothing."""
        row = find_condition(objects(self.read_status().get("conditions")), PROGRESSING)
        return text(row.get("message")) if row is not None else ""

    @property
    def progress_reason(self) -> str:
        """The reason of its condition `Progressing`; "" when it has none."""
        row = find_condition(objects(self.read_status().get("conditions")), PROGRESSING)
        return text(row.get("reason")) if row is not None else ""

    @property
    def foreign_phase(self) -> str:
        """Its phase, as somebody has written it, if that is none of those that nicplug goes on from; "" else."""
        is_foreign = self.phase in FOREIGN_MIGRATION_PHASES
        return text(self.read_status().get("phase"))[:_LONGEST_PHASE] or str(self.phase) if is_foreign else ""

    @property
    def is_stuck(self) -> bool:
        """Its condition `Progressing` is False: it can do nothing until something changes."""
        row = find_condition(objects(self.read_status().get("conditions")), PROGRESSING)
        return row is not None and row.get("status") == FALSE

    def annotation(self, name: str) -> str | None:
        """Value of an annotation; None when there is none."""
        value = read_object(self.annotations).get(name)
        return value if isinstance(value, str) else None

    def read_spec(self) -> Mapping[str, Any]:
        """The spec, to be read only."""
        return read_object(self.spec)

    def read_status(self) -> Mapping[str, Any]:
        """The status, to be read only; empty when there is none."""
        return read_object(self.status)

    @property
    def migration_state(self) -> "MigrationState":
        """What its own status says about the move; all empty before its end."""
        return parse_migration_state(self.read_status())

    def entered_at(self, phase: MigrationPhase) -> datetime | None:
        """When it entered that phase; None when it never did, as far as its status tells."""
        rows = objects(self.read_status().get("phaseTransitionTimestamps"))
        found = (parse_time(row.get("phaseTransitionTimestamp")) for row in rows if row.get("phase") == phase)
        return next(found, None)


def parse_migration(raw: Mapping[str, Any]) -> Migration:
    """Project a VirtualMachineInstanceMigration of the API."""
    metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
    status = raw.get("status") if isinstance(raw.get("status"), Mapping) else None
    key, uid = MigrationKey(text(metadata.get("namespace")), text(metadata.get("name"))), text(metadata.get("uid"))
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
        status=freeze(status),
        owner=meta.controller_reference(metadata),
        target_pod=parse_target_pod(status or {}, namespace=key.namespace, migration_uid=uid),
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
    """`status.migrationState` of a VMI: written by the migration controller, filled by the node agents.

    Attributes:
        migration_uid: of the migration that it is about; "" when there is no state.
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
        """The node agents have been handed a migration that has not ended."""
        return bool(self.migration_uid) and not self.completed and not self.failed


_NO_STATE = MigrationState()


def parse_migration_state(status: Mapping[str, Any]) -> MigrationState:
    """Project `migrationState` of a status; all empty when there is none."""
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
