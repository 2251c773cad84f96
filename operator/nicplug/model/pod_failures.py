"""Failures that the dynamic networks controller and the kubelet report in events on a pod.

Source: multus-dynamic-networks-controller `pkg/controller/pod.go`: `pod [<ns>/<name>]: failed adding interface
<interface> to network: <network>`; Kubernetes `pkg/kubelet/events`; Multus `pkg/multus`: `error adding container to
network "<name>"`, and `pkg/k8sclient`: `cannot find a network-attachment-definition (<name>) in namespace
(<namespace>)`, after `error in getting k8s network for pod`. An event proves nothing: any client that may create events
in the pod's namespace chooses its reason, source and text (docs/adr/0017). The text is truncated, stripped of control
characters, and quoted; a network that it names is only looked up among those of its pod.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.model.metadata import mapping, text
from nicplug.model.times import parse_time

FAILED_ADDING = "FailedAddingInterface"
FAILED_REMOVING = "FailedRemovingInterface"
FAILED_SANDBOX = "FailedCreatePodSandBox"

_LONGEST_MESSAGE = 256
_LONGEST_READ = 4096
# In containerd's message about a plugin, only the plugin's own part is useful; ids differ at each attempt.
_PREAMBLE = re.compile(r"^.*?failed \(add\): ", re.DOTALL)
_ID = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-)?[0-9a-f]{12,64}\b")
_INTERFACE = re.compile(r"\bfailed (?:adding|removing) interface (\S{1,15})\s")
_NETWORK = re.compile(r'\badding (?:container|pod) to network "?([^\s":]{1,253})"?[: ]')
_MISSING = re.compile(r"\bnetwork-attachment-definition \(([^\s()]{1,253})\) in namespace \(([^\s()]{1,63})\)")
# Multus reads all networks of the pod before it attaches any.
_UNREADABLE = "getting k8s network for pod"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff\uf900-\ufffd]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFailure:
    """The newest failure of one interface of one pod, or of the pod itself to start.

    Attributes:
        interface: "" if the pod itself could not start.
        network: the network that kept the pod from starting, `<name>` or `<namespace>/<name>`; "" if none is named.
        is_of_networks: True if Multus could not read the pod's networks, whether or not it names one.
        heard_at: when this process received it, by its own clock: the node's may be minutes off. For an event that
            existed before, the time in the event.
    """

    pod_uid: str
    interface: str
    reason: str
    message: str
    heard_at: datetime
    network: str = ""
    is_of_networks: bool = False


def parse_pod_failure(raw: Mapping[str, Any], *, now: datetime, is_new: bool) -> PodFailure | None:
    """Parse a core/v1 Event; None if it is not about an interface of a pod, or its start."""
    about, reason, message = mapping(raw.get("involvedObject")), text(raw.get("reason")), text(raw.get("message"))
    uid = text(about.get("uid"))
    if (interface := _interface(reason, message)) is None or not uid:
        return None
    network, is_of_networks = "", False
    if reason == FAILED_SANDBOX:
        message = _PREAMBLE.sub("", message[:_LONGEST_READ], count=1)
        network, is_of_networks = _network(message), _UNREADABLE in message
        message = _ID.sub("...", message)
    return PodFailure(
        pod_uid=uid,
        interface=interface,
        reason=reason,
        message=_printable(message),
        heard_at=now if is_new else min(_last_time(raw) or now, now),
        network=network,
        is_of_networks=is_of_networks,
    )


def _network(message: str) -> str:
    if missing := _MISSING.search(message):
        return f"{missing[2]}/{missing[1]}"
    found = _NETWORK.search(message)
    return found[1] if found is not None else ""


def _interface(reason: str, message: str) -> str | None:
    if reason == FAILED_SANDBOX:
        return ""
    found = _INTERFACE.search(message[:_LONGEST_MESSAGE])
    return found[1] if found is not None and reason in (FAILED_ADDING, FAILED_REMOVING) else None


def _printable(message: str) -> str:
    cleaned = _UNPRINTABLE.sub(" ", message[: 2 * _LONGEST_MESSAGE]).strip()
    return cleaned if len(cleaned) <= _LONGEST_MESSAGE else cleaned[: _LONGEST_MESSAGE - 3] + "..."


def _last_time(raw: Mapping[str, Any]) -> datetime | None:
    series = mapping(raw.get("series"))
    times = (raw.get("lastTimestamp"), series.get("lastObservedTime"), raw.get("eventTime"))
    return next((moment for value in times if (moment := parse_time(value)) is not None), None)
