"""The content of a plan for a VM: how each NIC ends, by which path, and what else follows from the change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.keys import VmiKey, VmKey
from nicplug.model.nad_policy import NadRules
from nicplug.model.pci import PciBudget
from nicplug.plan.nic.path.evidence import PathEvidence


class Outcome(StrEnum):
    """How a NIC ends."""

    READY = "Ready"
    """Nothing is left to do."""
    IN_PLACE = "InPlace"
    """The running guest gets it, or releases it, in place."""
    BY_MIGRATION = "ByMigration"
    """The VM is migrated for it."""
    AT_START = "AtStart"
    """The guest does not run; it will start with the NIC."""
    NEEDS_RESTART = "NeedsRestart"
    """The running guest does not get it; the next start adds it."""
    STUCK = "Stuck"
    """It needs action first."""
    WITHDRAWN = "Withdrawn"
    """It leaves the template and the instance; the running guest never had it."""

    @property
    def arrives(self) -> bool:
        """True if it happens automatically."""
        return self not in (Outcome.NEEDS_RESTART, Outcome.STUCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """What happens if the controller has not answered by then."""

    after: timedelta
    outcome: Outcome
    reason: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicForecast:
    """One NIC.

    Attributes:
        path, phase, reason, message, remedy: as in the first version of its record.
        evidence: what determines the path; None if no path is chosen.
        otherwise: set if the dynamic networks controller may fail to answer; otherwise None.
        is_affected: True if the change concerns it, or nothing was changed; others are already requested.
        is_side_effect: True if it was not requested; it follows from the change, and does not count for `arrives`.
    """

    name: str
    operation: str
    network: str
    binding: str
    outcome: Outcome
    path: str
    phase: str
    reason: str
    message: str
    remedy: str = ""
    evidence: PathEvidence | None = None
    otherwise: Otherwise | None = None
    is_affected: bool = True
    is_side_effect: bool = False

    @property
    def arrives(self) -> bool:
        """True if it happens automatically, or nothing waits for it."""
        return self.outcome.arrives or not self.is_affected or self.is_side_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class VmForecast:
    """What would happen to a VM.

    Attributes:
        node: its node; "" while it does not run.
        nics: the NICs that something would happen to.
        slots_before, slots_after: PCI slots; None if they cannot be counted.
        possible_before, possible_after: slots that the guest may have beyond these (`insight.slots.possible_slots`).
        migration: name of the migration that would be created; "" for none.
        nad_rules: which networks the cluster admin lets VMs use.
        restart_fields: other changes of the VM that wait for a restart, in the words of the API.
        refusals: why the request, or a part of it, is not carried out at all.
        again_at: when the operator reconciles the VM without a change; None if it does not.
    """

    kind: str
    key: VmKey | VmiKey
    node: str
    policy: HotplugPolicy
    nad_rules: NadRules = field(default_factory=NadRules)
    nics: tuple[NicForecast, ...] = ()
    slots_before: PciBudget | None = None
    slots_after: PciBudget | None = None
    possible_before: int = 0
    possible_after: int = 0
    migration: str = ""
    restart_fields: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    again_at: datetime | None = None

    @property
    def arrives(self) -> bool:
        """True if everything that the change concerns happens automatically."""
        return not self.refusals and all(nic.arrives for nic in self.nics)

    @property
    def by_name(self) -> Mapping[str, NicForecast]:
        """The forecast of each NIC; for one that changes and also has a change waiting for a restart, the former."""
        return {nic.name: nic for nic in reversed(self.nics)}
