"""virt-controller without an event loop: who drives it decides when each event arrives and each write travels. Pure.

For simulations. It decides with the same passes as the process does, and holds a pass back until the cache shows what
the pass has created, as KubeVirt's expectations do.

    controller = SteppedController(clock=lambda: now)
    controller.informer.put("VirtualMachine", vm)         # an event arrives
    work = controller.begin(controller.due()[0])          # a controller takes a key
    while (item := work.wanted) is not None:              # each write, when the driver lets it travel
        work.answered(send(item))                         # or work.refused("...")
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from nicplug_sandbox.kubevirt.informer import Informer
from nicplug_sandbox.kubevirt.objects import Json, uid_of
from nicplug_sandbox.kubevirt.passes import Pass, Passes
from nicplug_sandbox.kubevirt.reactions import reactions
from nicplug_sandbox.kubevirt.view import Key, Queue, key_of
from nicplug_sandbox.kubevirt.writes import Decision, Event, Kind, Write, WriteRefused

FIRST_BACKOFF, LONGEST_BACKOFF = timedelta(milliseconds=5), timedelta(seconds=1000)


class Task(NamedTuple):
    """A key on the queue of a controller."""

    queue: Queue
    key: Key


class SteppedController:
    """One virt-controller.

    Attributes:
        informer: what it sees; the driver tells it the events.
        on_event: called with what is said about objects, its message complete.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        randomness: random.Random | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.informer = Informer(listen=self._react)
        self.on_event = on_event
        self._clock = clock
        self._due: dict[Task, datetime] = {}
        self._working: set[Task] = set()
        self._failures: dict[Task, int] = {}
        self._passes = Passes(cache=self.informer, clock=clock, wake=self._wake, randomness=randomness)

    def due(self) -> list[Task]:
        """What could be begun now, in the order in which it fell due."""
        now = self._clock()
        ready = [task for task, moment in self._due.items() if moment <= now and task not in self._working]
        return sorted(ready, key=lambda task: self._due[task])

    def next_due(self) -> datetime | None:
        """When the first key that nobody works on falls due."""
        return min((moment for task, moment in self._due.items() if task not in self._working), default=None)

    def begin(self, task: Task) -> "SteppedPass":
        """A controller takes a key; nobody else may until the pass has ended."""
        self._due.pop(task, None)
        self._working.add(task)
        return SteppedPass(self, task, self._passes.begin(*task))

    def add(self, task: Task, *, after: float = 0.0) -> None:
        """Look at a key after so many seconds; an earlier appointment stays."""
        moment = self._clock() + timedelta(seconds=after)
        self._due[task] = min(moment, self._due.get(task, moment))

    def touch(self, kind: Kind, obj: Json) -> None:
        """What a resync does: every controller looks as if the object had just been seen."""
        self._react(kind, None, obj)

    def ended(self, task: Task, *, again: float | None, failed: bool) -> None:
        """A pass has ended."""
        self._working.discard(task)
        if not failed:
            self._failures.pop(task, None)
        elif again is None:
            count = self._failures.get(task, 0)
            self._failures[task] = count + 1
            again = min(FIRST_BACKOFF * 2 ** min(count, 20), LONGEST_BACKOFF).total_seconds()
        if again is not None:
            self.add(task, after=again)

    def _wake(self, queue: Queue, key: Key) -> None:
        self.add(Task(queue, key))

    def _react(self, kind: Kind, old: Json | None, new: Json | None) -> None:
        for item in reactions(kind, old, new, self.informer):
            self.add(Task(item.queue, item.key), after=item.after)


class SteppedPass:
    """A pass that is under way.

    Attributes:
        wanted: the write that it waits for; None while it waits for its creation to be seen, and at the end.
        is_over: it has ended.
    """

    def __init__(self, controller: SteppedController, task: Task, work: Pass) -> None:
        self.task = task
        self.wanted: Write | None = None
        self.is_over = False
        self._controller = controller
        self._work = work
        self._writes: list[Write] = []
        self._decision = Decision()
        self._created: tuple[Kind, Json] | None = None
        self._resume(lambda: next(work))

    @property
    def is_waiting(self) -> bool:
        """It has created something that the cache does not show yet."""
        if self._created is None:
            return False
        kind, obj = self._created
        found = self._controller.informer.get(kind, key_of(obj))
        return found is None or uid_of(found) != uid_of(obj)

    def go_on(self) -> None:
        """After `is_waiting`: take up the work again."""
        self._created = None
        self._next_write()

    def answered(self, obj: Json | None) -> None:
        """The write that was wanted is done; the answer of the API server, None for one without an object."""
        item = self._taken()
        if item.said is not None:
            self._say(item.said, name=obj["metadata"]["name"] if obj is not None else item.name)
        if obj is not None and item.verb == "create":
            self._created = (item.kind, obj)
            if self.is_waiting:
                return
            self._created = None
        elif obj is not None and item.verb != "evict":
            self._controller.informer.answer(item.kind, obj)
        self._next_write()

    def refused(self, error: str) -> None:
        """The write that was wanted was refused, or its answer is lost."""
        item = self._taken()
        if item.failed is not None:
            self._say(item.failed, name=item.name, error=error)
        self._writes = []
        self._resume(lambda: self._work.throw(item.refused(error)))

    def gone(self) -> None:
        """The object that was to be written is not there any more: that is what a deletion wants, and ends others."""
        if self._taken().verb == "delete":
            self._next_write()
            return
        self._work.close()
        self._end(again=None, failed=False)

    def _taken(self) -> Write:
        item, self.wanted = self.wanted, None
        assert item is not None, "no write is wanted"
        return item

    def _next_write(self) -> None:
        if self._writes:
            self.wanted = self._writes.pop(0)
        elif self._decision.error:
            refusal = WriteRefused(self._decision.error, reason=self._decision.reason)
            self._resume(lambda: self._work.throw(refusal))
        else:
            self._resume(lambda: self._work.send(self._decision.again))

    def _resume(self, go: Callable[[], Decision]) -> None:
        try:
            self._decision = go()
        except StopIteration as done:
            self._end(again=done.value, failed=False)
            return
        except WriteRefused:
            self._end(again=None, failed=True)
            return
        for event in self._decision.events:
            self._say(event)
        self._writes = list(self._decision.writes)
        self._next_write()

    def _end(self, *, again: float | None, failed: bool) -> None:
        self.is_over = True
        self._controller.ended(self.task, again=again, failed=failed)

    def _say(self, event: Event, *, name: str = "", error: str = "") -> None:
        self._controller.on_event(event.told(name=name, error=error))
