"""When each VMI's present spec was first seen by this process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from nicplug.model.interface_report import interfaces_hash
from nicplug.model.mode import Mode
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(slots=True, kw_only=True)
class SpecVersions:
    """The version of each cached VMI's spec: its generation, or a hash of its NICs in companion mode.

    The VMIs of KubeVirt have no subresource for the status, so that each write of it counts as a generation.
    """

    clock: Callable[[], datetime]
    mode: Mode
    _seen: dict[str, tuple[int | str, datetime]] = field(default_factory=dict)

    def note(self, vmi: VirtualMachineInstance) -> None:
        """Record a version that is new."""
        seen = self._seen.get(vmi.uid)
        version = vmi.generation if self.mode is Mode.STANDALONE else interfaces_hash(vmi.read_spec())
        if seen is None or seen[0] != version:
            self._seen[vmi.uid] = (version, self.clock())

    def seen_at(self, vmi: VirtualMachineInstance) -> datetime:
        """Return when this process first saw the present version."""
        seen = self._seen.get(vmi.uid)
        return seen[1] if seen else self.clock()

    def hash_of(self, vmi: VirtualMachineInstance) -> str:
        """Return `interfaces_hash` of a VMI, in companion mode."""
        seen = self._seen.get(vmi.uid)
        return str(seen[0]) if seen is not None else interfaces_hash(vmi.read_spec())

    def forget(self, uid: str) -> None:
        """Forget a VMI that is gone."""
        self._seen.pop(uid, None)
