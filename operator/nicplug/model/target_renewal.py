"""Which target pods of a migration were replaced before the hand-off: own member `targetPodRenewal` of its status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.metadata import mapping, objects
from nicplug.model.pod_record import PodRecord, parse_record
from nicplug.model.times import format_time, parse_time

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
