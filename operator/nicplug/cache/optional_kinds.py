"""The kinds that nicplug follows when it can: what is asked for, and what to do when it cannot be had."""

from nicplug.cache.optional_watch import Absence, OptionalWatch, Sink
from nicplug.kube.api import WatchingApi
from nicplug.kube.resources import CORE_EVENTS, NETWORK_ATTACHMENT_DEFINITIONS
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING

_RIGHTS = "kubectl apply -k deploy/kustomize/base gives the right to list and watch"


def watch_attachments(api: WatchingApi, *, sink: Sink) -> OptionalWatch:
    """All network attachment definitions."""
    return OptionalWatch(
        api=api,
        resource=NETWORK_ATTACHMENT_DEFINITIONS,
        sink=sink,
        remedy={
            Absence.NOT_SERVED: "install Multus and its CRD; it is noticed without a restart",
            Absence.DENIED: f"{_RIGHTS} network-attachment-definitions; until then every network counts as existing",
        },
    )


def watch_pod_failures(api: WatchingApi, *, sink: Sink) -> tuple[OptionalWatch, ...]:
    """The events by which the dynamic networks controller reports failures; selected by the server."""
    remedy = {
        Absence.NOT_SERVED: "this API server serves no events; records quote none",
        Absence.DENIED: f"{_RIGHTS} events; until then records do not quote why a NIC fails",
    }
    return tuple(
        OptionalWatch(
            api=api,
            resource=CORE_EVENTS,
            sink=sink,
            remedy=remedy,
            field_selector=f"involvedObject.kind=Pod,reason={reason}",
        )
        for reason in (FAILED_ADDING, FAILED_REMOVING)
    )
