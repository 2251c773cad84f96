"""What KubeVirt's virt-controller does about a NIC, and what nicplug does, in companion mode. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from nicplug.insight.nic_rows import NicRow
from nicplug.model.conditions import MIGRATION_REQUIRED, TRUE, find_condition
from nicplug.model.metadata import objects
from nicplug.model.migration import Migration
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, first_by_name
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.model.times import parse_time
from nicplug.model.vmi import VmiPhase
from nicplug.plan.companion.silence import find_silence
from nicplug.plan.companion.virt_controller import LIVE_MIGRATE
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.active_pod import active_pod

VIRT_CONTROLLER = "KubeVirt's virt-controller"
# Source: KubeVirt 1.9 `pkg/network/migration/evaluator.go`.
_TIMER = timedelta(seconds=15)
_REPORTS_ONLY = frozenset({Reason.WORKLOAD_UPDATE_FORBIDS, Reason.MIGRATION_FORBIDDEN, Reason.NOT_LIVE_MIGRATABLE})
_NOBODY = f"nobody does, as workloadUpdateMethods of KubeVirt's CR does not list {LIVE_MIGRATE}"


def kubevirts_part(nic: NicRow, view: VmiView, *, migrations: Sequence[Migration], now: datetime) -> str:
    """Return what virt-controller does about a NIC that is not ready, as a sentence; "" if it has nothing to do.

    Args:
        view: of the VMI, with its VM.
        migrations: all of the VM, regardless of who created them.
    """
    if nic.is_ready or view.vmi.phase is not VmiPhase.RUNNING:
        return ""
    return next(_work(nic, view, migrations=migrations, now=now), "")


def _work(nic: NicRow, view: VmiView, *, migrations: Sequence[Migration], now: datetime) -> Iterator[str]:
    vmi, pod = view.vmi, active_pod(view)
    templates = first_by_name(view.vm.interfaces) if view.vm is not None else {}
    if nic.name not in first_by_name(vmi.interfaces) and nic.name in templates:
        binding = templates[nic.name].binding
        if binding not in HOTPLUGGABLE_BINDINGS:
            yield f"does not plug a NIC with binding {binding} into a running VM: it comes at a restart"
        yield "copies the NIC from the VM's template to the VMI"
    for item in migrations:
        if not item.is_final:
            yield f"carries out migration {item.key.name} ({item.phase or 'not accepted yet'})"
    where = f"pod {pod.key.name}" if pod is not None else "the pod"
    if nic.name in find_silence(view, records=vmi.status.records(now=now)).nics:
        yield f"asks {where} for the NIC, in its networks annotation"
    yield from _updaters_part(view, now=now)
    verb = "give the NIC up" if nic.operation == OperationType.UNPLUG else "get the NIC"
    if nic.path == OperationPath.DYNAMIC:
        yield f"has asked {where} to {verb}, and waits"


def _updaters_part(view: VmiView, *, now: datetime) -> Iterator[str]:
    """What its timer and its workload updater do."""
    condition = find_condition(objects(view.vmi.status.members.get("conditions")), MIGRATION_REQUIRED)
    if condition is None:
        return
    methods = view.config.workload_update_methods if view.config is not None else ()
    does = "its workload updater migrates the VM" if LIVE_MIGRATE in methods else _NOBODY
    if condition.get("status") == TRUE:
        yield f"has marked the VM as one to migrate; {does}"
        return
    since = parse_time(condition.get("lastTransitionTime"))
    left = max(timedelta(), since + _TIMER - now).total_seconds() if since is not None else _TIMER.total_seconds()
    yield f"waits {left:.0f}s more for the NIC in place, then marks the VM as one to migrate; {does}"


def nicplugs_part(nic: NicRow, view: VmiView, *, migrations: Sequence[Migration], now: datetime) -> str:
    """Return what nicplug does about a NIC that is not ready, as a sentence."""
    if nic.is_ready or view.vmi.phase is not VmiPhase.RUNNING:
        return ""
    for item in migrations:
        if not item.is_final and item.is_workload_update(vmi_uid=view.vmi.uid):
            return f"created migration {item.key.name} for it"
        if not item.is_final:
            return f"leaves it to migration {item.key.name}, which it did not create"
    if nic.name not in view.vmi.status.records(now=now):
        return "has not seen it yet"
    if nic.reason == Reason.VIRT_CONTROLLER_SILENT:
        return f"waits until {VIRT_CONTROLLER} acts: a migration would not be served either"
    if nic.reason in _REPORTS_ONLY:
        return "only reports: it may not migrate the VM"
    if nic.phase in (OperationPhase.BLOCKED, OperationPhase.FAILED):
        return "only reports: no migration would help"
    if nic.path == OperationPath.DYNAMIC:
        return "migrates the VM as soon as the evidence shows that the NIC does not get there in place"
    return "migrates the VM for it" if nic.path == OperationPath.MIGRATION else "watches"
