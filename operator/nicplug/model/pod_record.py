"""The record of the pods that nicplug created for a VMI, by uid, in the status of the VMI and of its migrations.

nicplug's own members, `launcherPods` and `targetPod`. Any client that creates pods chooses their names, labels and
owners; only nicplug and the node agents write these statuses, and no uid is ever reused (docs/adr/0019).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.keys import PodKey
from nicplug.model.metadata import objects, text

LAUNCHER_PODS_MEMBER = "launcherPods"
TARGET_POD_MEMBER = "targetPod"
# A VMI has two pods while it migrates. Only a status that another client wrote has more.
_LONGEST_RECORD = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """One pod that nicplug created.

    Attributes:
        migration_uid: uid of the migration that it was created for; "" for the pod that starts the guest.
        is_replaced: True if another target pod replaces it, and the VM never migrates to it.
    """

    key: PodKey
    uid: str
    migration_uid: str = ""
    is_replaced: bool = False

    def to_row(self) -> dict[str, str]:
        """Return the entry of `launcherPods`."""
        row = {"name": self.key.name, "uid": self.uid}
        return {**row, "migrationUid": self.migration_uid} if self.migration_uid else row


def parse_launcher_pods(status: Mapping[str, Any], *, namespace: str) -> tuple[PodRecord, ...] | None:
    """Return the record in a VMI's status; None if no version of nicplug that keeps one has written it."""
    rows = objects(status.get(LAUNCHER_PODS_MEMBER))[:_LONGEST_RECORD]
    found = tuple(parse_record(row, namespace=namespace, migration_uid=text(row.get("migrationUid"))) for row in rows)
    return tuple(record for record in found if record is not None) or None


def parse_record(row: Mapping[str, Any], *, namespace: str, migration_uid: str) -> PodRecord | None:
    """Parse one record; None if name or uid is missing."""
    name, uid = text(row.get("name")), text(row.get("uid"))
    if not name or not uid:
        return None
    return PodRecord(key=PodKey(namespace, name), uid=uid, migration_uid=migration_uid)
