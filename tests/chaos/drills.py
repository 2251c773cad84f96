"""The drills: what goes wrong, for how long, and what shows that it really did.

Each is a coroutine that returns when everything is as it should be again, with a line of evidence that does not come
from the operator.
"""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tests.chaos.gateway import ADDRESS, NO_ANSWER, WELL_BEHAVED, Fault, Gateway
from tests.chaos.replica import FULL, MACHINE
from tests.perf.world import Say
from tests.soak.supervisor import Replica, Supervisor

from nicplug_sandbox import controlplane

_HOUR = 3600.0
# Longer than `nicplug run` goes on with a token that it has read.
_TOKEN_SECONDS = 45.0


class DrillFailed(Exception):
    """The drill itself did not do what it is about: nothing can be concluded from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a drill may lay its hands on.

    Attributes:
        directory: of the sandbox.
        account: what the replicas have for their ServiceAccount, and `machine.json`.
        scale: of all times.
        leader: the replica that leads; None while nobody can tell.
        write_token: one that expires in so many seconds.
    """

    directory: Path
    account: Path
    gateway: Gateway
    supervisor: Supervisor
    scale: float
    say: Say
    leader: Callable[[], Awaitable[Replica | None]]
    write_token: Callable[[float], None]

    async def for_seconds(self, seconds: float) -> None:
        """Go on so long, by the scale."""
        await asyncio.sleep(seconds * self.scale)

    async def leading(self, *, seconds: float = 30.0) -> Replica:
        """The replica that leads.

        Raises:
            DrillFailed: none did in time.
        """
        deadline = time.monotonic() + seconds
        while (found := await self.leader()) is None or not found.is_alive:
            if time.monotonic() > deadline:
                raise DrillFailed(f"no replica led within {seconds:.0f} s")
            await asyncio.sleep(0.2)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One of them.

    Attributes:
        name: as `--drills` takes it.
        title: what goes wrong, for the report.
        seconds: for which NICs are asked for, by the scale.
    """

    name: str
    title: str
    seconds: float
    run: Callable[[Stage], Awaitable[str]]


@contextlib.asynccontextmanager
async def _misbehaving(stage: Stage, fault: Fault) -> AsyncIterator[Counter[int]]:
    """The gateway treats requests so while the block runs; yields what it has refused since."""
    before, seen = Counter(stage.gateway.refused), Counter[int]()
    stage.gateway.fault = fault
    try:
        yield seen
    finally:
        stage.gateway.fault = WELL_BEHAVED
        seen.update(stage.gateway.refused - before)


def _told(codes: Counter[int]) -> str:
    if not codes:
        raise DrillFailed("no request met the fault")
    return ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))


async def restart_apiserver(stage: Stage) -> str:
    """Killed once, asked to end once, as a rollout does it."""
    before = stage.gateway.answered[NO_ANSWER]
    for grace_seconds in (0.0, 5.0):
        await asyncio.to_thread(
            controlplane.restart, directory=stage.directory, down_seconds=1.0, grace_seconds=grace_seconds
        )
        await stage.for_seconds(3)
    return f"2 restarts, {stage.gateway.answered[NO_ANSWER] - before} requests or watches broken"


async def stop_etcd(stage: Stage) -> str:
    """etcd is away for 30 s; its data stay."""
    before = Counter(stage.gateway.answered)
    down_seconds = 30.0 * stage.scale
    await asyncio.to_thread(
        controlplane.restart, directory=stage.directory, name=controlplane.ETCD, down_seconds=down_seconds,
        grace_seconds=5.0,
    )  # fmt: skip
    since = stage.gateway.answered - before
    met = since[NO_ANSWER] + sum(count for code, count in since.items() if code >= HTTPStatus.INTERNAL_SERVER_ERROR)
    if not met:
        raise DrillFailed("no request met the outage")
    return f"{down_seconds:.0f} s; {met} requests failed"


async def throttle(stage: Stage) -> str:
    """Most requests are answered 429 with Retry-After: 1."""
    async with _misbehaving(stage, Fault(share=0.8, codes=(429,))) as seen:
        await stage.for_seconds(20)
    return _told(seen)


async def fail_requests(stage: Stage) -> str:
    """Most requests are answered 5xx, half of these after they have been carried out."""
    async with _misbehaving(stage, Fault(share=0.6, codes=(500, 502, 503, 504), carried_out=0.5)) as seen:
        await stage.for_seconds(20)
    return _told(seen)


async def cut_watches(stage: Stage) -> str:
    """Every watch breaks, once a second."""
    count, until = 0, time.monotonic() + 15 * stage.scale
    while time.monotonic() < until:
        count += stage.gateway.cut_watches()
        await asyncio.sleep(1)
    if not count:
        raise DrillFailed("there was no watch to cut")
    return f"{count} watches cut"


async def expire_versions(stage: Stage) -> str:
    """No watch can go on where it was, and two lists of three that follow expire as well."""
    async with _misbehaving(stage, Fault(share=0.66, expires=True)) as seen:
        for _ in range(3):
            stage.gateway.cut_watches()
            await stage.for_seconds(5)
    return _told(seen)


async def slow_down(stage: Stage) -> str:
    """Every request takes two seconds longer."""
    before = stage.gateway.answered.total()
    async with _misbehaving(stage, Fault(delay_seconds=2.0)):
        await stage.for_seconds(30)
    return f"{stage.gateway.answered.total() - before} requests, each 2 s late"


async def shift_clocks(stage: Stage) -> str:
    """The clocks of the operators go two hours ahead, then two hours behind, then right again."""
    for hours in (2, -2, 0):
        _tamper(stage, clock_seconds=hours * _HOUR)
        await stage.for_seconds(6)
    return "+2 h, -2 h, right again"


async def freeze_leader(stage: Stage) -> str:
    """The leader is stopped for longer than its Lease lasts, and goes on when another leads."""
    frozen = await stage.leading()
    assert frozen.process is not None
    pid = frozen.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        heir = await _until_another_leads(stage, frozen)
        await stage.for_seconds(5)
    finally:
        os.kill(pid, signal.SIGCONT)
    return f"replica {frozen.name} stopped, {heir.name} took over"


async def _until_another_leads(stage: Stage, frozen: Replica) -> Replica:
    deadline = time.monotonic() + 30
    while (found := await stage.leader()) is None or found is frozen:
        if time.monotonic() > deadline:
            raise DrillFailed("no other replica took over within 30 s")
        await asyncio.sleep(0.2)
    return found


async def kill_leader(stage: Stage) -> str:
    """SIGKILL, twice."""
    names = []
    for _ in range(2):
        leader = await stage.leading()
        assert leader.process is not None
        names.append(await stage.supervisor.kill(leader_pid=leader.process.pid, wanted_leader=True))
        await stage.for_seconds(5)
        # The next victim is the one that has taken over, not the Lease's last holder.
        await stage.leading()
    return f"replicas {' and '.join(names)} killed"


async def fill_disk(stage: Stage) -> str:
    """Nothing that the operators log can be written."""
    if not os.path.exists(FULL):  # noqa: ASYNC240 - it asks the kernel, and no disk
        raise DrillFailed(f"this machine has no {FULL}: leave the drill out with --drills")
    _tamper(stage, disk_is_full=True)
    try:
        await asyncio.sleep(0.5)
        logs = [replica.process.log for replica in stage.supervisor.replicas if replica.process is not None]
        before = [log.stat().st_size for log in logs]
        await stage.for_seconds(15)
        if [log.stat().st_size for log in logs] != before:
            raise DrillFailed("a log has grown")
    finally:
        _tamper(stage)
    return "ENOSPC for every line"


async def expire_certificate(stage: Stage) -> str:
    """The certificate of the API server has expired; renewed, it is used by new connections."""
    stage.gateway.expire_certificate()
    try:
        stage.gateway.cut_all()
        why = await _why_untrusted(stage.gateway)
        await stage.for_seconds(15)
    finally:
        stage.gateway.renew_certificate()
        stage.gateway.cut_all()
    return why


async def _why_untrusted(gateway: Gateway) -> str:
    context = ssl.create_default_context(cadata=gateway.authority.decode())
    try:
        _, writer = await asyncio.open_connection(ADDRESS, gateway.port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    writer.close()
    raise DrillFailed("the expired certificate was accepted")


async def expire_token(stage: Stage) -> str:
    """Kubelet is late: the token of the operators expires, and the next one comes after that."""
    before = stage.gateway.answered[HTTPStatus.UNAUTHORIZED]
    stage.write_token(-60.0)
    try:
        deadline = time.monotonic() + 3 * _TOKEN_SECONDS
        while stage.gateway.answered[HTTPStatus.UNAUTHORIZED] == before:
            if time.monotonic() > deadline:
                raise DrillFailed("the operators have not read the expired token")
            await asyncio.sleep(0.2)
        await stage.for_seconds(15)
    finally:
        stage.write_token(24 * _HOUR)
    return f"{stage.gateway.answered[HTTPStatus.UNAUTHORIZED] - before} x 401"


def _tamper(stage: Stage, *, clock_seconds: float = 0.0, disk_is_full: bool = False) -> None:
    """Tell every replica that runs; one that is started later finds the clock so, and its log in order."""
    told = {"clock_seconds": clock_seconds, "disk_is_full": disk_is_full}
    temporary = stage.account / f".{MACHINE}"
    temporary.write_text(json.dumps(told))
    temporary.replace(stage.account / MACHINE)
    for replica in stage.supervisor.replicas:
        if replica.is_alive and replica.process is not None:
            os.kill(replica.process.pid, signal.SIGUSR2)


DRILLS = {
    drill.name: drill
    for drill in (
        Drill(name="apiserver-restart", title="kube-apiserver restarted, twice", seconds=12, run=restart_apiserver),
        Drill(name="etcd-stop", title="etcd away", seconds=35, run=stop_etcd),
        Drill(name="throttling", title="80 % of requests 429", seconds=20, run=throttle),
        Drill(name="server-errors", title="60 % of requests 5xx, half carried out", seconds=20, run=fail_requests),
        Drill(name="watch-cuts", title="every watch cut, every second", seconds=15, run=cut_watches),
        Drill(name="expired-versions", title="410 for watches and relists", seconds=15, run=expire_versions),
        Drill(name="slow-api", title="every request 2 s late", seconds=30, run=slow_down),
        Drill(name="clock-jump", title="clocks 2 h ahead, 2 h behind", seconds=18, run=shift_clocks),
        Drill(name="leader-stop", title="leader SIGSTOP, SIGCONT", seconds=20, run=freeze_leader),
        Drill(name="leader-kill", title="leader SIGKILL, twice", seconds=20, run=kill_leader),
        Drill(name="full-disk", title="no log line can be written", seconds=15, run=fill_disk),
        Drill(name="certificate", title="serving certificate expired", seconds=15, run=expire_certificate),
        Drill(name="token", title="the operators' token expired", seconds=25, run=expire_token),
    )
}
