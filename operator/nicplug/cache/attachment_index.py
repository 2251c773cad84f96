"""Index of the VMIs to reconcile when a network attachment definition changes, by their own spec or by their VM's."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from nicplug.model.attachments import referenced_keys
from nicplug.model.keys import AttachmentKey, VmiKey
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance

_NONE: frozenset[AttachmentKey] = frozenset()


@dataclass(slots=True)
class AttachmentIndex:
    """References to NADs in VMI specs and VM templates, indexed by NAD and by VMI.

    References that only the template has count as well: the records of the VMI include those NICs.
    """

    _vmis: defaultdict[AttachmentKey, set[VmiKey]] = field(default_factory=lambda: defaultdict(set))
    _of_spec: dict[VmiKey, frozenset[AttachmentKey]] = field(default_factory=dict)
    _of_template: dict[VmiKey, frozenset[AttachmentKey]] = field(default_factory=dict)

    def put(self, vmi: VirtualMachineInstance) -> None:
        """Index the current references of a VMI."""
        self._put(vmi.key, referenced_keys(vmi.networks, namespace=vmi.key.namespace), self._of_spec)

    def put_template(self, vm: VirtualMachine) -> None:
        """Index the current references of a VM's template."""
        key = VmiKey(vm.key.namespace, vm.key.name)
        self._put(key, referenced_keys(vm.networks, namespace=key.namespace), self._of_template)

    def drop(self, vmi: VirtualMachineInstance) -> None:
        """Remove a deleted VMI."""
        self._put(vmi.key, _NONE, self._of_spec)

    def drop_template(self, vm: VirtualMachine) -> None:
        """Remove a deleted VM."""
        self._put(VmiKey(vm.key.namespace, vm.key.name), _NONE, self._of_template)

    def referring(self, attachments: Iterable[AttachmentKey] | None, *, access: AttachmentAccess) -> tuple[VmiKey, ...]:
        """Return the VMIs that refer to one of these NADs and may use it; None: any NAD, allowed or not.

        Includes stopped VMs, by the name that their VMI would have.
        """
        if attachments is None:
            return tuple(dict.fromkeys(key for item in self._vmis for key in sorted(self._vmis[item])))
        found = ((item, key) for item in attachments for key in sorted(self._vmis.get(item, ())))
        return tuple(dict.fromkeys(key for item, key in found if access.allows(item, namespace=key.namespace)))

    def _put(
        self, key: VmiKey, present: frozenset[AttachmentKey], side: dict[VmiKey, frozenset[AttachmentKey]]
    ) -> None:
        """Replace the references of one side, spec or template; references that the other side has as well stay."""
        before = side.get(key, _NONE)
        if present == before:
            return
        other = (self._of_template if side is self._of_spec else self._of_spec).get(key, _NONE)
        for attachment in before - present - other:
            self._forget(key, attachment)
        for attachment in present - before:
            self._vmis[attachment].add(key)
        if present:
            # Both sides mostly refer to the same NADs; share one set.
            side[key] = other if other == present else present
        else:
            side.pop(key, None)

    def _forget(self, key: VmiKey, attachment: AttachmentKey) -> None:
        self._vmis[attachment].discard(key)
        if not self._vmis[attachment]:
            del self._vmis[attachment]
