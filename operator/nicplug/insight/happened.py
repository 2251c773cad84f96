"""Collects what happened to a NIC from its record, migrations and events. Pure.

Any client with permission to write events can forge one: they are quoted with their source, and decide nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nicplug.insight.moments import (
    CREATED,
    READY,
    RECORDED,
    REQUESTED,
    Moment,
    in_order,
    place_of_event,
    place_of_phase,
)
from nicplug.insight.nic_rows import NicRow
from nicplug.model.metadata import mapping, text
from nicplug.model.migration import Migration
from nicplug.model.networks_annotation import hashed_interface_name
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.times import parse_time

MOST_MOMENTS = 30
_LONGEST = 400
_UNPLUGGED = "InterfaceUnplugged"
# Timestamps of objects are in whole seconds, and the clocks of their writers may differ a little.
_SKEW = timedelta(seconds=2)


def happened(
    nic: NicRow,
    *,
    record: InterfaceOperation | None,
    migrations: Sequence[Migration],
    events: Iterable[Mapping[str, Any]],
    pod: str = "",
) -> tuple[Moment, ...]:
    """Return the newest moments, in order.

    Args:
        record: the NIC's record.
        migrations: migrations that are, or were, for the NIC.
        events: events about the VM, its VMI, its pods and its migrations.
        pod: the launcher pod that does not start, whose warnings are included; "" for none.
    """
    said = list(_of_events(nic, events, migrations, pod=pod))
    begin = _begin(record, said)
    present = [item for item in migrations if not item.is_final or _is_since(item.created, begin)]
    moments = [*_of_record(record), *_of_migrations(present), *(item for item in said if _is_since(item.at, begin))]
    return tuple(_once(in_order(moments))[-MOST_MOMENTS:])


def _begin(record: InterfaceOperation | None, said: Iterable[Moment]) -> datetime | None:
    """Return when this NIC was requested: an earlier one of its name has a story of its own.

    The record of an unplug does not say when the NIC was plugged; an event shows that an earlier one had gone by then.
    """
    if record is None:
        return None
    if record.operation == OperationType.PLUG:
        return record.start_time
    gone = (item.at for item in said if item.reason == _UNPLUGGED and item.at < record.start_time)
    return max(gone, default=None)


def _is_since(moment: datetime | None, begin: datetime | None) -> bool:
    return moment is None or begin is None or moment >= begin - _SKEW


def _once(moments: Iterable[Moment]) -> list[Moment]:
    """Drop duplicates: VM and VMI have the same events, a moment apart."""
    latest: dict[str, Moment] = {}
    kept = []
    for moment in moments:
        before = latest.get(moment.what)
        if before is None or (moment.at - before.at).total_seconds() > 1:
            kept.append(moment)
        latest[moment.what] = moment
    return kept


def _of_record(record: InterfaceOperation | None) -> Iterator[Moment]:
    """Yield the moments of the record, without its message, which is at the head of the story."""
    if record is None:
        return
    source = "record"
    yield Moment(at=record.start_time, source=source, what=f"{record.operation} was asked for", place=REQUESTED)
    # Networks that a target pod is created with are not requested from a pod on a node without a controller.
    is_asked = record.path == OperationPath.DYNAMIC or record.waiting_since is not None
    if record.last_attempt_time is not None and is_asked:
        attempt = f"the pod was asked, attempt {record.attempts}"
        yield Moment(at=record.last_attempt_time, source=source, what=attempt, place=RECORDED)
    place = READY if record.phase == OperationPhase.READY else RECORDED
    what = f"{record.phase} ({record.reason})"
    yield Moment(at=record.last_transition_time, source=source, what=what, place=place)


def _of_migrations(migrations: Iterable[Migration]) -> Iterator[Moment]:
    for item in migrations:
        source = f"migration {item.key.name}"
        if item.created is not None:
            yield Moment(at=item.created, source=source, what="created", place=CREATED)
        for phase, at in item.status.phase_times.items():
            if at is not None and phase:
                is_last = phase == item.phase and bool(item.progress)
                what = f"{phase}: {item.progress}" if is_last else phase
                yield Moment(at=at, source=source, what=what, place=place_of_phase(phase))


def _of_events(
    nic: NicRow, events: Iterable[Mapping[str, Any]], migrations: Sequence[Migration], *, pod: str
) -> Iterator[Moment]:
    """Yield events that name the NIC or its pod interface, those of its migrations, and warnings of `pod`."""
    needles = (f'NIC "{nic.name}"', hashed_interface_name(nic.name))
    of_migrations = {item.uid for item in migrations}
    for event in events:
        about, message = mapping(event.get("involvedObject")), text(event.get("message"))
        is_of_pod = bool(pod) and text(about.get("name")) == pod and text(event.get("type")) == "Warning"
        is_of_migration = text(about.get("uid")) in of_migrations
        if not (is_of_pod or is_of_migration or any(needle in message for needle in needles)):
            continue
        at = event_time(event)
        if at is None:
            continue
        kind, count = text(about.get("kind")), _count(event)
        times = f" ({count} times)" if count > 1 else ""
        reason = text(event.get("reason"))
        source = f"event of {kind} {text(about.get('name'))}"
        what = f"{reason}: {_quoted(message, nic)}{times}"
        yield Moment(at=at, source=source, what=what, place=place_of_event(reason), reason=reason)


def _quoted(message: str, nic: NicRow) -> str:
    """Return the message on one line, cut between words, without what the head of the story already says."""
    if nic.message and nic.message in message:
        return f'NIC "{nic.name}", with the message of its record'
    said = " ".join(message.split())
    if len(said) <= _LONGEST:
        return said
    return f"{said[:_LONGEST].rpartition(' ')[0] or said[:_LONGEST]} ..."


def event_time(event: Mapping[str, Any]) -> datetime | None:
    """Return when it last happened, from whichever of the API's fields its writer has set."""
    series = mapping(event.get("series"))
    metadata = mapping(event.get("metadata"))
    found = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    times = (parse_time(value) for value in (*found, metadata.get("creationTimestamp")))
    return next((time for time in times if time is not None), None)


def _count(event: Mapping[str, Any]) -> int:
    value = mapping(event.get("series")).get("count") or event.get("count")
    return value if isinstance(value, int) else 1
