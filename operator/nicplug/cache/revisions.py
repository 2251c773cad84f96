"""Cache of the ControllerRevisions of VirtualMachines: their owners, and the revision that a VMI was started from."""

from nicplug.cache.owner_index import OwnerIndex
from nicplug.cache.store import Change, Store
from nicplug.model.keys import RevisionKey, VmKey
from nicplug.model.names import VM_KIND
from nicplug.model.revision import VmRevision, name_of_start_revision
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance


class Revisions:
    """A store with an index by the controlling VM's uid.

    Attributes:
        store: the records; the index follows every removal from it.
    """

    def __init__(self) -> None:
        self._owned: OwnerIndex[VmRevision] = OwnerIndex(owner_kind=VM_KIND)
        self.store: Store[VmRevision] = Store(on_forget=self._owned.drop)

    def put(self, revision: VmRevision) -> Change[VmRevision] | None:
        """Store the current version of a revision; returns the change, or None."""
        before = self.store.get(revision.key)
        change = self.store.put(revision)
        if self.store.get(revision.key) is revision:
            if before is not None:
                self._owned.drop(before)
            self._owned.add(revision)
        return change

    def of(self, vm: VirtualMachine) -> tuple[VmRevision, ...]:
        """Return the revisions controlled by this VM (same uid)."""
        return self._owned.of(vm.key, uid=vm.uid)

    def start_of(self, vmi: VirtualMachineInstance) -> VmRevision | None:
        """Return the revision that the VMI was started from, if the VMI's owner controls it."""
        name = name_of_start_revision(vmi)
        revision = self.store.get(RevisionKey(vmi.key.namespace, name)) if name else None
        owner = self._owned.owner_of(revision) if revision is not None else None
        return revision if owner is not None and vmi.owner is not None and owner.uid == vmi.owner.uid else None

    def vms(self, change: Change[VmRevision] | None) -> list[VmKey]:
        """Return the VMs whose revisions have changed."""
        if change is None:
            return []
        owners = [(revision.key.namespace, self._owned.owner_of(revision)) for revision in change.records]
        return list(dict.fromkeys(VmKey(namespace, owner.name) for namespace, owner in owners if owner is not None))
