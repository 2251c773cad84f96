"""`nicplug wait VM [NIC]`: waits until the NICs are ready or gone, or until it is clear that they will not be."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from nicplug.cli.completion import complete_machine, complete_nic
from nicplug.cli.connection import Session, on_cluster
from nicplug.cli.durations import Duration
from nicplug.cli.environment import LOOKS_FOR_OPERATOR
from nicplug.cli.exits import CommandError, Exit, printable
from nicplug.cli.held_requests import HotplugSwitch
from nicplug.cli.plan import with_kubevirt_namespace
from nicplug.cli.status import moments
from nicplug.model.operations import OperationType

if TYPE_CHECKING:
    from nicplug.cli.machines import Machine
    from nicplug.insight.nic_rows import NicRow
    from nicplug.insight.nics import RequestRow, VmNics

READY, GONE = "ready", "gone"
# A NIC that is blocked only for a moment, for example until its network is created, does not end the wait.
PATIENCE_SECONDS = 2.0

with_timeout = click.option(
    "--timeout",
    "seconds",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long to wait, for example 90s or 5m.",
)
quietly = click.option("-q", "--quiet", is_flag=True, help="Do not print progress to stderr.")


@click.command(epilog=LOOKS_FOR_OPERATOR)
@click.argument("vm", shell_complete=complete_machine)
@click.argument("nics", metavar="[NIC]...", nargs=-1, shell_complete=complete_nic)
@click.option("--for", "goal", type=click.Choice([READY, GONE]), default=READY, show_default=True)
@with_timeout
@quietly
@with_kubevirt_namespace
@on_cluster
async def wait(
    session: Session,
    *,
    vm: str,
    nics: tuple[str, ...],
    goal: str,
    seconds: float,
    quiet: bool,
    kubevirt_namespace: str,
) -> int | None:
    """Wait until the NICs of VM are ready, or gone.

    Waits for all of them, or those that are named; progress goes to stderr, and with --quiet nothing is printed.
    Exit code 8 when the timeout has passed; 9 when a NIC is blocked or has failed and needs action, when the feature
    gate keeps a request from being carried out, and when a VM is stopped whose NICs are to be ready.
    """
    from nicplug.cli.machines import find_machine

    machine = await find_machine(session, vm, with_migrations=False)
    if goal == GONE and not nics:
        raise click.UsageError("--for gone needs the name of a NIC.")
    _check_names(machine, nics, goal=goal)
    await wait_for(
        session, machine, names=nics, goal=goal, seconds=seconds, quiet=quiet, kubevirt_namespace=kubevirt_namespace
    )
    if not quiet:
        for message in [f'NIC "{name}" is {goal}' for name in nics] or [f"every NIC of {vm} is ready"]:
            click.echo(message)
    return None


def _check_names(machine: "Machine", names: Sequence[str], *, goal: str) -> None:
    """Check the names of NICs: waiting for a misspelt one is in vain.

    A NIC to be removed may be gone before the command starts: that is a note on stderr, not an error.

    Raises:
        CommandError: a NIC that is to be ready neither exists nor is requested.
    """
    from nicplug.cli.machines import now, requested_nics

    known = [nic.name for nic in machine.describe(now=now()).nics]
    unknown = [name for name in names if name not in {*known, *requested_nics(machine.vm)}]
    if not unknown:
        return
    named = ", ".join(f'"{name}"' for name in unknown)
    message, remedy = f"VM {machine.name} has no NIC {named}", f"It has: {', '.join(known) or 'none'}."
    if goal == READY:
        raise CommandError(message, remedy=remedy, code=Exit.NOT_FOUND)
    click.echo(printable(f"Note: {message}. {remedy}"), err=True)


@dataclass(slots=True)
class _Report:
    """Nicplug's report on a VM beside KubeVirt, which may be about the VM as it was before a change."""

    session: Session
    _old_since: float | None = None

    async def counts(self, machine: "Machine") -> bool:
        """Return whether the state of the NICs may be believed: nicplug has seen the VM, or nobody reports."""
        from nicplug.cli.operator_health import no_operator

        if machine.is_seen:
            return True
        now = asyncio.get_running_loop().time()
        self._old_since = self._old_since or now
        return now - self._old_since >= PATIENCE_SECONDS and bool(await no_operator(self.session))


async def wait_for(
    session: Session,
    machine: "Machine",
    *,
    names: Sequence[str] = (),
    goal: str = READY,
    seconds: float,
    quiet: bool = False,
    kubevirt_namespace: str,
) -> None:
    """Wait until the NICs of a VM reach the goal.

    Args:
        machine: the VM before the change was requested; failures that it has already do not count.
        names: NICs to wait for; empty for all.
        goal: `READY` or `GONE`.
        seconds: timeout.
        kubevirt_namespace: namespace of the KubeVirt CR, whose feature gate requests may wait for.

    Raises:
        CommandError: the timeout has passed, or the goal cannot be reached without action.
    """
    from nicplug.cli.machines import now
    from nicplug.cli.operator_health import is_waiting, no_operator, note_of

    described = before = machine.describe(now=now())
    loop = asyncio.get_running_loop()
    ends_at, held_since, report = loop.time() + seconds, None, _Report(session)
    switch = HotplugSwitch(session=session, vm=machine.name, kubevirt_namespace=kubevirt_namespace)
    async with aclosing(_changes(session, machine, until=ends_at)) as changes:
        async for changed in changes:
            fresh = changed.describe(now=now())
            if not quiet:
                for moment in moments(described, fresh, now=now()):
                    click.echo(printable(moment), err=True)
            described = fresh
            if _is_reached(described, names, goal) and (goal == GONE or await report.counts(changed)):
                return
            if described.failure and described.failure != before.failure:
                raise _failed(described)
            held_since = (held_since or loop.time()) if _is_held_up(described, names, goal) else None
            if held_since is None or loop.time() - held_since < PATIENCE_SECONDS:
                continue
            if end := await _end(session, described, machine, names, goal, switch=switch):
                raise end
    is_seen = goal == GONE or machine.is_seen
    problem = await no_operator(session) if is_waiting(described) or not is_seen else ""
    if not is_seen and _is_reached(described, names, goal):
        raise _unseen(seconds, note=await note_of(session, problem))
    raise _late(described, names, goal, seconds, note=await note_of(session, problem))


async def _changes(session: Session, machine: "Machine", *, until: float) -> "AsyncGenerator[Machine, None]":
    """Yield the VM now, after every change, and at least every `PATIENCE_SECONDS` / 2, until the deadline.

    Args:
        until: deadline on the event loop's clock, in seconds.
    """
    from nicplug.cli.machines import follow

    loop = asyncio.get_running_loop()
    stream = follow(session, machine)
    getting: asyncio.Task[Machine] | None = None
    yield machine  # even after the deadline: the goal may have been reached already
    try:
        while (left := until - loop.time()) > 0:
            getting = getting or asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait({getting}, timeout=min(left, PATIENCE_SECONDS / 2))
            if done:
                machine, getting = getting.result(), None
            yield machine
    finally:
        if getting is not None:
            getting.cancel()
            await asyncio.gather(getting, return_exceptions=True)
        await stream.aclose()


def _is_reached(described: "VmNics", names: Sequence[str], goal: str) -> bool:
    found = {nic.name: nic for nic in described.nics}
    if goal == GONE:
        return not any(name in found for name in names)
    if names:
        return all(name in found and found[name].is_ready for name in names)
    return not described.requests and all(nic.is_ready for nic in described.nics)


def _stuck(described: "VmNics", names: Sequence[str]) -> list["NicRow"]:
    return [nic for nic in described.nics if nic.needs_action and (not names or nic.name in names)]


def _is_held_up(described: "VmNics", names: Sequence[str], goal: str) -> bool:
    """True if the goal may need action."""
    is_off = goal == READY and described.is_off
    return is_off or bool(_stuck(described, names) or _requests(described, names))


def _requests(described: "VmNics", names: Sequence[str]) -> list["RequestRow"]:
    """Return the pending requests that the wait depends on."""
    return [item for item in described.requests if not names or item.nic in names]


async def _end(
    session: Session,
    described: "VmNics",
    machine: "Machine",
    names: Sequence[str],
    goal: str,
    *,
    switch: HotplugSwitch,
) -> CommandError | None:
    """Return the error that the goal needs action; None if it may be reached without."""
    if stuck := _stuck(described, names):
        return await _cannot(session, stuck[0], described, machine)
    if goal == READY and described.is_off:
        message = f"VM {described.name} is stopped: its NICs come when it starts"
        return CommandError(message, remedy=_start(described), code=Exit.NO)
    requests = _requests(described, names)
    refusal = await switch.refusal_now_and_then() if requests else None
    if refusal is None:
        return None
    return CommandError(f"a request waits ({requests[0]}): {refusal.message}", remedy=refusal.remedy, code=Exit.NO)


def _start(described: "VmNics") -> str:
    return f"Start it: nicplug start {described.name} --namespace {described.namespace}"


def _failed(described: "VmNics") -> CommandError:
    shown = f"nicplug status {described.name} --namespace {described.namespace}"
    remedy = f"It is not tried again. Remove the cause and ask again; what the VM has: {shown}"
    return CommandError(f"the request could not be carried out: {described.failure}", remedy=remedy, code=Exit.NO)


async def _cannot(session: Session, nic: "NicRow", described: "VmNics", machine: "Machine") -> CommandError:
    from nicplug.cli.machines import persisted_nics
    from nicplug.cli.suggestions import with_remedy

    nic = await with_remedy(session, described, nic, persist=nic.name in persisted_nics(machine.vm))
    command = f"nicplug why {described.name} {nic.name} --namespace {described.namespace}"
    remedy = f"{nic.remedy}. More: {command}" if nic.remedy else f"What to do: {command}"
    return CommandError(_state(nic), remedy=remedy, code=Exit.NO)


def _state(nic: "NicRow") -> str:
    """Describe phase, reason and message of a NIC."""
    reason = f" ({nic.reason})" if nic.reason else ""
    return f'NIC "{nic.name}" is {nic.phase}{reason}' + (f": {nic.message}" if nic.message else "")


def _absence(name: str, described: "VmNics") -> str:
    is_requested = any(request.is_add and request.nic == name for request in described.requests)
    return f'NIC "{name}" is requested, waiting for the operator' if is_requested else f'no NIC "{name}" was seen'


def _unseen(seconds: float, *, note: str) -> CommandError:
    message = f"not {READY} after {seconds:g} s: nicplug's InterfaceReport is not about the VM as it is now"
    remedy = f"{note[0].upper()}{note[1:]}." if note else "`nicplug doctor` says whether the operator works."
    return CommandError(message, remedy=remedy, code=Exit.TIMED_OUT)


def _late(described: "VmNics", names: Sequence[str], goal: str, seconds: float, *, note: str) -> CommandError:
    from nicplug.insight.nics import STOPPED

    waiting = [nic for nic in described.nics if (not names or nic.name in names) and (goal == GONE or not nic.is_ready)]
    detail = "; ".join(map(_state, waiting))
    missing = [name for name in names if name not in {nic.name for nic in described.nics}]
    if goal == READY:
        detail = "; ".join([*([detail] if detail else []), *(_absence(name, described) for name in missing)])
    detail = detail or "; ".join(f"waits: {request}" for request in described.requests) or "nothing was seen"
    remedy = _next_question(described, waiting, goal) or "`nicplug doctor` says whether the operator works."
    if note:
        remedy = f"{note[0].upper()}{note[1:]}."
    if described.start_problem is not None:
        detail = f"the VM does not start: {described.start_problem.sentence}"
        remedy = f"{described.start_problem.remedy}."
    if described.phase == STOPPED:
        remedy = f"The VM is stopped. {_start(described)}"
    return CommandError(f"not {goal} after {seconds:g} s: {detail}", remedy=remedy, code=Exit.TIMED_OUT)


def _next_question(described: "VmNics", waiting: Sequence["NicRow"], goal: str) -> str:
    """Return the command to type next about the first NIC that is not as wanted; "" if there is none."""
    if not waiting:
        return ""
    nic = waiting[0]
    is_asked = nic.operation == OperationType.UNPLUG or _requests(described, [nic.name])
    if goal == GONE and not is_asked:
        command = f"nicplug remove {described.name} {nic.name} --namespace {described.namespace}"
        return f'Nobody has asked for NIC "{nic.name}" to go: {command}'
    return f"What holds it up: nicplug why {described.name} {nic.name} --namespace {described.namespace}"
