"""Whether the launcher pod of a VMI is made now, and with which networks.

What refuses the pod is returned, not planned for: `plan.vmi.decide` reports it in the status of the VMI.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from nicplug.model.pod import LauncherPod
from nicplug.plan.actions import CheckUnchanged
from nicplug.plan.nic.attachments import networks_to_allow_later, networks_to_plug_later
from nicplug.plan.outcome import Announcement, Plan, Severity, Subject
from nicplug.plan.views import Refusal, VmiView
from nicplug.plan.vmi.launcher_pod import create_launcher_pod, launcher_pod_key
from nicplug.plan.vmi.own_pods import announce_taken_name, discard, taken_names
from nicplug.plan.vmi.pod_networks import (
    refuse_default_network,
    refuse_networks,
    refuse_spec,
    refuse_unknown_device,
    refuse_unregistered_plugin,
)
from nicplug.plan.vmi.stray_pods import announce_leftover


def plan_new_pod(view: VmiView, *, now: datetime) -> Plan | Refusal:
    """Create it, or wait for networks that may have been created together with the VM; else why it is not made."""
    vmi = view.vmi
    refusal = refuse_spec(vmi, config=view.config) or refuse_unregistered_plugin(vmi=vmi, config=view.config)
    if refusal is not None:
        return refusal
    forbidden = networks_to_allow_later(view)
    if refusal := refuse_networks(vmi=vmi, known=view.attachments, left_out=forbidden):
        return refusal
    # Of what is forbidden nothing else is asked: whether it exists shall not be told by a pause either.
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
    event = Announcement(about=Subject.VMI, severity=Severity.NORMAL, reason="SuccessfulCreate", message=message)
    return Plan(actions=(pod,), announcements=(event, *announce_taken_name(pod, launcher_pod_key(vmi))))


def delete_unrecorded(view: VmiView, pods: Sequence[LauncherPod], plan: Plan) -> Plan:
    """Before another one is made, and only while nobody has recorded one of them."""
    vmi = view.vmi
    check = CheckUnchanged(key=vmi.key, uid=vmi.uid, version=vmi.resource_version)
    deletions = discard(view, pods, unrecorded_of=vmi.uid)
    uids = {item.uid for item in deletions}
    announced = (announce_leftover(pod) for pod in pods if pod.uid in uids)
    return replace(plan, actions=(check, *deletions, *plan.actions), announcements=(*announced, *plan.announcements))
