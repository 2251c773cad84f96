"""What only this process knows about the pods that it has requested, until a status records them.

All of it is lost with the process; docs/adr/0019 describes how its successor recovers.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from nicplug.model.keys import PodKey
from nicplug.model.pod import PodRecord

# Each is given time to be recorded. Two leaders at the same time create two at most; the third covers a lost answer.
_MOST_UNRECORDED = 3
# Only a leader that was suspended records one of them later; it can have created only a few, which are among the first.
_MOST_DISCARDED = 16


class MadePods:
    """Pods whose creation the API server has confirmed to this process, and the obstacles to creating more.

    Obstacles are stored by the uid of the object that needs the pod: a migration for its target, else the VMI.
    """

    def __init__(self) -> None:
        self._made: defaultdict[str, dict[str, PodRecord]] = defaultdict(dict)
        self._taken: defaultdict[str, set[PodKey]] = defaultdict(set)
        self._unrecorded: defaultdict[str, dict[str, datetime]] = defaultdict(dict)
        self._discarded: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, record: PodRecord, *, vmi_uid: str) -> None:
        """Record that the API server has answered our POST with this pod."""
        self._made[vmi_uid][record.uid] = record

    def of(self, vmi_uid: str) -> tuple[PodRecord, ...]:
        """Return the pods of a VMI that no status has recorded yet."""
        return tuple(self._made[vmi_uid].values()) if vmi_uid in self._made else ()

    def note_taken(self, key: PodKey, *, needed_by: str) -> None:
        """Record that another owner's pod has the name."""
        self._taken[needed_by].add(key)

    def taken(self, needed_by: str) -> frozenset[PodKey]:
        """Return the names that cannot be used."""
        return frozenset(self._taken[needed_by]) if needed_by in self._taken else frozenset()

    def note_unrecorded(self, pod_uid: str, *, needed_by: str, now: datetime) -> None:
        """Record a pod that another leader may have created and be about to record.

        Only a few are recorded: a user who creates one after the other could keep a VM from starting.
        """
        noted = self._unrecorded[needed_by]
        if len(noted) < _MOST_UNRECORDED:
            noted.setdefault(pod_uid, now)

    def unrecorded(self, needed_by: str) -> Mapping[str, datetime]:
        """Return when unrecorded pods were first seen, by uid, until a status records one."""
        return dict(self._unrecorded[needed_by]) if needed_by in self._unrecorded else {}

    def note_discarded(self, pod_uid: str, *, vmi_uid: str) -> None:
        """Record an unrecorded pod that this process deletes; a leader that was suspended may still record it."""
        if len(self._discarded[vmi_uid]) < _MOST_DISCARDED:
            self._discarded[vmi_uid].add(pod_uid)

    def discarded(self, vmi_uid: str) -> frozenset[str]:
        """Return the uids of the discarded pods, for as long as the VMI exists."""
        return frozenset(self._discarded[vmi_uid]) if vmi_uid in self._discarded else frozenset()

    def note_recorded(self, needed_by: str, *, vmi_uid: str, uids: Iterable[str]) -> None:
        """Note that a status records these pods."""
        self._unrecorded.pop(needed_by, None)
        for uid in uids if vmi_uid in self._made else ():
            self.forget_pod(uid, vmi_uid=vmi_uid)

    def forget_pod(self, uid: str, *, vmi_uid: str) -> None:
        """Remove a deleted pod."""
        if (made := self._made.get(vmi_uid)) is None:
            return
        made.pop(uid, None)
        if not made:
            del self._made[vmi_uid]

    def forget(self, uid: str) -> None:
        """Remove a deleted VMI or migration."""
        for notes in (self._made, self._taken, self._unrecorded, self._discarded):
            notes.pop(uid, None)
