"""Plans one pass over a VirtualMachineInstance: its launcher pod, its NICs, its status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.model.conditions import EVICTION_REQUESTED, SYNCHRONIZED, Status
from nicplug.model.interface_status import MULTUS_STATUS, InterfaceRow, has_source
from nicplug.model.metadata import objects
from nicplug.model.names import NODE_NAME_LABEL, VMI_FINALIZER
from nicplug.model.operations import InterfaceOperation
from nicplug.model.per_pass import planning_pass
from nicplug.model.pod import LAUNCHER_PODS_MEMBER, LauncherPod
from nicplug.model.revision import name_of_start_revision
from nicplug.model.vmi import FOREIGN_PHASES, VirtualMachineInstance, VmiPhase
from nicplug.plan.actions import (
    Action,
    Create,
    Delete,
    Kind,
    PatchInterfaces,
    PatchLabels,
    PatchNetworksAnnotation,
    PatchPodCondition,
    PatchStatus,
    check_nics,
    patch_finalizers,
    patch_label,
)
from nicplug.plan.nic.observed import nics_in_pod
from nicplug.plan.nic.records import asks_again
from nicplug.plan.nic.template_sync import drop_detached
from nicplug.plan.nic.transitions import (
    SUMMARY_MEMBER,
    Transitions,
    announce,
    find_transitions,
    measure_nics,
    staying_nics,
    summarise,
)
from nicplug.plan.outcome import Announcement, Measure, Plan, Subject, warning
from nicplug.plan.reasons import Reason
from nicplug.plan.status_patches import changed_members, decide_status, patience
from nicplug.plan.views import Refusal, VmiView
from nicplug.plan.vmi.active_pod import (
    active_pod,
    confirm_pod,
    has_arrived,
    may_have_moved,
    plan_readiness,
    restore_labels,
)
from nicplug.plan.vmi.end import plan_end, release_final
from nicplug.plan.vmi.evacuation import Evacuation, announce_stuck, plan_evacuation
from nicplug.plan.vmi.migration_request import with_migration_required
from nicplug.plan.vmi.moving import end_lost_migration, is_moving, target_pod
from nicplug.plan.vmi.new_pod import (
    announce_renewal,
    delete_unrecorded,
    is_outdated,
    plan_new_pod,
    renew,
    was_discarded,
)
from nicplug.plan.vmi.nics import LIVE_PHASES, NicPlan, plan_nics
from nicplug.plan.vmi.outdated_attachments import announce_outdated_attachments
from nicplug.plan.vmi.own_pods import leftovers, plan_stray_pods, waits_for_record
from nicplug.plan.vmi.phase import announce_end, announce_start_failure, decide_phase, what_ends
from nicplug.plan.vmi.roll_back import plan_roll_back
from nicplug.plan.vmi.state_patches import MIGRATION_STATE
from nicplug.plan.vmi.vmi_status import announce_policy_problems, is_awaited, plan_conditions, pod_members, report_delay


@planning_pass()
def plan_vmi(view: VmiView, *, now: datetime) -> Plan:
    """Return the actions, announcements and measures for this VMI.

    Args:
        now: current time, UTC; compared only with timestamps from objects and from the view.
    """
    vmi = view.vmi
    if vmi.deleting:
        return plan_end(view, now=now)
    if vmi.phase in FOREIGN_PHASES:
        return Plan(notes=("a phase of somebody else's",))
    pod = active_pod(view)
    if pod is None and vmi.is_unprocessed:
        return _plan_pod(view, now=now)
    if pod is None and not vmi.is_final and not view.is_podless:
        return Plan(actions=(confirm_pod(view),), notes=("no pod in sight: asks before the VMI is failed",))
    return _plan_life(view, pod=pod, now=now)


def _plan_pod(view: VmiView, *, now: datetime) -> Plan:
    """Create the launcher pod; while the API server rejects it, report that in the status."""
    vmi = view.vmi
    if VMI_FINALIZER not in vmi.finalizers:
        patch = patch_finalizers(vmi, (*vmi.finalizers, VMI_FINALIZER))
        return Plan(actions=(patch,), notes=("finalizer before pod: no pod may outlive its VMI unseen",))
    if view.refusal is not None:
        return _plan_life(view, pod=None, now=now)
    unrecorded = leftovers(view, vmi)
    if (due := waits_for_record(view, unrecorded, now=now)) is not None:
        return Plan(again_at=due, notes=("another leader may have made a pod, and be about to record it",))
    found = plan_new_pod(view, now=now)
    plan = _plan_refused_pod(replace(view, refusal=found), found, now=now) if isinstance(found, Refusal) else found
    return delete_unrecorded(view, unrecorded, plan) if unrecorded else plan


def _plan_refused_pod(view: VmiView, refusal: Refusal, *, now: datetime) -> Plan:
    """Report a rejected pod without creating one; KubeVirt's event is sent once, with the report."""
    plan = _plan_life(view, pod=None, now=now)
    if plan.is_empty or view.vmi.status.condition(SYNCHRONIZED).reason == refusal.reason:
        return plan
    message = f"Error creating pod: {refusal.message}"
    event = warning(Subject.VMI, Reason.FAILED_CREATE, message)
    return replace(plan, announcements=(*plan.announcements, event))


def _plan_life(view: VmiView, *, pod: LauncherPod | None, now: datetime) -> Plan:
    vmi, status = view.vmi, view.vmi.status
    moving_since = view.podless_since if may_have_moved(view) else None
    is_renewed = is_outdated(view, pod) or was_discarded(view, pod)
    phase, phase_due = decide_phase(vmi=vmi, pod=pod, moving_since=moving_since, is_renewed=is_renewed, now=now)
    records = status.records(now=now)
    nics = plan_nics(view, pod=pod, phase=phase, records=records, now=now)
    evacuation = plan_evacuation(view)
    conditions = plan_conditions(
        view,
        pod=pod,
        phase=phase,
        interfaces=nics.rows,
        operations=nics.operations,
        evacuation=evacuation,
        now=now,
    )
    if phase is VmiPhase.RUNNING and pod is not None:
        conditions = with_migration_required(conditions, operations=nics.operations, is_moving=is_moving(view), now=now)
    wanted = {
        **status.members,
        "virtualMachineRevisionName": name_of_start_revision(vmi) or None,
        **pod_members(view, pod=pod, phase=phase, now=now),
        "interfaces": nics.rows,
        "interfaceOperations": [operation.to_row() for operation in nics.operations],
        "conditions": conditions,
    }
    wanted[SUMMARY_MEMBER] = summarise(vmi, nics.operations) if phase is VmiPhase.RUNNING else None
    if evacuation.has_left:
        # The node agent removes it after a migration; no component does if the guest left in another way.
        wanted["evacuationNodeName"] = None
    if (budget := nics.chooser.slots.budget) is not None:
        wanted["pciBudget"] = budget.to_row()
    life = _Life(
        pod=pod,
        phase=phase,
        nics=nics,
        evacuation=evacuation,
        wanted=wanted,
        records=records,
        moments=(phase_due, *nics.moments),
    )
    return _with_stray_pods(view, _assemble(view, life, now=now), pod=pod, now=now)


def _with_stray_pods(view: VmiView, plan: Plan, *, pod: LauncherPod | None, now: datetime) -> Plan:
    """Delete stray pods once the VMI needs no other write: the deletion is guarded by the VMI's version."""
    strays = plan_stray_pods(view, active=pod, now=now)
    if strays.actions and plan.is_empty:
        plan = replace(plan, actions=strays.actions, announcements=(*plan.announcements, *strays.announcements))
    moments = [moment for moment in (plan.again_at, strays.again_at) if moment is not None]
    return replace(plan, again_at=min(moments, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    pod: LauncherPod | None
    phase: VmiPhase
    nics: NicPlan
    evacuation: Evacuation
    wanted: dict[str, Any]
    records: dict[str, InterfaceOperation]
    moments: tuple[datetime | None, ...]


def _assemble(view: VmiView, life: _Life, *, now: datetime) -> Plan:
    vmi = view.vmi
    # A rejected write is not repeated until the refusal expires, but it is reported.
    actions = _effects(view, life, now=now) if view.refusal is None else []
    announced_by = life.evacuation if life.evacuation.actions else life.nics.migration_request
    announced = announced_by.announcements if view.refusal is None else ()
    renewals = tuple(announce_renewal(item) for item in actions if isinstance(item, Delete) and item.kind is Kind.POD)
    changes = _guarded(changed_members(seen=vmi.status_text, wanted=life.wanted), life.wanted)
    # Counts change together with what they count; a count alone is not worth a write.
    # The record of pods that an earlier version created can wait for another write, too.
    changes = {} if changes.keys() <= {"pciBudget", SUMMARY_MEMBER, LAUNCHER_PODS_MEMBER} else changes
    is_running = life.phase is VmiPhase.RUNNING
    transitions = find_transitions(
        before=life.records,
        after=life.nics.operations,
        staying=staying_nics(vmi, rows=life.nics.rows, records=life.records),
        is_running=is_running,
    )
    delay = report_delay(
        before=life.records, after=life.nics.operations, stored_bytes=vmi.stored_bytes, settings=view.settings
    )
    status = decide_status(
        vmi,
        changes=changes,
        urgent=_is_urgent(view, life, changes) or is_awaited(transitions, stored_bytes=vmi.stored_bytes),
        pending_since=view.report_pending_since,
        delay=patience(seen=vmi.status_text, changes=changes, delay=delay),
        now=now,
    )
    patch = _guarded_patch(status.patch, view, life, changes, actions=actions) if status.patch is not None else None
    # Announced together with the write that records the end, so only once.
    reported = transitions if patch is not None else Transitions()
    actions += [patch] if patch is not None else []
    trouble = _announce_trouble(view, life, changes) if patch is not None else ()
    return Plan(
        actions=tuple(actions),
        announcements=(
            *announce(reported, why_moved=life.nics.report.why_moved, now=now),
            *trouble,
            *announced,
            *renewals,
        ),
        measures=_measures(life, reported, now=now) if patch is not None else (),
        again_at=min((moment for moment in (status.due, *life.moments) if moment), default=None),
        withholds_report=status.due is not None,
    )


def _guarded_patch(
    patch: PatchStatus, view: VmiView, life: _Life, changes: Mapping[str, Any], *, actions: Sequence[Action]
) -> PatchStatus:
    """Guard a go-ahead for the node agent, and the end of the VMI, against what another client may just be writing."""
    gives_nic = _gives_nic(view.vmi, rows=life.nics.rows)
    if gives_nic:
        # Against a correction of the NIC: the guest would get what was requested before it.
        own = sum(isinstance(action, PatchInterfaces) for action in actions)
        patch = replace(patch, generation=view.vmi.generation + own)
    if gives_nic or changes.get("phase") == VmiPhase.FAILED:
        # Against a hand-off: the guest would get a NIC that the target pod lacks, or be reported as failed while it may
        # have arrived there.
        patch = patch.guarded_by(MIGRATION_STATE, view.vmi.status.members.get(MIGRATION_STATE))
    return patch


def _measures(life: _Life, reported: Transitions, *, now: datetime) -> tuple[Measure, ...]:
    reasons = life.nics.chooser.reasons()
    return measure_nics(reported, before=life.records, after=life.nics.operations, reasons=reasons, now=now)


def _gives_nic(vmi: VirtualMachineInstance, *, rows: Sequence[Mapping[str, Any]]) -> bool:
    """True if a row newly allows the node agent to plug its NIC."""
    old, new = vmi.status.interfaces, map(InterfaceRow, rows)
    return any(has_source(row, MULTUS_STATUS) and not has_source(old.get(row.name), MULTUS_STATUS) for row in new)


def _guarded(changes: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Guard the phase Failed with the node on which the pod was observed: the guest may have moved since.

    The patch includes the node unchanged, so it fails if the node is another one.
    """
    if changes.get("phase") == VmiPhase.FAILED and wanted.get("nodeName"):
        return {**changes, "nodeName": wanted["nodeName"]}
    return changes


def _effects(view: VmiView, life: _Life, *, now: datetime) -> list[Action]:
    in_pod = _in_pod(view, life)
    rolled_back = plan_roll_back(view, pod=life.pod, rolled_back=life.nics.report.rolled_back, in_pod=in_pod)
    effects = (
        *_labels(view, life),
        *_annotation_patches(view.vmi, life),
        rolled_back,
        # Both replace the lists, so the second patch would fail: it follows in the next pass.
        drop_detached(view.vmi, in_pod=in_pod) if not isinstance(rolled_back, PatchInterfaces) else None,
        _node_label(view, life),
        *_readiness(view, life, now=now),
        release_final(view),
        renew(view, life.pod, phase=life.phase),
        end_lost_migration(view, now=now),
        *_migrations(life),
    )
    return [effect for effect in effects if effect is not None]


def _migrations(life: _Life) -> tuple[Action, ...]:
    """An evacuation comes first, as it also brings the NICs; migrations are withdrawn in either case."""
    if not life.evacuation.actions:
        return life.nics.migration_request.actions
    kept = (item for item in life.nics.migration_request.actions if not isinstance(item, Create))
    return (*kept, *life.evacuation.actions)


def _labels(view: VmiView, life: _Life) -> list[PatchLabels | None]:
    """Restore the labels of the pod that runs the guest, and of its target pod."""
    pods = [pod for pod in (life.pod, target_pod(view)) if pod is not None]
    return [restore_labels(pod, vmi_uid=view.vmi.uid) for pod in dict.fromkeys(pods)]


def _readiness(view: VmiView, life: _Life, *, now: datetime) -> list[PatchPodCondition | None]:
    """Set the readiness gate with the go-ahead for the node agent: the pod is Ready when its guest is up.

    A target pod's gate is set when the guest has arrived, just before the pod becomes the VMI's: `Ready` stays True.
    """
    if life.phase not in LIVE_PHASES:
        return []
    target = target_pod(view)
    pods = [life.pod, target if target is not None and has_arrived(view, target) else None]
    conditions = objects(life.wanted["conditions"])
    return [plan_readiness(pod=pod, conditions=conditions, now=now) for pod in dict.fromkeys(pods) if pod is not None]


def _announce_trouble(view: VmiView, life: _Life, changes: Mapping[str, Any]) -> tuple[Announcement, ...]:
    """Announce lost pods, failed starts, invalid policies and changed networks once, with the status."""
    end = what_ends(view, pod=life.pod, phase=life.phase)
    ended = (announce_end(end, pod=life.pod),) if end is not None and "reason" in changes else ()
    return (
        *ended,
        *announce_start_failure(view, changes),
        *announce_policy_problems(view, changes),
        *announce_outdated_attachments(view, changes),
        *announce_stuck(life.evacuation, node=view.vmi.node_name, is_news=_says_other_eviction(view, changes)),
    )


def _says_other_eviction(view: VmiView, changes: Mapping[str, Any]) -> bool:
    """True if the condition's report on the eviction changes."""
    after = Status(changes).condition(EVICTION_REQUESTED)
    return bool(after.status) and after != view.vmi.status.condition(EVICTION_REQUESTED)


def _annotation_patches(vmi: VirtualMachineInstance, life: _Life) -> tuple[Action, ...]:
    pod, annotation = life.pod, life.nics.annotation
    if pod is None or annotation.text is None:
        return ()
    patch = PatchNetworksAnnotation(
        key=pod.key,
        uid=pod.uid,
        seen=pod.networks_annotation,
        wanted=annotation.text,
        has_annotations=pod.has_annotations,
        takes_out=annotation.takes_out,
        seen_status=pod.network_status_annotation if annotation.takes_out else None,
    )
    if not annotation.takes_out:
        return (patch,)
    return check_nics(vmi), patch


def _in_pod(view: VmiView, life: _Life) -> frozenset[str]:
    """NICs that a pod has after this pass, and that have to be detached before their records are deleted.

    The target pod may have been created with a NIC that the current pod has lost since.
    """
    asked = frozenset(life.nics.annotation.attachments) if life.nics.annotation.is_made else None
    return nics_in_pod(view.vmi, life.pod, asked=asked) | nics_in_pod(view.vmi, target_pod(view), asked=None)


def _node_label(view: VmiView, life: _Life) -> PatchLabels | None:
    """Set the node label before the phase: a node agent that finds both its label and Scheduled starts the guest."""
    if life.pod is None or life.phase is not VmiPhase.SCHEDULED or view.vmi.node_label == life.pod.node_name:
        return None
    return patch_label(view.vmi, NODE_NAME_LABEL, life.pod.node_name)


def _is_urgent(view: VmiView, life: _Life, changes: dict[str, Any]) -> bool:
    """True for a go-ahead for the node agent, and for an end that users or controllers wait for."""
    if changes.keys() & {"interfaces", "reason"} or (
        life.phase is not view.vmi.phase and life.phase not in _EARLY_PHASES
    ):
        return True
    if view.refusal is not None or set(life.records) - {item.name for item in life.nics.operations}:
        return True
    if asks_again(before=life.records, after=life.nics.operations):
        return True
    if life.phase is VmiPhase.PENDING and view.vmi.phase is VmiPhase.SCHEDULING:
        return True
    in_flight = any(not item.is_settled for item in life.nics.operations)
    if "conditions" not in changes or life.phase is not VmiPhase.RUNNING or in_flight:
        return False
    return Status(changes).statuses != view.vmi.status.statuses


_EARLY_PHASES = frozenset({VmiPhase.PENDING, VmiPhase.SCHEDULING})
