"""Large objects of one tenant keep no other tenant waiting: real workers, queue and executor, a slow API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.build import NOW, Json, primary, vm
from tests.fakes.store import as_text

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.errors import Unavailable
from nicplug.kube.object_text import ObjectText
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import SLOTS, VmiKey, VmKey, WorkKey
from nicplug.plan.actions import Create, Kind
from nicplug.plan.outcome import Plan, Subject
from nicplug.plan.views import PlanSettings, VmView
from nicplug.reconcile.execute import Executor
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.large_objects import Expander, LargeTurns, TurnTaken
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.queue import WorkQueue
from nicplug.reconcile.reconciler import ObjectReconciler, Reconciler
from nicplug.reconcile.worker import Workers

pytestmark = pytest.mark.looptime
WORKERS = 16
LARGE = [VmKey("mallory", f"v{number}") for number in range(3 * WORKERS)]
SECOND, SMALL = VmKey("alice", "large"), VmKey("bob", "small")
# A request has less than the half of a pass's time, and a pass of something large makes two.
REQUEST_SECONDS = 10.0


class Site:
    """Workers whose passes make a VMI of a large VM, and what happened in which order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.outcomes: list[str] = []
        self.reading = self.most = 0
        self.failures: list[Exception] = []
        self.leads = True
        self.caches = Caches(clock=lambda: NOW)
        self.queue: WorkQueue[WorkKey] = WorkQueue()
        self.turns = LargeTurns(on_turn=self.queue.add)
        api = cast(Any, self)
        expander = Expander(api, self.caches, lambda _: None, self.turns)
        self.executor = Executor(api, self.caches, lambda _, by=None: None, expander)
        gate = asyncio.Event()
        gate.set()
        self.workers = Workers(
            queue=self.queue,
            reconciler=cast(Reconciler, self),
            may_work=lambda: self.leads,
            gate=gate,
            observer=self,
            turns=self.turns,
        )

    def add(self, key: VmKey) -> None:
        if key != SMALL:
            self.caches.observe(CachedKind.VM, ObjectText("virtualmachines").read(_large(key)))
        self.queue.add(key)

    async def reconcile(self, key: VmKey) -> None:
        if key == SMALL:
            self.said.append(str(key))
            return
        record = self.caches.vms.get(key)
        assert record is not None
        owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": key.name, "uid": record.uid}
        metadata = {"name": key.name, "namespace": key.namespace, "ownerReferences": [{**owner, "controller": True}]}
        body = freeze({"metadata": metadata, "spec": record.read_template()["spec"]})
        vmi = VmiKey(key.namespace, key.name)
        await self.executor.execute(Create(kind=Kind.VMI, key=vmi, owner_uid=record.uid, body=body), by=key)

    async def read(self, _resource: Any, *, name: str, namespace: str) -> bytes:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await asyncio.sleep(REQUEST_SECONDS)
            if self.failures:
                raise self.failures.pop()
        except BaseException:
            self.reading -= 1
            raise
        return _large(VmKey(namespace, name))

    async def create_text(self, _resource: Any, body: bytes, *, namespace: str) -> Json:
        await asyncio.sleep(REQUEST_SECONDS)
        made: Json = ObjectText("virtualmachineinstances").read(body)
        made["metadata"] |= {"uid": f"i-{namespace}-{made['metadata']['name']}", "resourceVersion": "9"}
        self.said.append(f"{namespace}/{made['metadata']['name']}")
        self.reading -= 1
        return made

    def is_refused(self, _key: WorkKey) -> bool:
        return False

    def rest_seconds(self, _key: WorkKey) -> float:
        return 0.0

    def note_bug(self, key: WorkKey, error: Exception) -> None:
        self.said.append(f"bug on {key}: {error!r}")

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    def failed_by_bug(self) -> None:
        self.said.append("bug")


def _large(key: VmKey) -> bytes:
    raw = vm(primary(), name=key.name)
    raw["metadata"] |= {"namespace": key.namespace, "uid": f"u-{key}", "resourceVersion": "5"}
    raw["spec"]["template"]["spec"]["x"] = "y" * 100_000
    return as_text(raw)


@asynccontextmanager
async def working() -> AsyncIterator[Site]:
    site = Site()
    task = asyncio.create_task(site.workers.run(count=WORKERS))
    yield site
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_many_large_vms_of_one_tenant_keep_no_other_tenant_waiting() -> None:
    """All workers waited for the one turn: a small change of another tenant came after 40 s."""
    async with working() as site:
        for key in LARGE:
            site.add(key)
        await asyncio.sleep(0.5)
        site.add(SMALL)
        await asyncio.sleep(0.5)
        assert site.said == [str(SMALL)]
        site.add(SECOND)
        await asyncio.sleep(3 * len(LARGE) * REQUEST_SECONDS)
        made = [name for name in site.said if name != str(SMALL)]
        # The one that was on its way when the second tenant came, and none after it.
        assert made.index(str(SECOND)) == 1
        assert sorted(made) == sorted(map(str, (*LARGE, SECOND)))
        assert site.most == 1, "in memory at a time"
        assert set(site.outcomes) == {"ok", "TurnTaken"}, "waiting is no bug"
        assert site.outcomes.count("TurnTaken") == len(LARGE), "each is looked at once in vain, and not in a loop"


async def test_a_large_vm_that_cannot_be_made_lets_the_next_one_go() -> None:
    async with working() as site:
        site.failures = [Unavailable("no answer"), ValueError("a bug")]
        for key in LARGE[:4]:
            site.add(key)
        await asyncio.sleep(40 * REQUEST_SECONDS)
        assert sorted(item for item in site.said if "bug" not in item) == sorted(map(str, LARGE[:4]))
        assert (site.most, site.turns.waiting()) == (1, 0)


async def test_who_lost_the_lead_keeps_no_turn() -> None:
    async with working() as site:
        for key in LARGE:
            site.add(key)
        await asyncio.sleep(1)
        assert site.turns.waiting() == len(LARGE) - 1
        site.leads = False
        await asyncio.sleep(3 * REQUEST_SECONDS)
        assert (len(site.said), site.turns.waiting()) == (1, 0)
        site.leads = True
        site.add(SECOND)
        await asyncio.sleep(3 * REQUEST_SECONDS)
        assert site.said[1:] == [str(SECOND)]


def test_turns_go_round_the_namespaces() -> None:
    called: list[WorkKey] = []
    turns = LargeTurns(on_turn=called.append)
    keys = [VmKey(namespace, str(number)) for namespace in ("a", "b", "c") for number in range(3)]
    turns.take(keys[0])
    for key in keys[1:]:
        with pytest.raises(TurnTaken):
            turns.take(key)
    holder: WorkKey = keys[0]
    while turns.waiting():
        turns.leave(holder)
        holder = called[-1]
        turns.take(holder)
    assert " ".join(str(key) for key in called) == "b/0 a/1 c/0 b/1 a/2 c/1 b/2 c/2"


def test_a_key_that_is_no_longer_large_gives_up_its_place() -> None:
    called: list[WorkKey] = []
    turns = LargeTurns(on_turn=called.append)
    turns.take(LARGE[0])
    with pytest.raises(TurnTaken):
        turns.take(SECOND)
    turns.leave(SECOND)
    turns.leave(SLOTS)
    turns.leave(LARGE[0])
    assert (called, turns.waiting()) == ([], 0)
    turns.take(SMALL)


async def test_waiting_for_a_turn_is_no_repetition_of_a_plan() -> None:
    """A key that is looked at often while it waits would be kept back as a plan that somebody undoes."""

    class Taken:
        async def execute(self, _action: Any, *, by: WorkKey) -> None:
            raise TurnTaken(str(by))

    memory, nothing = Memory(clock=lambda: NOW), cast(Any, None)
    gatherer = Gatherer(nothing, memory, PlanSettings())
    reconciler: ObjectReconciler[VmKey, VmView] = ObjectReconciler(
        gatherer, cast(Any, Taken()), nothing, nothing, nothing, nothing, Subject.VM, lambda _: 1
    )
    plan = Plan(actions=(Create(kind=Kind.VMI, key=VmiKey("a", "b"), owner_uid="u", body=freeze({})),))
    for _ in range(10):
        memory.planned(SECOND, plan, now=memory.clock())
        with pytest.raises(TurnTaken):
            await reconciler._carry_out(SECOND, nothing, plan)
