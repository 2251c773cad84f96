"""Workers: take a key, reconcile it, decide when to retry it. No error ends a worker."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from nicplug.kube.errors import ApiError, Denied, Throttled
from nicplug.model.keys import WorkKey
from nicplug.reconcile.delays import RetryPolicy
from nicplug.reconcile.large_objects import LargeTurns, TurnTaken
from nicplug.reconcile.memory import PlanRepeats
from nicplug.reconcile.queue import Priority, WorkQueue
from nicplug.reconcile.reconciler import Reconciler

log = structlog.get_logger(__name__)

# Limit for one pass; every request in it has a shorter limit of its own.
_PASS_TIMEOUT_SECONDS = 30.0


@dataclass(slots=True)
class Brake:
    """Slows down all workers after a 429: the API server's response concerns all requests, not one object."""

    clock: Callable[[], float] = time.monotonic
    _until: float = 0.0

    def hold(self, seconds: float) -> None:
        """Let no worker start a pass before `seconds` have passed."""
        self._until = max(self._until, self.clock() + seconds)

    async def passed(self) -> None:
        """Wait until the brake is released."""
        while (remaining := self._until - self.clock()) > 0:  # noqa: ASYNC110  a later 429 moves the end
            await asyncio.sleep(remaining)


class Observer(Protocol):
    """Counts what workers do."""

    def reconciled(self, *, kind: str, outcome: str, seconds: float) -> None:
        """Count a finished pass over a key; `outcome` is `ok` or the class of the error."""
        ...

    def failed_by_bug(self) -> None:
        """Count a pass that failed with an error that is not the API server's."""
        ...


@dataclass(slots=True)
class Workers:
    """A fixed number of workers on one queue.

    Attributes:
        may_work: returns whether this process is the leader and its caches are complete.
        turns: the turns that a key gives up at the end of its pass.
    """

    queue: WorkQueue[WorkKey]
    reconciler: Reconciler
    may_work: Callable[[], bool]
    gate: asyncio.Event
    observer: Observer
    turns: LargeTurns
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    brake: Brake = field(default_factory=Brake)

    async def run(self, *, count: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                group.create_task(self._work(), name=f"worker-{index}")

    async def _work(self) -> None:
        while True:
            await self.gate.wait()
            key, waits = await self.queue.get(), False
            try:
                # Not before `get`: a worker that has been waiting for a key would not have seen the brake.
                await self.brake.passed()
                # Leadership may have been lost while waiting for a key; the next leader reconciles all keys.
                if self.may_work():
                    waits = await self._pass(key)
            finally:
                if not waits:
                    self.turns.leave(key)
                # A key that waits for its turn must not rest and miss it.
                self.queue.done(key, rest_seconds=0.0 if waits else self.reconciler.rest_seconds(key))

    async def _pass(self, key: WorkKey) -> bool:
        """Reconcile the key; returns whether it now waits for its turn."""
        started, outcome = time.monotonic(), "ok"
        try:
            async with asyncio.timeout(_PASS_TIMEOUT_SECONDS):
                again = await self.reconciler.reconcile(key)
            self._succeeded(key)
            if again is not None:
                self.queue.add(key, delay_seconds=again)
        except TurnTaken:
            outcome = "TurnTaken"
        except ApiError as error:
            outcome = type(error).__name__
            self._retry_later(key, error)
        except PlanRepeats as error:
            outcome = "PlanRepeats"
            log.warning("what is wanted does not last", key=str(key), message=str(error), again_in_seconds=error.after)
            self.queue.add(key, delay_seconds=self.retry.delay_seconds(key, error), priority=Priority.SWEEP)
        except Exception as error:
            outcome = "Bug"
            self.observer.failed_by_bug()
            delay = self.retry.delay_seconds(key, error)
            log.exception("reconcile failed", key=str(key), again_in_seconds=round(delay, 2))
            self.queue.add(key, delay_seconds=delay, priority=Priority.SWEEP)
            with contextlib.suppress(Exception):  # what raised may raise again, and no error may end a worker
                self.reconciler.note_bug(key, error)
        kind = type(key).__name__.removesuffix("Key").lower()
        self.observer.reconciled(kind=kind, outcome=outcome, seconds=time.monotonic() - started)
        return outcome == "TurnTaken"

    def _succeeded(self, key: WorkKey) -> None:
        """Reset failures; not after a pass that only reported a refusal, as the refused request is still pending."""
        if self.reconciler.is_refused(key):
            return
        for other in self.retry.succeeded(key):
            self.reconciler.forget_refusal(other)
            self.queue.add(other, priority=Priority.SWEEP)

    def _retry_later(self, key: WorkKey, error: ApiError) -> None:
        delay = self.retry.delay_seconds(key, error)
        is_reported = self.retry.must_be_reported(key, error)
        level = log.warning if is_reported and self.retry.is_news(key, error) else log.debug
        level(
            "request refused" if is_reported else "request failed",
            key=str(key),
            error=type(error).__name__,
            status=error.status,
            message=str(error),
            request=error.request,
            again_in_seconds=round(delay, 2),
            **({"remedy": error.remedy} if isinstance(error, Denied) and error.is_missing_right else {}),
        )
        if isinstance(error, Throttled):
            self.brake.hold(error.after)
        if is_reported and self.reconciler.note_refusal(key, error, seconds=delay):
            # At once, to write the refusal into the status; that pass returns when to retry.
            self.queue.add(key)
            return
        self.queue.add(key, delay_seconds=delay)
