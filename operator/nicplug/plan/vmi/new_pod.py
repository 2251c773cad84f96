"""Creation of a VMI's launcher pod: when, with which networks, and when it is recreated."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Delete, Kind, check_unchanged
from nicplug.plan.nic.attachments import networks_to_allow_later, networks_to_plug_later
from nicplug.plan.nic.spec_checks import refuse_whole
from nicplug.plan.outcome import Announcement, Plan, Subject, normal
from nicplug.plan.views import Refusal, VmiView
from nicplug.plan.vmi.launcher_pod import NO_DIGEST, create_launcher_pod, launcher_pod_key, pod_spec_digest
from nicplug.plan.vmi.new_pod_networks import (
    refuse_default_network,
    refuse_networks,
    refuse_unknown_device,
    refuse_unregistered_plugin,
)
from nicplug.plan.vmi.own_pods import announce_leftover, announce_taken_name, discard, migration_of, taken_names
from nicplug.plan.vmi.phase import is_starting

# A refusal of the pod is returned, not planned: `plan.vmi.plan_vmi` reports it in the status of the VMI.


def plan_new_pod(view: VmiView, *, now: datetime) -> Plan | Refusal:
    """Create the pod, or wait for networks that may have been created together with the VM; else the refusal."""
    vmi = view.vmi
    # A spec that KubeVirt's admission rejects may have been stored before the rules.
    if refusal := refuse_whole(vmi.interfaces, vmi.networks, config=view.config, root="spec"):
        return refusal
    if refusal := refuse_unregistered_plugin(vmi=vmi, config=view.config):
        return refusal
    forbidden = networks_to_allow_later(view)
    if refusal := refuse_networks(vmi=vmi, known=view.attachments, left_out=forbidden):
        return refusal
    # Forbidden networks are not looked up: not even a pause may reveal whether they exist.
    missing = networks_to_plug_later(view) - forbidden
    lacking = refuse_default_network(vmi=vmi, known=view.attachments)
    lacking = lacking or refuse_unknown_device(vmi=vmi, known=view.attachments)
    if (missing or lacking) and now < (patience := view.spec_seen_at + view.settings.attachment_patience):
        return Plan(again_at=patience, notes=("a network may have been created together with the VM",))
    if lacking is not None:
        return lacking
    pod = create_launcher_pod(
        vmi=vmi,
        settings=view.settings,
        config=view.config,
        attachments=view.attachments,
        left_out=missing | forbidden,
        taken=taken_names(view),
    )
    message = f"Created virtual machine pod {pod.key.name}"
    event = normal(Subject.VMI, "SuccessfulCreate", message)
    return Plan(actions=(pod,), announcements=(event, *announce_taken_name(pod, launcher_pod_key(vmi))))


def delete_unrecorded(view: VmiView, pods: Sequence[LauncherPod], plan: Plan) -> Plan:
    """Delete unrecorded pods before another one is created, and only while no status records one of them."""
    vmi = view.vmi
    check = check_unchanged(vmi)
    deletions = discard(view, pods, unrecorded_of=vmi.uid)
    uids = {item.uid for item in deletions}
    announced = (announce_leftover(pod) for pod in pods if pod.uid in uids)
    return replace(plan, actions=(check, *deletions, *plan.actions), announcements=(*announced, *plan.announcements))


# An unscheduled launcher pod is recreated after its spec changes. KubeVirt's users have to restart such a VM: the pod
# with the wrong node selector stays indefinitely. Nothing runs in a pod without a node, so nothing is lost with it.
# NICs are no reason: they are plugged when the pod runs.


def is_outdated(view: VmiView, pod: LauncherPod | None) -> bool:
    """True if the pod is unscheduled and its spec is outdated.

    Compares what was requested, not what the pod has: admission adds to selectors and tolerations. A spec that is too
    large to be kept is not compared: what is elided of it depends on other objects.
    """
    if pod is None or pod.node_name or not pod.made_with or not is_starting(view.vmi):
        return False
    if migration_of(view, pod):
        return False
    wanted = pod_spec_digest(view.vmi, settings=view.settings, config=view.config)
    return NO_DIGEST not in (pod.made_with, wanted) and pod.made_with != wanted


def was_discarded(view: VmiView, pod: LauncherPod | None) -> bool:
    """True if the pod was deleted here as unrecorded, while an earlier leader was about to record it.

    Its record came after its end: no guest was ever in it, and the VMI gets another one.
    """
    recorded = {record.uid for record in view.vmi.launcher_pods or ()}
    discarded = recorded & view.discarded
    is_over = pod is None or (pod.is_down_or_going and pod.uid in discarded)
    return is_over and bool(discarded) and recorded - discarded <= view.gone and is_starting(view.vmi)


def renew(view: VmiView, pod: LauncherPod | None, *, phase: VmiPhase) -> Delete | None:
    """Delete it, once the VMI says Pending: in a later phase, a VMI without a pod has lost its guest.

    Only while the pod is unchanged: the scheduler may have just found a node for it.

    Args:
        phase: phase after this pass; Pending with a pod only for one that is recreated.
    """
    if pod is None or pod.deleting or phase is not VmiPhase.PENDING or not view.vmi.is_unprocessed:
        return None
    return Delete(kind=Kind.POD, key=pod.key, uid=pod.uid, version=pod.resource_version)


def announce_renewal(deletion: Delete) -> Announcement:
    """KubeVirt's event of a deleted pod, with the reason."""
    what = f"Deleted virtual machine pod {deletion.key.name}, which no node had taken"
    why = "the spec that it was made from has changed, and a new one is made"
    return normal(Subject.VMI, "SuccessfulDelete", f"{what}: {why}")
