"""Which VMIs refer to a network attachment definition."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from nicplug.model.attachments import referenced_keys
from nicplug.model.keys import AttachmentKey, VmiKey
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(slots=True)
class AttachmentIndex:
    """References of VMI specs, by the definition and by the VMI."""

    _vmis: defaultdict[AttachmentKey, set[VmiKey]] = field(default_factory=lambda: defaultdict(set))
    _attachments: dict[VmiKey, frozenset[AttachmentKey]] = field(default_factory=dict)

    def put(self, vmi: VirtualMachineInstance) -> None:
        """The VMI as it is now."""
        present = referenced_keys(vmi.networks, namespace=vmi.key.namespace)
        before = self._attachments.get(vmi.key, frozenset())
        if present == before:
            return
        self._forget(vmi.key, before - present)
        for attachment in present:
            self._vmis[attachment].add(vmi.key)
        self._attachments[vmi.key] = present

    def drop(self, vmi: VirtualMachineInstance) -> None:
        """The VMI is gone."""
        self._forget(vmi.key, self._attachments.pop(vmi.key, frozenset()))

    def referring(self, attachments: Iterable[AttachmentKey] | None, *, access: AttachmentAccess) -> tuple[VmiKey, ...]:
        """The VMIs that refer to one of these and may use it; None for any at all, whether they may use it or not."""
        if attachments is None:
            return tuple(dict.fromkeys(key for item in self._vmis for key in sorted(self._vmis[item])))
        found = ((item, key) for item in attachments for key in sorted(self._vmis.get(item, ())))
        return tuple(dict.fromkeys(key for item, key in found if access.allows(item, namespace=key.namespace)))

    def _forget(self, key: VmiKey, attachments: Iterable[AttachmentKey]) -> None:
        for attachment in attachments:
            self._vmis[attachment].discard(key)
            if not self._vmis[attachment]:
                del self._vmis[attachment]
