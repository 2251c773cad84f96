"""Decisions about one VM in the mode of its cluster: beside KubeVirt, those of `plan.companion`.

Pure except for the evidence.
"""

from dataclasses import dataclass
from functools import partial

from nicplug.insight.evidence import Evidence
from nicplug.insight.next_pass import AT_ONCE
from nicplug.model.keys import VmiKey
from nicplug.model.mode import Mode
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.own_migrations import plan_own_migrations
from nicplug.plan.companion.silence import Silence
from nicplug.plan.companion.target_pods import with_target_pod_failures
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.migration_request import plan_migration_request
from nicplug.plan.vmi.nics import RequestMigrations
from nicplug.reconcile.companion_gather import guest_view
from nicplug.reconcile.companion_slots import CompanionSlots
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory


@dataclass(frozen=True, slots=True)
class CompanionViews(Gatherer):
    """Builds the views by the rules that hold beside KubeVirt; the VMI in the caches has the records of its report.

    Attributes:
        allowed_version: the newer minor version of KubeVirt beside which the operator may act; "" for none.
    """

    allowed_version: str = ""

    def view_of(self, vmi: VirtualMachineInstance) -> VmiView:
        """Return the view of a VMI."""
        plain = Gatherer(self.caches, self.memory, self.settings)
        view = guest_view(plain, vmi, allowed_version=self.allowed_version)
        return with_target_pod_failures(view, now=self.memory.clock())


def gatherer_of(evidence: Evidence) -> Gatherer:
    """Return what builds the views for the planners."""
    memory = Memory(clock=evidence.clock)
    if evidence.mode is Mode.STANDALONE:
        return Gatherer(evidence.caches, memory, AT_ONCE)
    settings = AT_ONCE.beside_kubevirt()
    return CompanionViews(evidence.caches, memory, settings, allowed_version=evidence.allowed_version)


def requests_of(evidence: Evidence) -> RequestMigrations:
    """Return what decides on the migrations for NICs."""
    if evidence.mode is Mode.STANDALONE:
        return plan_migration_request
    vmi, slots = evidence.parsed_vmi, CompanionSlots(evidence.caches, _wake_nobody, evidence.clock)
    share = slots.share_of(VmiKey(evidence.target.namespace, evidence.target.name))
    records = vmi.status.records(now=evidence.clock()) if vmi is not None else {}
    # Only nicplug has seen since when virt-controller does nothing.
    silent = (item for item in records.values() if item.reason == Reason.VIRT_CONTROLLER_SILENT)
    silence = Silence(nics={item.name: item.start_time for item in silent})
    return partial(plan_own_migrations, slot=share, silence=silence)


def _wake_nobody(_: VmiKey) -> None:
    """A question is asked once."""
