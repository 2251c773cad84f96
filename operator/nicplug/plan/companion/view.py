"""Everything a companion's decision may depend on."""

from dataclasses import dataclass, field
from datetime import datetime

from nicplug.model.interface_report import InterfaceReport
from nicplug.model.keys import VmiKey
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.views import Refusal, VmiView


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotShare:
    """One VMI's share of the migrations that KubeVirt runs at a time.

    Attributes:
        is_free: True if a migration that is created now does not have to wait for another one.
        blocked_by: the limit that is reached, as a clause; "" if `is_free`. Without numbers that change often, as each
            change is a write for each VMI that waits.
        again_at: when a migration that does not begin will no longer count; None if none of these counts.
    """

    is_free: bool = True
    blocked_by: str = ""
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionView:
    """The input of `plan_companion`; a VM, an instance, or both.

    Attributes:
        key: namespace and name, which VM, VMI and report share.
        guest: the view of the VMI, with the records of its report; None if there is no VMI.
        vm: the VM of that name; None for a bare VMI.
        report: the report of that name, regardless of its owner.
        interfaces_hash: that of the VMI's spec; "" without a VMI.
        may_nudge: the admin allows nicplug to write a pod's networks annotation once more.
        refusal: the last rejected write, until the NICs change.
        report_pending_since: when a withheld report was first noticed; None if none is withheld.
    """

    key: VmiKey
    guest: VmiView | None
    vm: VirtualMachine | None
    report: InterfaceReport | None
    interfaces_hash: str = ""
    slot: SlotShare = field(default_factory=SlotShare)
    may_nudge: bool = False
    refusal: Refusal | None = None
    report_pending_since: datetime | None = None

    @property
    def is_recorded(self) -> bool:
        """True if the report is about this very VMI."""
        return self.guest is not None and self.report is not None and self.report.vmi_uid == self.guest.vmi.uid

    @property
    def subject(self) -> VirtualMachine | VirtualMachineInstance | None:
        """The object that the report is about and that owns it."""
        if self.vm is not None:
            return self.vm
        return self.guest.vmi if self.guest is not None else None
