"""Two replicas of the operator, and what a kubelet does for them: start each again when it has ended."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from tests.perf.world import Say

from nicplug_sandbox import nicplug_process, operator_process, processes
from nicplug_sandbox.node.api import LEASES, Api, ApiError
from nicplug_sandbox.operator_process import OperatorProcess
from nicplug_sandbox.processes import RecordedProcess

_RESTART_SECONDS = 0.5
_POLL_SECONDS = 0.1


@dataclass(slots=True, kw_only=True)
class Replica:
    """One place for an operator process.

    Attributes:
        kills: processes that the soak has ended.
        ends: processes that ended by themselves, by what their logs said last.
        logs: one per process.
    """

    name: str
    process: RecordedProcess | None = None
    starts: int = 0
    kills: int = 0
    ends: list[str] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)

    @property
    def is_alive(self) -> bool:
        """A process runs in it."""
        return self.process is not None and processes.is_alive(self.process)


class Spawn(Protocol):
    """Starts an operator process and waits for nothing."""

    def __call__(self, *, directory: Path, kubeconfig: Path, name: str) -> RecordedProcess:
        """Its log is `logs/NAME.log` in the directory."""
        ...


class Supervisor:
    """Keeps replicas running; leave the context and all of them are ended."""

    def __init__(
        self,
        *,
        directory: Path,
        kubeconfig: Path,
        say: Say,
        names: tuple[str, ...] = ("operator-a", "operator-b"),
        spawn: Spawn = operator_process.spawn_operator,
    ) -> None:
        self.replicas = tuple(Replica(name=name) for name in names)
        self._directory = directory
        self._kubeconfig = kubeconfig
        self._say = say
        self._spawn = spawn

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start both, and keep them."""
        for replica in self.replicas:
            self._start(replica)
        watching = [asyncio.create_task(self._keep(replica)) for replica in self.replicas]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            left = [replica.process for replica in self.replicas if replica.process is not None]
            await asyncio.to_thread(processes.end, left, grace_seconds=nicplug_process.STOP_GRACE_SECONDS)

    async def kill(self, *, leader_pid: int | None, wanted_leader: bool) -> str:
        """SIGKILL one process: the leader or the other one, or any while nobody knows; its replica's name."""
        alive = [replica for replica in self.replicas if replica.is_alive]
        if not alive:
            return ""
        matching = [one for one in alive if one.process and (one.process.pid == leader_pid) is wanted_leader]
        victim = (matching or alive)[0]
        assert victim.process is not None
        victim.kills += 1
        doomed, victim.process = victim.process, None
        await asyncio.to_thread(processes.end, [doomed], grace_seconds=0)
        return victim.name

    async def attach(self, replica: Replica, *, seconds: float) -> OperatorProcess:
        """Wait until the replica's process is ready.

        Raises:
            SandboxError: it ended or was not ready in time.
        """
        assert replica.process is not None
        return await asyncio.to_thread(
            operator_process.wait_until_ready, replica.process, kubeconfig=self._kubeconfig, seconds=seconds
        )

    def complaints(self) -> list[str]:
        """What the logs of all processes call a bug, with the first line of each."""
        return [text for replica in self.replicas for log in replica.logs for text in _complaints(log)]

    def warnings(self) -> dict[str, int]:
        """What their logs warn of, most frequent first."""
        lines = (fields for replica in self.replicas for log in replica.logs for fields in _lines(log))
        found = Counter(str(fields.get("event")) for fields in lines if fields.get("level") in ("warning", "error"))
        return dict(found.most_common())

    def _start(self, replica: Replica) -> None:
        replica.starts += 1
        replica.process = self._spawn(
            directory=self._directory, kubeconfig=self._kubeconfig, name=f"{replica.name}-{replica.starts}"
        )
        replica.logs.append(replica.process.log)

    async def _keep(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if replica.is_alive:
                continue
            if replica.process is not None:
                last = processes.tail(replica.process.log, lines=3)
                replica.ends.append(last)
                self._say(f"replica {replica.name} ended by itself:\n{last}")
            await asyncio.sleep(_RESTART_SECONDS)
            self._start(replica)


async def leader_pid(api: Api) -> int | None:
    """By the Lease; None while nobody can tell."""
    try:
        lease = await api.get(LEASES, name="nicplug-operator", namespace=operator_process.NAMESPACE)
    except (ApiError, aiohttp.ClientError, TimeoutError):
        return None
    # <host>_<pid>_<random>
    parts = str(lease["spec"].get("holderIdentity") or "").rsplit("_", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None


def _lines(log: Path) -> Iterator[dict[str, Any]]:
    """Every line of a log that is one: a killed process may leave half of its last."""
    for line in log.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            fields = json.loads(line)
            if isinstance(fields, dict):
                yield fields


def _complaints(log: Path) -> Iterator[str]:
    for fields in _lines(log):
        if fields.get("event") in _BUGS:
            error = str(fields.get("exception", "")).strip().splitlines()[-1:] or [""]
            yield f"{log.stem}: {fields['event']}: {fields.get('key', '')} {error[0]}"


# Words of the operator's log when a pass has met an error that is not the API server's.
_BUGS = frozenset({"reconcile failed", "a part of the operator failed; ending"})
