"""Which object: keys are types, so that a pod can never be looked up by the name of a VM."""

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
    """The disruption budget of a VMI, whether it exists or not: by namespace and name of the VMI.

    A key of its own, so that a budget that is refused keeps nobody from starting or moving the guest.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"disruption budget of {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class SlotsKey:
    """The slots of all migrations, which are given out in one place."""

    # They belong to the cluster.
    namespace = ""

    def __str__(self) -> str:
        return "migration slots"


SLOTS = SlotsKey()

WorkKey = VmKey | VmiKey | MigrationKey | BudgetKey | SlotsKey
"""What the operator looks at, one at a time."""
