"""Timeouts of a migration, and the effect of a lost node."""

from datetime import datetime, timedelta

from nicplug.model.conditions import FALSE, PROGRESSING
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import PENDING_TIMEOUT_ANNOTATION, UNSCHEDULABLE_TIMEOUT_ANNOTATION
from nicplug.model.node import Node
from nicplug.model.pod import LauncherPod
from nicplug.model.times import parse_time
from nicplug.plan.migration.facts import Ending, MigrationFacts
from nicplug.plan.migration.target_networks import missing_interfaces
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView

# A node that is away while the node agents have a migration: its guest may run there, or have arrived on the other
# side. Nothing is ended; the status reports what decides.


def describe_lost_node(view: MigrationView, facts: MigrationFacts) -> str:
    """Report the node that the migration needs and that is not ready, or gone, with the remedy; "" if none.

    Once the guest has arrived, the node that it has left does not matter any more.
    """
    state = facts.state
    # A running VM has a node, so an empty list means that nodes cannot be read.
    if not view.nodes or not facts.is_handed_off or not state.is_active:
        return ""
    has_arrived = state.target_ready_at is not None
    sides = [(state.target_node, state.target_pod, "has come to" if has_arrived else "is to come to")]
    if not has_arrived:
        sides.insert(0, (state.source_node, state.source_pod, "is to leave"))
    nodes = {node.name: node for node in view.nodes}
    for name, pod, relation in sides:
        if (flaw := _flaw(nodes.get(name))) and name:
            what = f"node {name}, which the VM {relation}, {flaw}: nobody can say whether the VM runs there"
            return f"{what}. {_remedy(view, pod, is_gone=name not in nodes)}"
    return ""


def _flaw(node: Node | None) -> str:
    if node is None:
        return "is not in the cluster any more"
    return "" if node.is_ready else "is not ready"


def _remedy(view: MigrationView, pod: str, *, is_gone: bool) -> str:
    found = next((item for item in view.pods if item.key.name == pod), None)
    if found is None:
        return "Its pod is gone: the VM ends within two minutes, unless the other node says that it runs there"
    wait = "Kubernetes deletes its pod within minutes" if is_gone else "Bring the node back"
    force = f"kubectl delete pod -n {found.key.namespace} {pod} --force"
    return f"{wait}; or, when you know that it is off: {force}, then it is decided"


# Every deadline follows from timestamps in objects.
#
# Source: KubeVirt 1.9 `pkg/virt-controller/watch/migration/migration.go` (`handlePendingPodTimeout`). The deadline for
# node agents is nicplug's own: KubeVirt waits indefinitely for a target that never answers.

NODE_AGENT_PATIENCE = timedelta(seconds=300)
_UNSCHEDULABLE_SECONDS = 300
_PENDING_SECONDS = 900
_LONGEST_SECONDS = 10 * 365 * 24 * 3600


def unschedulable_timeout(migration: Migration) -> timedelta:
    """How long the target pod may be unschedulable."""
    return _seconds(migration.annotation(UNSCHEDULABLE_TIMEOUT_ANNOTATION), default=_UNSCHEDULABLE_SECONDS)


def pending_timeout(migration: Migration) -> timedelta:
    """How long the target pod may be pending for any reason, or be refused."""
    return _seconds(migration.annotation(PENDING_TIMEOUT_ANNOTATION), default=_PENDING_SECONDS)


def _seconds(value: str | None, *, default: int) -> timedelta:
    is_number = value is not None and value.isascii() and value.isdecimal() and len(value) < 12
    return timedelta(seconds=min(int(value), _LONGEST_SECONDS) if value and is_number else default)


def stuck_since(migration: Migration, *, now: datetime) -> datetime:
    """Since when `Progressing` has been False; now, if it is not."""
    condition = migration.status.condition(PROGRESSING)
    return (parse_time(condition.since) if condition.status == FALSE else None) or now


def pod_deadline(facts: MigrationFacts, pod: LauncherPod, *, now: datetime) -> datetime | None:
    """When a target pod that was not handed off yet times out; None if it is handed off, or is about to be."""
    if facts.is_handed_off:
        return None
    if pod.is_ready and not _lacks(facts, pod):
        return _turn_deadline(facts, pod)
    migration, since = facts.migration, waits_since(facts, pod, now=now)
    due = since + pending_timeout(migration)
    # A repeated failure would hold a slot for a quarter of an hour.
    is_hopeless = pod.unscheduled is not None or bool(facts.start_failure)
    return min(due, since + unschedulable_timeout(migration)) if is_hopeless else due


def _turn_deadline(facts: MigrationFacts, pod: LauncherPod) -> datetime | None:
    """When a ready target pod that waits for its turn returns the slot that others need."""
    since = facts.migration.entered_at(MigrationPhase.SCHEDULED) or pod.created
    if since is None or (facts.has_turn and facts.can_move):
        return None
    if facts.migration.renewal.replaced and pod.created is not None:
        since = max(since, pod.created)  # how often it may be replaced is limited
    return since + pending_timeout(facts.migration)


def waits_since(facts: MigrationFacts, pod: LauncherPod, *, now: datetime) -> datetime:
    """Start of the wait for the target pod, or for the stuck one that it replaced.

    One that was ready may have waited long for its turn: its time begins when it is reported not ready. By our own
    clock, not by the pod's conditions: a container that exits repeatedly would restart the time.
    """
    is_ready_no_more = facts.migration.phase is MigrationPhase.SCHEDULED and not pod.is_ready
    since = stuck_since(facts.migration, now=now) if is_ready_no_more else pod.created or now
    before = facts.migration.renewal.waiting_since
    return min(since, before) if before is not None else since


def give_up_pod(facts: MigrationFacts, *, now: datetime) -> Ending | None:
    """Fail the migration if its target pod has timed out; the failure implies the pod's deletion."""
    migration, pod = facts.migration, facts.target
    if pod is None or (due := pod_deadline(facts, pod, now=now)) is None or now < due:
        return None
    event = "Migration target pod was removed during active migration."
    shorter = min(unschedulable_timeout(migration), pending_timeout(migration))
    if pod.unscheduled is not None:
        seconds = shorter.total_seconds()
        message = f"target pod {pod.key.name} found no node within {seconds:.0f} s: {pod.unscheduled.message}"
        return Ending(reason=Reason.TARGET_POD_UNSCHEDULABLE, event=event, message=message)
    if pod.is_ready and not _lacks(facts, pod):
        return Ending(reason=Reason.NO_SLOT_IN_TIME, event=event, message=_had_no_turn(facts, pod))
    seconds = (shorter if facts.start_failure else pending_timeout(migration)).total_seconds()
    reason = Reason.TARGET_POD_NOT_READY if needs_correction(facts, pod) else Reason.TARGET_POD_LATE
    if lack := _lacks(facts, pod):
        message = f"target pod {pod.key.name} runs on {pod.node_name}, but within {seconds:.0f} s {lack}"
        return Ending(reason=reason, event=event, message=message)
    where = f" on {pod.node_name}" if pod.node_name else ""
    message = f"target pod {pod.key.name} did not start{where} within {seconds:.0f} s: {describe_wait(facts, pod)}"
    return Ending(reason=reason, event=event, message=message)


def _had_no_turn(facts: MigrationFacts, pod: LauncherPod) -> str:
    seconds = pending_timeout(facts.migration).total_seconds()
    why = "the VM could not move" if facts.has_turn else facts.queue or "the list of migrations under way has no answer"
    return f"target pod {pod.key.name} was ready on {pod.node_name}, and waited for its turn for {seconds:.0f} s: {why}"


def describe_wait(facts: MigrationFacts, pod: LauncherPod) -> str:
    """Describe what a target pod that has not started waits for."""
    if pod.image_error is not None:
        return f"{pod.image_error.reason}: {pod.image_error.message}"
    return facts.start_failure or facts.node_trouble or _HINT


def needs_correction(facts: MigrationFacts, pod: LauncherPod) -> bool:
    """True if a network cannot be attached, or a sidecar container is broken: the next pod would fail, too.

    An image is pulled after the networks are attached. If the cause is unknown (events cannot be read), interfaces that
    Multus has not reported are suspected: a broken network must not migrate a VM repeatedly.
    """
    if pod.image_error is not None or not pod.node_name or facts.vmi is None:
        return False
    if facts.start_failure:
        return facts.is_networks_fault
    is_unready = pod.phase not in ("", "Pending") and not pod.is_ready
    return not facts.node_trouble and (is_unready or bool(missing_interfaces(pod, facts.vmi)))


def _lacks(facts: MigrationFacts, pod: LauncherPod) -> str:
    """Describe what a running target pod lacks; "" if the VM could move to it."""
    if pod.phase in ("", "Pending") or facts.vmi is None:
        return ""
    if not pod.is_ready:
        return f"it was not ready: {unready_containers(pod)}"
    if missing := missing_interfaces(pod, facts.vmi):
        return f"Multus did not report {', '.join(missing)}"
    lacks_source = f"there was not exactly one other launcher pod: {facts.names_of_others}"
    return "" if facts.source is not None else lacks_source


def unready_containers(pod: LauncherPod) -> str:
    """Describe what keeps a running pod from being ready."""
    if not pod.unready:
        return f"its phase is {pod.phase}"
    names = ", ".join(f"{name} ({why})" if why else name for name, why in pod.unready)
    return f"container {names}" if len(pod.unready) == 1 else f"containers {names}"


_HINT = "its events tell what it waited for, such as a network or an image"


def agent_deadline(facts: MigrationFacts) -> datetime | None:
    """When a migration times out that was handed to the node agents and that they have not begun."""
    phase = facts.migration.phase
    if phase not in (MigrationPhase.PREPARING_TARGET, MigrationPhase.TARGET_READY):
        return None
    if not facts.is_ours or not facts.state.is_active or facts.state.started_at is not None:
        return None
    entered = facts.migration.entered_at(phase)
    return entered + NODE_AGENT_PATIENCE if entered is not None else None
