"""What the dynamic networks controller says it failed to do, from its events on a pod.

Source: multus-dynamic-networks-controller `pkg/controller/pod.go`: `pod [<ns>/<name>]: failed adding
interface <interface> to network: <network>`. An event is a claim, and its text may come from anybody who may
create events: it is bounded, stripped of control characters, and only ever quoted.
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

_LONGEST_MESSAGE = 256
_INTERFACE = re.compile(r"\bfailed (?:adding|removing) interface (\S{1,15})\s")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff\uf900-\ufffd]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFailure:
    """The newest failure of one interface of one pod.

    Attributes:
        heard_at: when this process heard of it, by its own clock: the node's may be minutes away. For an event that
            was there before, when it says that it happened.
    """

    pod_uid: str
    interface: str
    reason: str
    message: str
    heard_at: datetime


def parse_pod_failure(raw: Mapping[str, Any], *, now: datetime, is_new: bool) -> PodFailure | None:
    """Read a core/v1 Event; None for one that says nothing about an interface of a pod."""
    about, reason, message = mapping(raw.get("involvedObject")), text(raw.get("reason")), text(raw.get("message"))
    found = _INTERFACE.search(message[:_LONGEST_MESSAGE])
    uid = text(about.get("uid"))
    if found is None or not uid or reason not in (FAILED_ADDING, FAILED_REMOVING):
        return None
    return PodFailure(
        pod_uid=uid,
        interface=found[1],
        reason=reason,
        message=_printable(message),
        heard_at=now if is_new else min(_last_time(raw) or now, now),
    )


def _printable(message: str) -> str:
    cleaned = _UNPRINTABLE.sub(" ", message[: 2 * _LONGEST_MESSAGE]).strip()
    return cleaned if len(cleaned) <= _LONGEST_MESSAGE else cleaned[: _LONGEST_MESSAGE - 3] + "..."


def _last_time(raw: Mapping[str, Any]) -> datetime | None:
    series = mapping(raw.get("series"))
    times = (raw.get("lastTimestamp"), series.get("lastObservedTime"), raw.get("eventTime"))
    return next((moment for value in times if (moment := parse_time(value)) is not None), None)
