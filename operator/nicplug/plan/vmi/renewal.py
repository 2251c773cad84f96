"""A launcher pod that no node has taken is recreated when the spec that it was made from has been corrected.

KubeVirt's users have to restart such a VM: the pod with the wrong node selector stays for ever. Nothing runs in
a pod without a node, so nothing is lost with it. NICs are no reason: they reach the pod when it runs.
"""

from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VmiPhase
from nicplug.plan.actions import Delete, Kind
from nicplug.plan.outcome import Announcement, Severity, Subject
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import NO_DIGEST, pod_spec_digest
from nicplug.plan.vmi.own_pods import migration_of
from nicplug.plan.vmi.phase import is_starting


def is_outdated(view: VmiView, pod: LauncherPod | None) -> bool:
    """The pod waits for a node by a spec that is no longer the VMI's.

    Compared is what was asked for, not what the pod has: admission adds to selectors and tolerations. A spec that is
    too large to be kept is not compared: what is elided of it depends on what else there is.
    """
    if pod is None or pod.node_name or not pod.made_with or not is_starting(view.vmi):
        return False
    if migration_of(view, pod):
        return False
    wanted = pod_spec_digest(view.vmi, settings=view.settings, config=view.config)
    return NO_DIGEST not in (pod.made_with, wanted) and pod.made_with != wanted


def was_discarded(view: VmiView, pod: LauncherPod | None) -> bool:
    """It was deleted here, since nobody had recorded it, while a leader before this one was about to record it.

    Its record has come after its end: no guest was ever in it, and the VMI gets another one.
    """
    recorded = {record.uid for record in view.vmi.launcher_pods or ()}
    discarded = recorded & view.discarded
    is_over = pod is None or (pod.is_down_or_going and pod.uid in discarded)
    return is_over and bool(discarded) and recorded - discarded <= view.gone and is_starting(view.vmi)


def renew(view: VmiView, pod: LauncherPod | None, *, phase: VmiPhase) -> Delete | None:
    """Delete it, once the VMI says Pending: with no pod in a later phase, it would have lost its guest.

    Only while the pod is as it was seen: the scheduler may have found a node for it in this moment.

    Args:
        phase: as it will be after this pass; Pending with a pod only for one that is renewed.
    """
    if pod is None or pod.deleting or phase is not VmiPhase.PENDING or not view.vmi.is_unprocessed:
        return None
    return Delete(kind=Kind.POD, key=pod.key, uid=pod.uid, version=pod.resource_version)


def announce_renewal(deletion: Delete) -> Announcement:
    """KubeVirt's event of a deleted pod, with the reason."""
    return Announcement(
        about=Subject.VMI,
        severity=Severity.NORMAL,
        reason="SuccessfulDelete",
        message=f"Deleted virtual machine pod {deletion.key.name}, which no node had taken: "
        "the spec that it was made from has changed, and a new one is made",
    )
