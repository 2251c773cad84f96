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
    """A VirtualMachine."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class VmiKey(ObjectKey):
    """A VirtualMachineInstance."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class MigrationKey(ObjectKey):
    """A VirtualMachineInstanceMigration."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class PodKey(ObjectKey):
    """A launcher pod."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class RevisionKey(ObjectKey):
    """A ControllerRevision of a VM."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class KubevirtKey(ObjectKey):
    """A KubeVirt configuration object."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class AttachmentKey(ObjectKey):
    """A network attachment definition."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class DaemonSetKey(ObjectKey):
    """A DaemonSet."""

    __str__ = ObjectKey.__str__


@dataclass(frozen=True, slots=True, order=True)
class DisruptionBudgetKey(ObjectKey):
    """A PodDisruptionBudget."""

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
