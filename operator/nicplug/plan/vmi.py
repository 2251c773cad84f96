"""What to do for one VirtualMachineInstance: its launcher pod, its NICs, its status, its end.

```
Pending --pod made--> Scheduling --pod ready--> Scheduled --node agent--> Running --node agent--> final
                                 \\__ pod lost __________________________________________________/
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.interface_status import rows_by_name
from nicplug.model.metadata import objects, text
from nicplug.model.names import VM_FINALIZER, VMI_FINALIZER
from nicplug.model.operations import InterfaceOperation, OperationType, parse_operations
from nicplug.model.pod import LauncherPod
from nicplug.model.revision import name_of_start_revision
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Action, Delete, Kind, LabelNode, PatchFinalizers, PatchNetworksAnnotation
from nicplug.plan.annotation import AnnotationDecision, decide_annotation
from nicplug.plan.interface_rows import plan_rows
from nicplug.plan.launcher_pod import create_launcher_pod, launcher_pod_key
from nicplug.plan.operations import plan_operations
from nicplug.plan.outcome import Announcement, Plan, Severity, Subject
from nicplug.plan.status import changed_members, decide_status
from nicplug.plan.template_sync import drop_detached
from nicplug.plan.transitions import Transitions, announce, complete, find_transitions
from nicplug.plan.views import VmiView
from nicplug.plan.vmi_status import next_phase, plan_conditions, with_phase_timestamp

_LIVE_PHASES = frozenset({VmiPhase.SCHEDULED, VmiPhase.RUNNING})


def plan_vmi(view: VmiView, *, now: datetime) -> Plan:
    """Decide everything that is to be done for this VMI now.

    Args:
        now: current time, UTC; compared only with timestamps from objects and from the view.
    """
    if view.vmi.deleting:
        return _plan_end(view)
    pod = active_pod(view)
    if pod is None and view.vmi.is_unprocessed:
        return _plan_pod(view, now=now)
    return _plan_life(view, pod=pod, now=now)


def active_pod(view: VmiView) -> LauncherPod | None:
    """The pod that runs the guest: the one that nicplug made, else the newest on the VMI's node.

    The owner's uid was matched when the view was gathered; labels alone prove nothing (CVE-2025-64435). Whoever may
    create pods may name our VMI as their owner, but cannot take the name that only we make: before the VMI has
    a node, no other pod counts.
    """
    own = launcher_pod_key(view.vmi)
    node = view.vmi.node_name
    candidates = [pod for pod in view.pods if pod.key == own or node]
    on_node = [pod for pod in candidates if not node or pod.node_name == node]
    by_age = sorted(on_node, key=lambda pod: (pod.key == own, pod.created is not None, pod.created, pod.key.name))
    return by_age[-1] if by_age else None


def _plan_end(view: VmiView) -> Plan:
    """Pods first, then the finalizers: the VMI stays visible until nothing of it runs."""
    vmi = view.vmi
    if view.pods:
        deletions = [Delete(kind=Kind.POD, key=pod.key, uid=pod.uid) for pod in view.pods if not pod.deleting]
        announcements = [
            _normal("SuccessfulDelete", f"Deleted virtual machine pod {deletion.key.name}") for deletion in deletions
        ]
        return Plan(actions=tuple(deletions), announcements=tuple(announcements))
    kept = tuple(item for item in vmi.finalizers if item not in (VMI_FINALIZER, VM_FINALIZER))
    if kept == vmi.finalizers:
        return Plan(notes=("waiting for finalizers of others",))
    patch = PatchFinalizers(kind=Kind.VMI, key=vmi.key, uid=vmi.uid, seen=vmi.finalizers, wanted=kept)
    return Plan(actions=(patch,))


def _plan_pod(view: VmiView, *, now: datetime) -> Plan:
    """Make the launcher pod; while the API server refuses it, say so in the status."""
    vmi = view.vmi
    if VMI_FINALIZER not in vmi.finalizers:
        wanted = (*vmi.finalizers, VMI_FINALIZER)
        patch = PatchFinalizers(kind=Kind.VMI, key=vmi.key, uid=vmi.uid, seen=vmi.finalizers, wanted=wanted)
        return Plan(actions=(patch,), notes=("finalizer before pod: no pod may outlive its VMI unseen",))
    if view.refusal is not None:
        return _plan_life(view, pod=None, now=now)
    name = launcher_pod_key(vmi).name
    return Plan(
        actions=(create_launcher_pod(vmi=vmi, settings=view.settings),),
        announcements=(_normal("SuccessfulCreate", f"Created virtual machine pod {name}"),),
    )


def _plan_life(view: VmiView, *, pod: LauncherPod | None, now: datetime) -> Plan:
    vmi, status = view.vmi, view.vmi.read_status()
    rows: Sequence[Mapping[str, Any]] = objects(status.get("interfaces"))
    phase = next_phase(phase=vmi.phase, pod=pod)
    records = parse_operations(objects(status.get("interfaceOperations")), default_time=now)
    annotation = _annotation(view, pod=pod, phase=phase, records=records, now=now)
    if pod is not None and phase in _LIVE_PHASES and not pod.is_finished:
        rows = plan_rows(vmi=vmi, pod=pod, rows=rows)
    operations: list[InterfaceOperation] = []
    if phase is VmiPhase.RUNNING:
        operations = plan_operations(
            view=view, pod=pod, rows=rows_by_name(rows), annotation=annotation, records=records, now=now
        )
    conditions = plan_conditions(
        view=view,
        pod=pod,
        phase=phase,
        operations=operations,
        conditions=objects(status.get("conditions")),
        now=now,
    )
    wanted = {
        **status,
        "virtualMachineRevisionName": name_of_start_revision(vmi) or None,
        **_pod_members(view, pod=pod, phase=phase, status=status, now=now),
        "interfaces": rows,
        "interfaceOperations": [operation.to_row() for operation in operations],
        "conditions": conditions,
    }
    life = _Life(pod=pod, phase=phase, annotation=annotation, wanted=wanted, operations=operations, records=records)
    return _assemble(view, life, now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    pod: LauncherPod | None
    phase: VmiPhase
    annotation: AnnotationDecision
    wanted: dict[str, Any]
    operations: list[InterfaceOperation]
    records: dict[str, InterfaceOperation]


def _annotation(
    view: VmiView,
    *,
    pod: LauncherPod | None,
    phase: VmiPhase,
    records: dict[str, InterfaceOperation],
    now: datetime,
) -> AnnotationDecision:
    """Only a ready pod is asked, and only while the gate is on: the controller misses earlier changes."""
    if pod is None or not pod.is_ready or phase not in _LIVE_PHASES or not view.hotplug_enabled:
        return AnnotationDecision()
    # Without a plug on its way, the addition that is missing has been lost: removals count from their own start.
    pending = [item for item in records.values() if not item.is_settled]
    plugs = [item for item in pending if item.operation == OperationType.PLUG]
    oldest = min((item.start_time for item in plugs or pending), default=now)
    return decide_annotation(
        vmi=view.vmi,
        pod=pod,
        rows=rows_by_name(objects(view.vmi.read_status().get("interfaces"))),
        additions_due=oldest + view.settings.serialise_limit,
        now=now,
    )


def _pod_members(
    view: VmiView, *, pod: LauncherPod | None, phase: VmiPhase, status: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """Phase and what follows from the pod: KubeVirt writes these together when the pod is ready."""
    members: dict[str, Any] = {"activePods": {item.uid: item.node_name for item in view.pods} or None}
    if phase is not view.vmi.phase:
        timestamps = objects(status.get("phaseTransitionTimestamps"))
        members["phase"] = str(phase)
        members["phaseTransitionTimestamps"] = with_phase_timestamp(timestamps, phase=phase, now=now)
    if phase is VmiPhase.SCHEDULED and pod is not None:
        members |= {
            "nodeName": pod.node_name,
            "migrationTransport": "Unix",
            "launcherContainerImageVersion": pod.compute_image,
        }
    return members


def _assemble(view: VmiView, life: _Life, *, now: datetime) -> Plan:
    vmi = view.vmi
    # What was refused is not sent again before the refusal has run out; telling it is.
    actions = _effects(view, life) if view.refusal is None else []
    changes = changed_members(seen=vmi.status, wanted=life.wanted)
    is_running = life.phase is VmiPhase.RUNNING
    transitions = find_transitions(before=life.records, after=life.operations, is_running=is_running)
    status = decide_status(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        seen=vmi.status,
        changes=changes,
        urgent=_is_urgent(view, life, changes) or bool(transitions),
        pending_since=view.report_pending_since,
        delay=view.settings.report_delay,
        now=now,
    )
    # What has ended is told when it is written, so that it is told once.
    told = transitions if status.patch is not None else Transitions()
    actions += [status.patch] if status.patch is not None else []
    return Plan(
        actions=tuple(actions),
        announcements=announce(told, now=now),
        completions=complete(told, now=now),
        again_at=min((moment for moment in (status.due, life.annotation.again_at) if moment), default=None),
        withholds_report=status.due is not None,
    )


def _effects(view: VmiView, life: _Life) -> list[Action]:
    effects = (_annotation_patch(life), drop_detached(view.vmi), _node_label(view, life))
    return [effect for effect in effects if effect is not None]


def _annotation_patch(life: _Life) -> PatchNetworksAnnotation | None:
    if life.pod is None or life.annotation.text is None:
        return None
    pod = life.pod
    return PatchNetworksAnnotation(
        key=pod.key,
        uid=pod.uid,
        seen=pod.networks_annotation,
        wanted=life.annotation.text,
        has_annotations=pod.has_annotations,
    )


def _node_label(view: VmiView, life: _Life) -> LabelNode | None:
    """Before the phase: a node agent that finds its label and phase Scheduled starts at once."""
    if life.pod is None or life.phase is not VmiPhase.SCHEDULED or view.vmi.node_label == life.pod.node_name:
        return None
    return LabelNode(
        key=view.vmi.key,
        uid=view.vmi.uid,
        seen=view.vmi.node_label,
        node=life.pod.node_name,
        has_labels=view.vmi.labels != "{}",
    )


def _is_urgent(view: VmiView, life: _Life, changes: dict[str, Any]) -> bool:
    """A go-ahead for the node agent, or an ending that somebody waits for."""
    if "interfaces" in changes or (life.phase is not view.vmi.phase and life.phase not in _EARLY_PHASES):
        return True
    if view.refusal is not None or set(life.records) - {item.name for item in life.operations}:
        return True
    in_flight = any(not item.is_settled for item in life.operations)
    if "conditions" not in changes or life.phase is not VmiPhase.RUNNING or in_flight:
        return False
    return _statuses(changes["conditions"]) != _statuses(view.vmi.read_status().get("conditions"))


_EARLY_PHASES = frozenset({VmiPhase.PENDING, VmiPhase.SCHEDULING})


def _statuses(conditions: Any) -> dict[str, str]:
    return {text(row.get("type")): text(row.get("status")) for row in objects(conditions)}


def _normal(reason: str, message: str) -> Announcement:
    return Announcement(about=Subject.VMI, severity=Severity.NORMAL, reason=reason, message=message)
