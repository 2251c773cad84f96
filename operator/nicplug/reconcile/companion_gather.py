"""Builds the views for the planner of a companion, from the caches only."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from nicplug.model.frozen_json import freeze, read_object
from nicplug.model.interface_report import InterfaceReport
from nicplug.model.keys import ReportKey, VmiKey, VmKey
from nicplug.model.kubevirt_versions import remedy_for, why_only_report
from nicplug.model.pod import PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.target_pods import TARGET_PODS_MEMBER
from nicplug.plan.companion.view import CompanionView
from nicplug.plan.companion.virt_controller import effective_config, effective_policy
from nicplug.plan.views import VmiView
from nicplug.reconcile.companion_slots import CompanionSlots
from nicplug.reconcile.gather import Gatherer

log = structlog.get_logger(__name__)

_OVERLAID_MEMBERS = ("interfaceOperations", "pciBudget", TARGET_PODS_MEMBER)
_NUDGE_DENIED = timedelta(minutes=10)
_NUDGE_REMEDY = "Grant it (docs/beside-kubevirt.md, The nudge), or set spec.companion.nudge to false"


@dataclass(slots=True)
class CompanionGatherer:
    """Builds the view of a VM from the caches of a companion.

    Attributes:
        allowed_version: the newer minor version of KubeVirt beside which nicplug may act; "" for none.
        nudge_denied_until: until when the permission for that is known to be missing; None if it is not.
    """

    gatherer: Gatherer
    slots: CompanionSlots
    allowed_version: str = ""
    nudge_denied_until: datetime | None = None
    _merged: dict[VmiKey, tuple[VirtualMachineInstance, InterfaceReport | None, VirtualMachineInstance]] = field(
        default_factory=dict
    )

    def view(self, key: VmiKey) -> CompanionView | None:
        """Return the view; None if neither VM nor VMI exists, nor a report that nobody else would remove."""
        caches, memory = self.gatherer.caches, self.gatherer.memory
        vm, vmi = caches.vms.get(VmKey(key.namespace, key.name)), caches.vmis.get(key)
        if vmi is None:
            self._merged.pop(key, None)
        report = caches.reports.get(ReportKey(key.namespace, key.name))
        if vm is None and vmi is None:
            self.slots.wait(key, since=None)
            return CompanionView(key=key, guest=None, vm=None, report=report) if _is_left(report) else None
        guest = self._guest(vmi) if vmi is not None else None
        if vm is not None and guest is not None and guest.vm is None:
            guest = None  # a VMI of another owner: the VM waits for its name
        generation = guest.vmi.generation if guest is not None else vm.generation if vm is not None else 0
        return CompanionView(
            key=key,
            guest=guest,
            vm=vm,
            report=report,
            interfaces_hash=caches.specs.hash_of(guest.vmi) if guest is not None else "",
            slot=self.slots.share_of(key),
            may_nudge=self._may_nudge(),
            refusal=memory.refusal(key, generation=generation),
            report_pending_since=memory.pending_since(key),
        )

    def _may_nudge(self) -> bool:
        denied = self.nudge_denied_until
        allowed = self.gatherer.caches.kubevirts.companion().nudge
        return allowed and (denied is None or self.gatherer.memory.clock() >= denied)

    def deny_nudge(self) -> None:
        """Give no nudge for a while: the permission to patch pods is missing."""
        if self._may_nudge():
            log.warning("cannot nudge: the permission to patch pods is missing", remedy=_NUDGE_REMEDY)
        self.nudge_denied_until = self.gatherer.memory.clock() + _NUDGE_DENIED

    def _guest(self, vmi: VirtualMachineInstance) -> VmiView:
        return guest_view(self.gatherer, self._with_records(vmi), allowed_version=self.allowed_version)

    def _with_records(self, vmi: VirtualMachineInstance) -> VirtualMachineInstance:
        """Return the VMI as if its status had the records of its report, and the pods that KubeVirt counts."""
        caches = self.gatherer.caches
        report = caches.reports.get(ReportKey(vmi.key.namespace, vmi.key.name))
        known = self._merged.get(vmi.key)
        if known is None or known[0] is not vmi or known[1] is not report:
            known = (vmi, report, _merge(vmi, report, digest=caches.specs.hash_of(vmi)))
            self._merged[vmi.key] = known
        return known[2]


def guest_view(gatherer: Gatherer, vmi: VirtualMachineInstance, *, allowed_version: str) -> VmiView:
    """Return the view of a VMI by the rules that hold beside KubeVirt.

    Args:
        vmi: with the records of its report.
        allowed_version: the minor version of KubeVirt, newer than nicplug knows, beside which it may act; "" for none.
    """
    # virt-controller lists the pods that it made by uid; labels and names prove nothing.
    pods = [pod for pod in gatherer.caches.launchers.of(vmi) if pod.uid in vmi.active_pods]
    records = tuple(PodRecord(key=pod.key, uid=pod.uid, migration_uid=pod.migration_uid) for pod in pods)
    view = gatherer.view_of(replace(vmi, launcher_pods=records))
    version = view.config.observed_version if view.config is not None else ""
    return replace(
        view,
        config=effective_config(
            view.config, ignores_methods=gatherer.caches.kubevirts.companion().ignore_workload_update_methods
        ),
        policy=effective_policy(
            view.policy,
            report_only=why_only_report(version, allowed=allowed_version),
            remedy=remedy_for(version),
        ),
    )


def _is_left(report: InterfaceReport | None) -> bool:
    """True for a report of nicplug's without VM and VMI whose owner reference does not make Kubernetes remove it."""
    return report is not None and report.is_labelled and not report.is_garbage_collected


def _merge(vmi: VirtualMachineInstance, report: InterfaceReport | None, *, digest: str) -> VirtualMachineInstance:
    if report is None or report.vmi_uid != vmi.uid:
        return replace(vmi, generation=1)
    known = report.status.members
    members = {name: known[name] for name in _OVERLAID_MEMBERS if name in known}
    generation = report.generation_of(vmi_uid=vmi.uid, digest=digest)
    return replace(vmi, generation=generation, status_text=freeze({**read_object(vmi.status_text), **members}))
