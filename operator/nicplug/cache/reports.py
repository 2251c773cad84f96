"""Cache of the InterfaceReports, in companion mode."""

from nicplug.cache.store import Store
from nicplug.model.interface_report import InterfaceReport
from nicplug.model.keys import ReportKey
from nicplug.model.vmi import VirtualMachineInstance


class Reports(Store[InterfaceReport]):
    """All reports, by the name of their VM."""

    def of(self, vmi: VirtualMachineInstance) -> InterfaceReport | None:
        """Return the report whose records are about this very VMI."""
        report = self.get(ReportKey(vmi.key.namespace, vmi.key.name))
        return report if report is not None and report.vmi_uid == vmi.uid else None
