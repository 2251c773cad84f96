"""Keys of objects. Each kind has its own type, so that the name of a VM never looks up a pod."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class VmKey(ObjectKey):
    """Key of a VirtualMachine."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class VmiKey(ObjectKey):
    """Key of a VirtualMachineInstance."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class MigrationKey(ObjectKey):
    """Key of a VirtualMachineInstanceMigration."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class PodKey(ObjectKey):
    """Key of a launcher pod."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class RevisionKey(ObjectKey):
    """Key of a ControllerRevision of a VM."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class KubevirtKey(ObjectKey):
    """Key of a KubeVirt configuration object."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class ReportKey(ObjectKey):
    """Key of an InterfaceReport: the name is that of its VM, or of its bare VMI."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class AttachmentKey(ObjectKey):
    """Key of a network attachment definition."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class DaemonSetKey(ObjectKey):
    """Key of a DaemonSet."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class DisruptionBudgetKey(ObjectKey):
    """Key of a PodDisruptionBudget."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class BudgetKey:
    """Key of the disruption budget of a VMI, whether it exists or not: namespace and name of the VMI.

    Separate from the VMI's key, so that a rejected budget does not block starting or migrating the guest.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"disruption budget of {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SlotsKey:
    """Key of the slots of all migrations, which are granted in one place."""

    # They are cluster-wide.
    namespace = ""

    def __str__(self) -> str:
        return "migration slots"


SLOTS = SlotsKey()

WorkKey = VmKey | VmiKey | MigrationKey | BudgetKey | SlotsKey
"""What the operator reconciles, one at a time."""
