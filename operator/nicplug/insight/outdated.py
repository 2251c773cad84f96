"""Finds NICs of a guest whose network has changed, by the operator's own comparison."""

from collections.abc import Mapping
from datetime import datetime

from nicplug.insight.companion import gatherer_of
from nicplug.insight.evidence import Evidence
from nicplug.model.keys import VmiKey
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.outdated_attachments import outdated_attachments


def outdated_of(evidence: Evidence, *, now: datetime) -> Mapping[str, Refusal]:
    """Return what the condition OutdatedNetworkAttachments says about each NIC, by name."""
    view = gatherer_of(evidence).vmi_view(VmiKey(evidence.target.namespace, evidence.target.name))
    if view is None or view.vmi.phase is None:
        return {}
    status, records = view.vmi.status, view.vmi.status.records(now=now)
    return outdated_attachments(
        view,
        pod=active_pod(view),
        phase=view.vmi.phase,
        interfaces=status.interface_rows,
        operations=tuple(records.values()),
    )
