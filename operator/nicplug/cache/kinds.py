"""The kinds that are watched, by mode."""

from collections.abc import Mapping
from enum import Enum

from nicplug.model.mode import Mode


class CachedKind(Enum):
    """The watched kinds."""

    VM = "VirtualMachine"
    VMI = "VirtualMachineInstance"
    MIGRATION = "VirtualMachineInstanceMigration"
    POD = "Pod"
    KUBEVIRT = "KubeVirt"
    REVISION = "ControllerRevision"
    REPORT = "InterfaceReport"


# A companion decides nothing by revisions, which KubeVirt keeps; nicplug keeps its records in VMIs if they are its own.
_NOT_OF: Mapping[Mode, CachedKind] = {Mode.STANDALONE: CachedKind.REPORT, Mode.COMPANION: CachedKind.REVISION}


def kinds_of(mode: Mode) -> tuple[CachedKind, ...]:
    """Return the kinds that are watched in a mode."""
    return tuple(kind for kind in CachedKind if kind is not _NOT_OF[mode])
