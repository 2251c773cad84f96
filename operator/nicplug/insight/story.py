"""The story of one NIC: what happened, what waits for what, what to do, what comes next. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.insight.coming import Next, coming
from nicplug.insight.happened import happened
from nicplug.insight.moments import Moment
from nicplug.insight.nic_rows import NicRow
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.insight.remedies import Documented, remedies
from nicplug.insight.start_problems import StartProblem
from nicplug.insight.waiting import Mover, waits_for
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.migration import Migration
from nicplug.model.operations import InterfaceOperation, OperationPhase
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One NIC.

    Attributes:
        meaning: meaning of its reason.
        waits_for: who has the next move; "" for nobody.
        since: when the current state began.
        todo: what the user can do: the record's remedy, or that of its reason if the record has none.
        restart: what a restart of the VM means for it; "" for nothing.
        outdated: says that its network has changed, or that the VM may no longer use it, since the guest got it;
            otherwise "".
        kubevirt: in companion mode, what virt-controller does about it; "" for nothing.
        nicplug: in companion mode, what nicplug does about it; "" for nothing.
    """

    nic: NicRow
    meaning: str
    waits_for: str
    since: datetime | None
    todo: str
    next: tuple[Next, ...]
    moments: tuple[Moment, ...]
    restart: str = ""
    outdated: str = ""
    kubevirt: str = ""
    nicplug: str = ""


def compose_story(
    *,
    nic: NicRow,
    record: InterfaceOperation | None,
    vmi: VirtualMachineInstance | None,
    pod: str,
    migrations: Sequence[Migration],
    events: Iterable[Mapping[str, Any]],
    forecast: NicForecast | None,
    next_reconcile_at: datetime | None,
    restart: str = "",
    policy: HotplugPolicy | None = None,
    problem: StartProblem | None = None,
    outdated: Refusal | None = None,
    now: datetime,
) -> Story:
    """Compose the story.

    Args:
        pod: name of the launcher pod; "" while there is none.
        migrations: migrations of the VM, oldest first.
        events: events about the VM, its VMI, its pods and its migrations.
        forecast: what the operator would do next about the NIC.
        next_reconcile_at: when it does so without a change; None if it only reacts to a change.
        restart: what a restart of the VM means for the NIC.
        policy: that of the VM; None if unknown.
        problem: what keeps the VM from starting; None if nothing is known.
        outdated: what has changed about the network since the guest got the NIC; None for nothing.
    """
    nic = nic if problem is not None else _at_start(nic, forecast)
    mine = _migrations_of(nic, migrations)
    known = _documented(nic, mine)
    node = vmi.node_name if vmi is not None else ""
    moments = happened(nic, record=record, migrations=mine, events=events, pod=pod if problem is not None else "")
    story = Story(
        nic=nic,
        meaning=known.meaning if known is not None else "",
        waits_for=_in_front(mine),
        since=nic.since,
        todo=nic.remedy or (outdated.remedy if outdated is not None else ""),
        next=(),
        moments=moments,
        restart=restart,
        outdated=outdated.message if outdated is not None else "",
    )
    if nic.is_ready:
        return story
    if nic.reason == Reason.GUEST_NOT_RUNNING and problem is not None:
        row = replace(nic, message=f"the VM does not start: {problem.sentence}")
        return replace(story, nic=row, meaning="", waits_for=problem.waits_for, todo=problem.remedy)
    waiting = waits_for(nic.reason, phase=nic.phase, policy=policy, node=node, pod=pod)
    return replace(
        story,
        waits_for=story.waits_for or waiting or ("" if nic.reason else Mover.OPERATOR.value),
        todo=story.todo or (known.remedy if known is not None else ""),
        next=tuple(coming(nic, forecast, next_reconcile_at, now=now)),
    )


def _at_start(nic: NicRow, forecast: NicForecast | None) -> NicRow:
    """Return the NIC of a guest that does not run; only a forecast, not a record, says what blocks it."""
    if nic.reason != Reason.GUEST_NOT_RUNNING or forecast is None or forecast.outcome is not Outcome.STUCK:
        return nic
    return replace(
        nic,
        operation=forecast.operation,
        phase=forecast.phase,
        reason=forecast.reason,
        message=f"the guest is not running, and does not get this NIC when it starts: {forecast.message}",
        remedy=forecast.remedy,
    )


def _documented(nic: NicRow, migrations: Sequence[Migration]) -> Documented | None:
    """Document the NIC's reason; during a migration, the migration's: the NIC's only says why it was created.

    Args:
        migrations: migrations of the NIC.
    """
    if nic.phase != OperationPhase.MIGRATING:
        return remedies().get(nic.reason)
    stuck = next((item.progress_reason for item in reversed(migrations) if not item.is_final and item.is_stuck), "")
    return remedies().get(stuck) or remedies().get(Reason.MIGRATING)


def _migrations_of(nic: NicRow, migrations: Sequence[Migration]) -> list[Migration]:
    """Return those that are, or were, for this NIC, and any that is under way: it adds the NIC too."""
    return [
        item
        for item in migrations
        if item.key.name == nic.migration or nic.name in changes_of(item) or not item.is_final
    ]


def _in_front(migrations: Sequence[Migration]) -> str:
    """Return the message of a migration that has not ended, with the names of those before it."""
    under_way = [item for item in migrations if not item.is_final and item.progress]
    return f"migration {under_way[-1].key.name}: {under_way[-1].progress}" if under_way else ""
