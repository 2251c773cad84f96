"""What this process alone knows of the pods that it has asked for, until a status records them.

All of it is lost with the process; docs/adr/0019 says what its successor does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from nicplug.model.keys import PodKey
from nicplug.model.pod_record import PodRecord

# Each is given time for its record. Two leaders that meet make two at most, and a third covers a lost answer.
_MOST_UNRECORDED = 3
# Only a leader that was held up records one of them later, and the few that it can have made are among the first.
_MOST_DISCARDED = 16


class MadePods:
    """Pods whose creation the API server has confirmed to this process, and what stood in its way.

    What stands in the way is kept by the uid of whatever needs the pod: a migration for its target, else the VMI.
    """

    def __init__(self) -> None:
        self._made: defaultdict[str, dict[str, PodRecord]] = defaultdict(dict)
        self._taken: defaultdict[str, set[PodKey]] = defaultdict(set)
        self._unrecorded: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        self._discarded: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, record: PodRecord, *, vmi_uid: str) -> None:
        """The API server has answered our POST with this pod."""
        self._made[vmi_uid][record.uid] = record

    def of(self, vmi_uid: str) -> tuple[PodRecord, ...]:
        """Those of a VMI that are still to be recorded."""
        return tuple(self._made[vmi_uid].values()) if vmi_uid in self._made else ()

    def note_taken(self, key: PodKey, *, needed_by: str) -> None:
        """A pod that is not ours has the name."""
        self._taken[needed_by].add(key)

    def taken(self, needed_by: str) -> frozenset[PodKey]:
        """Names that cannot be used."""
        return frozenset(self._taken[needed_by]) if needed_by in self._taken else frozenset()

    def note_unrecorded(self, pod_uid: str, *, needed_by: str, now: datetime) -> None:
        """There is a pod that another leader may have made, and be about to record.

        Only a few are noted: anyone who makes one after the other would keep a VM from starting.
        """
        noted = self._unrecorded[needed_by]
        if len(noted) < _MOST_UNRECORDED:
            noted.setdefault(pod_uid, now)

    def unrecorded(self, needed_by: str) -> Mapping[str, datetime]:
        """When such pods were first heard of, by uid; until one is recorded."""
        return dict(self._unrecorded[needed_by]) if needed_by in self._unrecorded else {}

    def note_discarded(self, pod_uid: str, *, vmi_uid: str) -> None:
        """This process deletes a pod that no status records; a leader that was held up may still record it."""
        if len(self._discarded[vmi_uid]) < _MOST_DISCARDED:
            self._discarded[vmi_uid].add(pod_uid)

    def discarded(self, vmi_uid: str) -> frozenset[str]:
        """The uids of such pods; for as long as there is the VMI."""
        return frozenset(self._discarded[vmi_uid]) if vmi_uid in self._discarded else frozenset()

    def note_recorded(self, needed_by: str, *, vmi_uid: str, uids: Iterable[str]) -> None:
        """A status names these pods."""
        self._unrecorded.pop(needed_by, None)
        for uid in uids if vmi_uid in self._made else ():
            self.forget_pod(uid, vmi_uid=vmi_uid)

    def forget_pod(self, uid: str, *, vmi_uid: str) -> None:
        """The pod is gone for good."""
        if (made := self._made.get(vmi_uid)) is None:
            return
        made.pop(uid, None)
        if not made:
            del self._made[vmi_uid]

    def forget(self, uid: str) -> None:
        """A VMI or a migration is gone."""
        for notes in (self._made, self._taken, self._unrecorded, self._discarded):
            notes.pop(uid, None)
