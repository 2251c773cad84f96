"""The controllers as queues over mirrors: each pass is driven against the API server."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from nicplug_sandbox.kubevirt.objects import CREATED_BY, Json, labels_of
from nicplug_sandbox.kubevirt.passes import Pass, Passes
from nicplug_sandbox.kubevirt.reactions import Appointment, reactions
from nicplug_sandbox.kubevirt.send import RESOURCES, PassFailed, Sender
from nicplug_sandbox.kubevirt.view import Key as AnyKey
from nicplug_sandbox.kubevirt.view import Queue
from nicplug_sandbox.kubevirt.writes import Kind, WriteRefused
from nicplug_sandbox.node.api import Api
from nicplug_sandbox.node.mirror import Key, Mirror
from nicplug_sandbox.node.work import WorkQueue

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.005, 1000.0
# Migrations one at a time: a target pod that is just being made counts against the limits of the next. The updater and
# the evacuation of nodes likewise.
CONCURRENCY: Mapping[Queue, int] = {"vm": 16, "vmi": 16, "migration": 1, "workload-updater": 1, "evacuation": 1}


def make_mirrors(api: Api) -> dict[Kind, Mirror]:
    """What virt-controller watches."""
    plain: Iterable[Kind] = (
        "VirtualMachine",
        "VirtualMachineInstance",
        "VirtualMachineInstanceMigration",
        "KubeVirt",
        "ControllerRevision",
        "Node",
        "NetworkAttachmentDefinition",
    )
    mirrors: dict[Kind, Mirror] = {kind: Mirror(api=api, resource=RESOURCES[kind]) for kind in plain}
    mirrors["Pod"] = Mirror(
        api=api,
        resource=RESOURCES["Pod"],
        selector={"labelSelector": "kubevirt.io=virt-launcher"},
        indexes={"vmi": lambda pod: (labels_of(pod).get(CREATED_BY, ""),)},
    )
    return mirrors


class MirrorCache:
    """The mirrors as the controllers see them."""

    def __init__(self, mirrors: Mapping[Kind, Mirror]) -> None:
        self._mirrors = mirrors

    def get(self, kind: Kind, key: AnyKey) -> Json | None:
        """One object."""
        return self._mirrors[kind].get(Key(*key))

    def all(self, kind: Kind) -> list[Json]:
        """Every object of a kind."""
        return self._mirrors[kind].all()

    def launchers(self, uid: str) -> list[Json]:
        """The launcher pods of a VMI."""
        return self._mirrors["Pod"].by_index("vmi", uid)


def _now() -> datetime:
    return datetime.now(UTC)


class Controllers:
    """VM, VMI, migration and evacuation controller, and the workload updater, of one virt-controller.

    It keeps nothing that a successor would need: one that is killed is replaced by starting another.
    """

    def __init__(self, *, mirrors: Mapping[Kind, Mirror], sender: Sender) -> None:
        self._mirrors = mirrors
        self._sender = sender
        self._cache = MirrorCache(mirrors)
        self._passes = Passes(cache=self._cache, clock=_now, wake=self._wake)
        self._queues: dict[Queue, WorkQueue] = {
            name: WorkQueue(
                name=name,
                work=partial(self._work, name),
                concurrency=concurrency,
                first_backoff=FIRST_BACKOFF_SECONDS,
                longest_backoff=LONGEST_BACKOFF_SECONDS,
                is_patient=False,
            )
            for name, concurrency in CONCURRENCY.items()
        }

    def start(self) -> None:
        """Follow every object that is there and every change."""
        for kind, mirror in self._mirrors.items():
            mirror.listen(partial(self._react, kind))
            for obj in mirror.all():
                self._react(kind, None, obj)

    async def close(self) -> None:
        """Stop working."""
        for queue in self._queues.values():
            await queue.close()

    def _wake(self, queue: Queue, key: AnyKey) -> None:
        self._add(Appointment(queue, key))

    def _react(self, kind: Kind, old: Json | None, new: Json | None) -> None:
        for appointment in reactions(kind, old, new, self._cache):
            self._add(appointment)

    def _add(self, appointment: Appointment) -> None:
        self._queues[appointment.queue].add(Key(*appointment.key), after=appointment.after)

    async def _work(self, queue: Queue, key: Key) -> float | None:
        try:
            return await self._drive(self._passes.begin(queue, key))
        except WriteRefused as refused:
            raise PassFailed(refused.message) from refused

    async def _drive(self, work: Pass) -> float | None:
        try:
            decision = next(work)
            while True:
                try:
                    again = await self._sender.send(decision)
                except WriteRefused as refused:
                    decision = work.throw(refused)
                else:
                    decision = work.send(again)
        except StopIteration as done:
            seconds: float | None = done.value
            return seconds
        finally:
            work.close()
