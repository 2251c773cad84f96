"""The story of one NIC: what happened, who waits for whom, what to do, what comes next. Pure.

Anyone with the right to write events can forge one: they are quoted with their source, and decide nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nicplug.insight.forecast import NicForecast, Outcome
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
from nicplug.insight.nics import NicRow
from nicplug.insight.remedies import Documented, remedies
from nicplug.insight.waiting import waits_for
from nicplug.model.interface_names import hashed_interface_name
from nicplug.model.metadata import mapping, text
from nicplug.model.migration import Migration
from nicplug.model.operations import InterfaceOperation, OperationPhase
from nicplug.model.times import parse_time
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.causes import causes_of

MOST_MOMENTS = 30
_LONGEST = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """Something that will happen.

    Attributes:
        at: None when nobody can say.
    """

    at: datetime | None
    what: str

    def to_json(self) -> dict[str, Any]:
        """As programs get it."""
        return {"at": self.at.isoformat() if self.at is not None else None, "what": self.what}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One NIC.

    Attributes:
        meaning: of its reason.
        waits_for: who has the next move; "" when nobody has.
        since: since when it has been like this.
        todo: what a person can do: the record's remedy, or that of its reason where it has none.
        restart: what a restart of the VM has to do with it; "" when nothing.
    """

    nic: NicRow
    meaning: str
    waits_for: str
    since: datetime | None
    todo: str
    next: tuple[Next, ...]
    moments: tuple[Moment, ...]
    restart: str = ""


def tell(
    *,
    nic: NicRow,
    record: InterfaceOperation | None,
    vmi: VirtualMachineInstance | None,
    pod: str,
    migrations: Sequence[Migration],
    events: Iterable[Mapping[str, Any]],
    forecast: NicForecast | None,
    looks_again_at: datetime | None,
    restart: str = "",
    now: datetime,
) -> Story:
    """Put the story together.

    Args:
        pod: name of the launcher pod; "" while there is none.
        migrations: of the VM, oldest first.
        events: about the VM, its VMI, its pods and its migrations.
        forecast: what the operator would do next about the NIC.
        looks_again_at: when it does so without a change; None when only a change makes it look.
        restart: what a restart of the VM has to do with the NIC.
    """
    known = remedies().get(nic.reason)
    node = vmi.node_name if vmi is not None else ""
    waiting = "" if nic.is_ready else waits_for(nic.reason, node=node, pod=pod)
    mine = _migrations_of(nic, migrations)
    moments = [*_of_record(record), *_of_migrations(mine), *_of_events(nic.name, events, mine)]
    moments = _once(in_order(moments))
    is_waiting = not nic.is_ready
    return Story(
        nic=nic,
        meaning=known.meaning if known is not None else "",
        waits_for=_in_front(mine) or waiting,
        since=nic.since,
        todo=_todo(nic, known) if is_waiting else "",
        next=tuple(_next(nic, forecast, looks_again_at, now=now)) if is_waiting else (),
        moments=tuple(moments[-MOST_MOMENTS:]),
        restart=restart,
    )


def _todo(nic: NicRow, known: Documented | None) -> str:
    """As the record has it, with names; else what the reason asks for in general."""
    return nic.remedy or (known.remedy if known is not None else "")


def _once(moments: Iterable[Moment]) -> list[Moment]:
    """VM and VMI have the same events, a moment apart."""
    told: dict[str, Moment] = {}
    kept = []
    for moment in moments:
        before = told.get(moment.what)
        if before is None or (moment.at - before.at).total_seconds() > 1:
            kept.append(moment)
        told[moment.what] = moment
    return kept


def _migrations_of(nic: NicRow, migrations: Sequence[Migration]) -> list[Migration]:
    """Those that are, or were, for this NIC, and any that is under way: it brings the NIC too."""
    return [
        item
        for item in migrations
        if item.key.name == nic.migration or nic.name in causes_of(item) or not item.is_final
    ]


def _in_front(migrations: Sequence[Migration]) -> str:
    """What a migration that has not ended says itself, with the names of those in front of it."""
    under_way = [item for item in migrations if not item.is_final and item.progress]
    return f"migration {under_way[-1].key.name}: {under_way[-1].progress}" if under_way else ""


def _of_record(record: InterfaceOperation | None) -> Iterator[Moment]:
    if record is None:
        return
    source = "record"
    yield Moment(at=record.start_time, source=source, what=f"{record.operation} was asked for", place=REQUESTED)
    if record.last_attempt_time is not None:
        told = f"the pod was asked, attempt {record.attempts}"
        yield Moment(at=record.last_attempt_time, source=source, what=told, place=RECORDED)
    what = f"{record.phase} ({record.reason}): {record.message}"
    place = READY if record.phase == OperationPhase.READY else RECORDED
    yield Moment(at=record.last_transition_time, source=source, what=what[:_LONGEST], place=place)


def _of_migrations(migrations: Iterable[Migration]) -> Iterator[Moment]:
    for item in migrations:
        source = f"migration {item.key.name}"
        if item.created is not None:
            yield Moment(at=item.created, source=source, what="created", place=CREATED)
        rows = item.read_status().get("phaseTransitionTimestamps")
        for row in rows if isinstance(rows, list) else ():
            at, phase = parse_time(mapping(row).get("phaseTransitionTimestamp")), text(mapping(row).get("phase"))
            if at is not None and phase:
                is_last = phase == item.phase and bool(item.progress)
                what = f"{phase}: {item.progress}" if is_last else phase
                yield Moment(at=at, source=source, what=what, place=place_of_phase(phase))


def _of_events(name: str, events: Iterable[Mapping[str, Any]], migrations: Sequence[Migration]) -> Iterator[Moment]:
    """Those that name the NIC or its pod interface, and all of its migrations."""
    needles = (f'NIC "{name}"', hashed_interface_name(name))
    of_migrations = {item.uid for item in migrations}
    for event in events:
        about, message = mapping(event.get("involvedObject")), text(event.get("message"))
        if text(about.get("uid")) not in of_migrations and not any(needle in message for needle in needles):
            continue
        at = event_time(event)
        if at is None:
            continue
        kind, count = text(about.get("kind")), _count(event)
        times = f" ({count} times)" if count > 1 else ""
        reason = text(event.get("reason"))
        what = f"{reason}: {' '.join(message.split())[:_LONGEST]}{times}"
        source = f"event of {kind} {text(about.get('name'))}"
        yield Moment(at=at, source=source, what=what, place=place_of_event(reason))


def event_time(event: Mapping[str, Any]) -> datetime | None:
    """When it last happened, by whichever of the API's fields its writer has filled."""
    series = mapping(event.get("series"))
    metadata = mapping(event.get("metadata"))
    found = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    times = (parse_time(value) for value in (*found, metadata.get("creationTimestamp")))
    return next((time for time in times if time is not None), None)


def _count(event: Mapping[str, Any]) -> int:
    value = mapping(event.get("series")).get("count") or event.get("count")
    return value if isinstance(value, int) else 1


_THEN = {
    Outcome.READY: "it is ready",
    Outcome.IN_PLACE: "the pod is asked again",
    Outcome.BY_MIGRATION: "the VM is migrated for it",
    Outcome.AT_START: "it comes when the VM starts",
    Outcome.NEEDS_RESTART: "it waits for a restart of the VM",
    Outcome.STUCK: "nothing more is tried until something changes",
}


def _next(
    nic: NicRow, forecast: NicForecast | None, looks_again_at: datetime | None, *, now: datetime
) -> Iterator[Next]:
    if (again_at := nic.next_attempt) is not None and again_at > now:
        yield Next(at=again_at, what="it is tried again")
        looks_again_at = None if looks_again_at == again_at else looks_again_at
    if forecast is None:
        return
    if forecast.outcome in (Outcome.BY_MIGRATION, Outcome.NEEDS_RESTART, Outcome.STUCK, Outcome.AT_START):
        yield Next(at=None, what=f"{_THEN[forecast.outcome]} ({forecast.reason})")
    if (then := forecast.otherwise) is not None:
        yield Next(at=now + then.after, what=f"if nobody has answered: {_THEN[then.outcome]} ({then.reason})")
    elif looks_again_at is not None and looks_again_at > now:
        yield Next(at=looks_again_at, what="nicplug looks at it again, also if nothing has changed")
