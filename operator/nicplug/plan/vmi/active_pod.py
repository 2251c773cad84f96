"""Which pod runs the guest, and what keeps it in sight."""

from nicplug.model.names import LAUNCHER_LABEL_VALUE
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import ConfirmPod, RestoreLabel
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import launcher_pod_key


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


def confirm_pod(vmi: VirtualMachineInstance) -> ConfirmPod:
    """Ask for the pod that is not in sight: losing a label is not losing a guest."""
    return ConfirmPod(key=launcher_pod_key(vmi), owner=vmi.key, owner_uid=vmi.uid)


def restore_label(pod: LauncherPod) -> RestoreLabel | None:
    """Put the label back that somebody took away: without it, no watch tells about the pod."""
    if pod.label == LAUNCHER_LABEL_VALUE:
        return None
    return RestoreLabel(key=pod.key, uid=pod.uid, seen=pod.label, has_labels=pod.has_labels)
