"""Keys of objects. Each kind has its own type, so that the name of a VM never looks up a pod."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class VmKey(ObjectKey):
    """Key of a VirtualMachine."""

    __slots__ = ()


class VmiKey(ObjectKey):
    """Key of a VirtualMachineInstance."""

    __slots__ = ()


class MigrationKey(ObjectKey):
    """Key of a VirtualMachineInstanceMigration."""

    __slots__ = ()


class PodKey(ObjectKey):
    """Key of a launcher pod."""

    __slots__ = ()


class RevisionKey(ObjectKey):
    """Key of a ControllerRevision of a VM."""

    __slots__ = ()


class KubevirtKey(ObjectKey):
    """Key of a KubeVirt configuration object."""

    __slots__ = ()


class ReportKey(ObjectKey):
    """Key of an InterfaceReport: the name is that of its VM, or of its bare VMI."""

    __slots__ = ()


class AttachmentKey(ObjectKey):
    """Key of a network attachment definition."""

    __slots__ = ()


class DaemonSetKey(ObjectKey):
    """Key of a DaemonSet."""

    __slots__ = ()


class DisruptionBudgetKey(ObjectKey):
    """Key of a PodDisruptionBudget."""

    __slots__ = ()


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
